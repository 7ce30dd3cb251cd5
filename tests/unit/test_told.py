"""What the server tells the learner, the journal and the budget of privacy, and when."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from flsim.policy.view import Decision, Discard, Dispatch, View, Wait
from flsim.records import ClientEvaluations, MetadataRecord, Outcome
from flsim.scenario import scenario_from
from flsim.scenario.workload import SyntheticWorkload
from flsim.sim.history import ClientHistory
from flsim.sim.server import Server
from flsim.sim.timing import NoLearner, synthetic_costs
from flsim.sim.world import Simulated, simulate, unwatched
from flsim.tasks import Anchor, Evaluation, Task, TrainingFacts, UpdateResult
from tests.memory import Ledger, MemoryJournal, classes, simulated, timing, world_of
from tests.unit.test_server import scripted

ASYNC = {"kind": "fedasync", "concurrency": 1}


def with_costs(
    data: dict[str, Any], learner: NoLearner | None = None, **costs: Any
) -> tuple[Simulated, MemoryJournal]:
    """Run a scenario of synthetic work of which some costs are not what the scenario says."""
    scenario, journal = scenario_from(data), MemoryJournal()
    assert isinstance(scenario.workload, SyntheticWorkload)
    changed = replace(synthetic_costs(scenario, scenario.workload), **costs)
    return simulate(scenario, changed, learner or NoLearner(), journal), journal


def sized(clients: int, strategy: dict[str, Any], updates: int) -> dict[str, Any]:
    """Return a scenario in which 4 MB go down in 4 s, 2 MB up in 2 s, and training takes 1 s."""
    data = timing(clients, 1.0, strategy, {"updates": updates})
    data["workload"] = {"kind": "synthetic", "download": 4_000_000, "upload": 2_000_000}
    data["network"] = {"downlink": 8e6, "uplink": 8e6, "sharing": "none"}
    return data


# Sizes


class Sizing(NoLearner):
    """A learner whose updates take 250 kB more with every task of a client; it notes when it is asked."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def upload_bytes(self, task: Task) -> int | None:
        self.asked.append(task.id)
        return None if task.ordinal == 3 else 250_000 * task.ordinal


def test_an_update_takes_what_the_learner_says_where_sizes_vary() -> None:
    learner = Sizing()
    _, journal = with_costs(sized(1, ASYNC, 4), learner, upload_varies=True)
    assert learner.asked == [0, 1, 2, 3]
    assert [row.bytes_up for row in journal.tasks] == [0, 250_000, 500_000, 2_000_000]
    assert [row.bytes_down for row in journal.tasks] == [4_000_000] * 4


def test_the_learner_is_not_asked_for_sizes_that_do_not_vary() -> None:
    """It would have to train for that."""
    learner = Sizing()
    _, journal = with_costs(sized(1, ASYNC, 3), learner)
    assert learner.asked == []
    assert [row.bytes_up for row in journal.tasks] == [2_000_000] * 3


@pytest.mark.parametrize("next_bytes", [0, 1_000_000, 9_000_000])
def test_who_holds_a_version_gets_what_the_next_one_takes(next_bytes: int) -> None:
    rounds = {"kind": "sync", "cohort": 2}
    _, journal = with_costs(sized(2, rounds, 3), next_download_bytes=next_bytes)
    rows = sorted(journal.tasks)
    assert [row.bytes_down for row in rows] == [4_000_000] * 2 + [next_bytes] * 4
    for row in rows:
        assert row.download_end_s is not None
        assert row.download_end_s - row.dispatched_s == pytest.approx(row.bytes_down / 1e6)
        assert row.bytes_up == 2_000_000


def test_clients_of_different_sizes_have_their_own_both_ways() -> None:
    """Whether or not they hold a version, and whatever the learner would say."""
    learner = Sizing()
    sizes = {"client_bytes": [3_000_000, 500_000], "next_download_bytes": 7, "upload_varies": True}
    _, journal = with_costs(sized(2, {"kind": "sync", "cohort": 2}, 2), learner, **sizes)
    assert [(row.bytes_down, row.bytes_up) for row in sorted(journal.tasks)] == [
        (3_000_000, 3_000_000),
        (500_000, 500_000),
    ] * 2
    assert learner.asked == []
    lasted = [row.ended_s - row.dispatched_s for row in sorted(journal.tasks)]
    assert lasted == pytest.approx([7.0, 2.0] * 2)


