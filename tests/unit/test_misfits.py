"""Sections that contradict themselves or one another: each is refused with one message that says why."""

from typing import Any, ClassVar, Literal

import pytest

from flsim.policy import Sync
from tests.governed import EQUAL, NOISY, timed
from tests.refused import refusal
from tests.tiny import scenario_data

EDGE = {"name": "edge", "nodes": 2, "downlink": "1 Mbit/s", "uplink": "1 Mbit/s"}
SYNC = {"kind": "sync", "cohort": 5}
CURIOUS = "tests.unit.test_misfits:Curious"


class Curious(Sync):
    """A user's strategy that looks at what clients reported."""

    kind: Literal["tests.unit.test_misfits:Curious"] = CURIOUS  # type: ignore[assignment]
    needs_history: ClassVar[bool] = True


def tree(*levels: dict[str, Any]) -> dict[str, Any]:
    return {"topology": {"kind": "tree", "levels": list(levels)}}


def in_two(**sections: Any) -> dict[str, Any]:
    """Return a scenario of two edges with ten clients each."""
    hierarchy = {"strategy": {"kind": "sync", "cohort": 3}}
    return timed(
        network=tree(EDGE), hierarchy=hierarchy, strategy={"kind": "sync", "cohort": 2}, **sections
    )


def there(**availability: Any) -> dict[str, Any]:
    return timed(fleet=timed()["fleet"] | {"availability": availability})


def by_day(**profile: Any) -> dict[str, Any]:
    return there(kind="diurnal", on="1 h", off="2 h", **profile)


def training(**sections: Any) -> dict[str, Any]:
    data = scenario_data(10, SYNC)
    return data | {"workload": data["workload"] | {"training": sections}}


def with_data(change: dict[str, Any], **sections: Any) -> dict[str, Any]:
    data = scenario_data(10, SYNC, **sections)
    workload = data["workload"]
    return data | {"workload": workload | {"data": workload["data"] | change}}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            there(kind="trace", file="a\0b.csv"),
            "fleet.availability.file: a path has no NUL character in it (given: 'a\\x00b.csv')",
        ),
        (
            by_day(profile=[1, 2, 3]),
            "fleet.availability.profile: must have 24 numbers, one for each hour (given: [1, 2, 3])",
        ),
        (
            by_day(profile=[0] * 24),
            "fleet.availability.profile: must have an hour in which clients come (given: [0, 0, ",
        ),
        (
            timed(network=tree(EDGE, EDGE)),
            "network.topology.levels: two levels have the same name (given: [",
        ),
        (
            timed(network=tree(EDGE, EDGE | {"name": "core", "nodes": 3})),
            "network.topology.levels.1.nodes: 'core' has more nodes than 'edge' below it (given: 3)",
        ),
        (timed(selection={"kind": "fixed", "lists": 3}), "selection.lists: must be a list (given: 3)"),
        (
            with_data({"partition": {"kind": "label_groups", "groups": 7}}),
            "workload.data.partition.groups: must be a list (given: 7)",
        ),
        (
            scenario_data(10, SYNC, evaluation={"metrics": ["f1", "recall", "f1"]}),
            "evaluation.metrics: f1 is there more than once (given: ['f1', 'recall', 'f1'])",
        ),
        (
            training(objective={"kind": "scaffold"}, optimizer={"kind": "sgd", "lr": 0.1, "momentum": 0.9}),
            "workload.training.optimizer: objective scaffold is defined for sgd without momentum and "
            "weight decay only",
        ),
        (
            in_two() | {"stop": {"updates": 5, "converged": 0.5}},
            "stop.converged: each edge hears from its own clients only; with a hierarchy, accepted: none "
            "(given: 0.5)",
        ),
        (
            in_two(selection={"kind": "tifl", "tiers": 2, "adaptive": {}}),
            "selection.kind: tifl goes by the clients' own tests of every version; an edge's are not "
            "tested (given: 'tifl')",
        ),
        (
            timed(strategy={"kind": CURIOUS, "cohort": 5, "weighting": "equal"}, privacy=NOISY),
            f"strategy.kind: {CURIOUS} may go by the clients' losses and reports, which have no noise",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_a_reason(data: dict[str, Any], message: str) -> None:
    assert refusal(data).startswith(f"scenario: {message}")


def test_equal_weights_are_what_privacy_needs_and_no_reason_to_refuse_a_run() -> None:
    """The cases above are refused for what they say, and not for the rest of them."""
    from flsim.scenario import scenario_from

    private = scenario_from(timed(strategy=EQUAL, privacy=NOISY))
    assert (private.strategy.weighting, private.privacy is None) == ("equal", False)
    assert scenario_from(in_two()).hierarchy is not None
    availability = scenario_from(by_day(profile=[0] * 23 + [1])).fleet.availability
    assert availability.profile == (0,) * 23 + (1,)