@pytest.mark.parametrize(
    ("costs", "lone_s"),
    [({}, 7.0), ({"client_bytes": [3_000_000]}, 7.0), ({"client_bytes": [500_000]}, 2.0)],
)
def test_a_task_dies_at_a_moment_of_what_its_own_sizes_take(costs: dict[str, Any], lone_s: float) -> None:
    data = sized(1, ASYNC, 1) | {"stop": {"time": 200.0}}
    data["fleet"]["failure"] = {"dropout": 1.0}
    _, journal = with_costs(data, **costs)
    lasted = [row.ended_s - row.dispatched_s for row in journal.tasks]
    assert 0.9 * lone_s < max(lasted) <= lone_s


# What becomes of tasks


class Noting(Ledger):
    """A ledger that also notes whom a version has not reached."""

    def __init__(self) -> None:
        super().__init__()
        self.missed: list[int] = []

    def not_received(self, task: Task) -> None:
        self.missed.append(task.id)


@pytest.mark.parametrize(("next_bytes", "missed"), [(1_000_000, [1]), (None, [])])
def test_a_version_that_has_not_reached_a_client_is_told_where_it_matters(
    next_bytes: int | None, missed: list[int]
) -> None:
    """Discarded after 4.5 s: of the three clients, one trains, one still downloads and one is done."""

    def decide(view: View) -> Decision:
        if view.now == 4.5 and view.in_flight:
            return Discard((*view.outstanding(), *(arrival.task for arrival in view.inbox)))
        if view.in_flight or view.now == 4.5:
            return Wait(4.5 if view.now < 4.5 else None)
        return Dispatch((0, 1, 2))

    learner = Noting()
    sizes = {"client_bytes": [4_000_000, 5_000_000, 1_000_000], "next_download_bytes": next_bytes}
    with_costs(sized(3, {}, 1) | scripted_strategy(decide), learner, **sizes)
    assert learner.missed == missed
    assert sorted(task.id for task in learner.closed) == [0, 1, 2]
    assert learner.computed == {2}


def scripted_strategy(decide: Callable[[View], Decision]) -> dict[str, Any]:
    return {"strategy": scripted(decide)["strategy"]}


class Trained(NoLearner):
    """A learner that says of every task that its losses were 2 and 1."""

    def aggregate(
        self, tasks: Sequence[Task], weights: Sequence[float], anchor: Anchor, group: int = 0
    ) -> UpdateResult:
        facts = {task.id: TrainingFacts((2.0, 1.0)) for task in tasks}
        return UpdateResult(None, facts, frozenset(), {})


def test_what_comes_with_an_update_is_written_with_the_version_that_it_made() -> None:
    _, journal = simulated(timing(2, 1.0, {"kind": "sync", "cohort": 2}, {"updates": 2}), Trained())
    assert [row.aggregated_version for row in journal.tasks] == [1, 1, 2, 2]
    assert journal.reports == [
        MetadataRecord(row.task, row.client, 1 + row.task // 2, 1.0, False, (2.0, 1.0), None, None)
        for row in journal.tasks
    ]


def test_updates_between_them_keep_discards_from_being_a_stall() -> None:
    strategy = {"kind": "sync", "cohort": 1, "over_selection": 2.0}
    data = timing(2, 1.0, strategy, {"updates": 1100}) | {"fleet": classes(1.0, 2.0, each=1)}
    ended, journal = simulated(data)
    assert ended.ending.reason == "updates"
    assert [row.outcome for row in journal.tasks].count(Outcome.DISCARDED) == 1100


# Tests of versions


class Evaluated(NoLearner):
    """A learner that notes when the test of a version is waited for; losses are 1, 1/2, 1/3 and so on."""

    def __init__(self) -> None:
        self.version = 0
        self.noted: list[str] = []

    def aggregate(
        self, tasks: Sequence[Task], weights: Sequence[float], anchor: Anchor, group: int = 0
    ) -> UpdateResult:
        self.version += 1
        self.noted.append(f"made {self.version}")
        return super().aggregate(tasks, weights, anchor, group)

    def evaluate(self) -> Callable[[], Evaluation]:
        version = self.version

        def waited() -> Evaluation:
            self.noted.append(f"tested {version}")
            return Evaluation(accuracy=version / 4, loss=1 / (1 + version))

        return waited


def test_the_test_of_a_version_goes_on_beside_the_next_where_nothing_depends_on_it() -> None:
    learner = Evaluated()
    simulated(timing(1, 1.0, ASYNC, {"updates": 2}), learner)
    assert learner.noted == ["made 1", "tested 0", "made 2", "tested 1", "tested 2"]


def test_the_test_of_a_version_is_waited_for_where_it_may_end_the_run() -> None:
    learner = Evaluated()
    ended, _ = simulated(timing(1, 1.0, ASYNC, {"updates": 9, "accuracy": 0.5}), learner)
    assert learner.noted == ["tested 0", "made 1", "tested 1", "made 2", "tested 2"]
    assert ended.ending.detail == "the accuracy reached 0.5000; the target was 0.5"


def test_losses_that_do_not_fall_far_enough_are_a_plateau() -> None:
    """Of 1, 1/2, 1/3 and so on, 1/4 is the last that is 0.2 below the best before it, which is 1/2."""
    stop = {"updates": 9, "plateau": {"patience": 2, "min_delta": 0.2}}
    ended, journal = simulated(timing(1, 1.0, ASYNC, stop), Evaluated())
    assert (ended.ending.reason, journal.versions[-1].version) == ("plateau", 5)


class Examined(NoLearner):
    """A learner whose clients test every other version."""

    def __init__(self) -> None:
        self.version = 0

    def aggregate(
        self, tasks: Sequence[Task], weights: Sequence[float], anchor: Anchor, group: int = 0
    ) -> UpdateResult:
        self.version += 1
        return super().aggregate(tasks, weights, anchor, group)

    def client_tests(self) -> ClientEvaluations | None:
        return None if self.version % 2 else results(self.version)


def results(version: int) -> ClientEvaluations:
    """Return what two clients' tests of a version gave."""
    ones = np.ones(2, dtype=np.int64)
    return ClientEvaluations(ones * version, np.arange(2), ones, np.ones(2), np.ones(2))


@pytest.mark.parametrize("keeps_tests", [True, False])
def test_the_history_gets_the_clients_tests_of_each_version_that_they_test(keeps_tests: bool) -> None:
    scenario = scenario_from(timing(2, 1.0, ASYNC, {"updates": 5}))
    around = world_of(scenario).surroundings(Examined(), MemoryJournal(), unwatched)
    history = ClientHistory(2, keeps_tests=keeps_tests)
    around.env.run(until=around.env.process(Server(scenario, replace(around, history=history)).run()))
    history.keeps_tests = True
    tested = [test.results.version.tolist() for test in history.client_tests]
    assert tested == ([[0, 0], [2, 2], [4, 4]] if keeps_tests else [])


def test_without_a_history_nobody_reads_the_clients_tests() -> None:
    ended, _ = simulated(timing(2, 1.0, ASYNC, {"updates": 5}), Examined())
    assert ended.ending.reason == "updates"


# Privacy


def privately(kind: str, **sections: Any) -> dict[str, Any]:
    data = timing(4, 1.0, {"kind": "fedbuff", "concurrency": 2, "buffer_size": 2}, {"updates": 6})
    privacy = {"kind": kind, "noise_multiplier": 2.0, "accounting": "rdp"}
    return data | {"privacy": privacy | sections, "fleet": classes(1.0, 2.0, 3.0, 4.0, each=1)}


@pytest.mark.parametrize("kind", ["central", "local"])
def test_what_a_run_has_spent_of_privacy_is_what_its_last_version_says(kind: str) -> None:
    ended, journal = simulated(privately(kind))
    assert ended.ending.reason == "updates"
    assert ended.epsilon is not None
    assert ended.epsilon >= journal.versions[-1].epsilon > 0  # type: ignore[operator]
    assert simulated(timing(2, 1.0, ASYNC, {"updates": 1}))[0].epsilon is None


@pytest.mark.parametrize(("kind", "what"), [("central", "server update"), ("local", "task of a client")])
def test_what_would_cost_more_than_the_budget_is_not_done(kind: str, what: str) -> None:
    _, free = simulated(privately(kind))
    limit = free.versions[3].epsilon
    assert limit is not None
    held, journal = simulated(privately(kind, budget={"epsilon": limit}))
    assert held.ending.reason == "privacy"
    assert held.ending.detail.startswith(f"one {what} more would take epsilon from")
    assert held.epsilon is not None
    assert 0 < held.epsilon <= limit
    assert 1 <= journal.versions[-1].version < 6
    assert all(row.outcome in (Outcome.AGGREGATED, Outcome.UNFINISHED) for row in journal.tasks)


def test_updates_of_poisson_samples_have_the_weights_that_the_noise_is_made_for() -> None:
    """1 / (q N) each, whoever comes."""
    sections = {
        "strategy": {"kind": "sync", "cohort": "all", "weighting": "equal"},
        "selection": {"kind": "poisson", "q": 0.5, "redraw": False},
    }
    _, journal = simulated(privately("central") | sections)
    assert {row.weight for row in journal.tasks} == {1 / (0.5 * 4)}
