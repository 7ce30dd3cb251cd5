"""A strategy of Flower's as a section of a scenario, and decision by decision: no world, no learner."""

import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flsim.draws import Stream
from flsim.errors import RunError, ScenarioError
from flsim.from_flower import Array, ArrayRecord, ConfigRecord, FedAvg, WouldSleepError, calling
from flsim.policy import FlowerStrategy
from flsim.policy.flower_rounds import IdleNodes, NotFollowedError, asked_by
from flsim.policy.view import Aggregate, Discard, Dispatch, Wait
from flsim.scenario import read_scenario, scenario_from
from flsim.scenario.reading import to_yaml
from flsim.testing import check_strategy
from tests.integration.command import REPOSITORY
from tests.memory import simulated, timing
from tests.refused import refusal
from tests.unit.snapshot import Snapshot, arrivals, task

FLOWERS = "flwr.serverapp.strategy:"
OURS = "tests.flower_strategies:"


def flower(name: str = "FedAvg", deadline: float | None = None, **arguments: Any) -> FlowerStrategy:
    path = name if ":" in name else f"{FLOWERS}{name}"
    return FlowerStrategy(**{"class": path, "arguments": arguments, "deadline": deadline})


def data(name: str = "FedAvg", clients: int = 10, /, **sections: Any) -> dict[str, Any]:
    arguments = sections.pop("arguments", {})
    strategy = {"kind": "flower", "class": name if ":" in name else f"{FLOWERS}{name}"}
    return timing(clients, 2.0, strategy | {"arguments": arguments}, {"updates": 3}, **sections)


# As a section


def test_it_is_the_same_after_it_was_written_and_read(tmp_path: Path) -> None:
    given = data("FedAdagrad", arguments={"fraction_train": 0.5, "eta": 0.05, "min_train_nodes": 3})
    scenario = scenario_from(given | {"strategy": given["strategy"] | {"deadline": "1 min"}})
    path = tmp_path / "scenario.yaml"
    path.write_text(to_yaml(scenario))
    assert read_scenario(path) == scenario
    assert f"class: {FLOWERS}FedAdagrad" in path.read_text()
    assert isinstance(scenario.strategy, FlowerStrategy)
    assert scenario.strategy.path == f"{FLOWERS}FedAdagrad"
    assert scenario.strategy.deadline == 60.0
    changed = read_scenario(path, ["strategy.arguments.eta=0.1"])
    assert changed.strategy.model_dump()["arguments"]["eta"] == 0.1


@pytest.mark.parametrize(
    ("name", "arguments", "why"),
    [
        ("FedAdgrad", {}, "strategy.class: .* no such class; .*did you mean 'FedAdagrad'"),
        ("no_such_module:FedAvg", {}, "strategy.class: cannot be imported: No module named"),
        ("FedAvg.x", {}, "strategy.class: must match"),
        ("os:path", {}, "strategy.class: not a subclass of flwr.serverapp.strategy.Strategy"),
        ("Strategy", {}, "strategy.class: an abstract class; it lacks aggregate_evaluate, aggregate_train"),
        (
            "FedAdagrad",
            {"etta": 1.0},
            "arguments.etta: FedAdagrad takes none;.*did you mean 'eta'",
        ),
        ("QFedAvg", {}, "strategy.arguments: QFedAvg needs client_learning_rate"),
        (
            "FedTrimmedAvg",
            {"beta": 0.7},
            "strategy.arguments: FedTrimmedAvg raised ValueError: `beta`",
        ),
        ("FedAvg", {"weighted_by_key": "n"}, "arguments.weighted_by_key: .*num-examples, train_loss"),
        (
            "QFedAvg",
            {"client_learning_rate": 0.1, "train_loss_key": "loss"},
            "arguments.train_loss_key: .*accepted: num-examples, train_loss",
        ),
        (
            "FedProx",
            {"proximal_mu": 0.1},
            "strategy.class: FedProx tells clients proximal-mu.*kind: fedprox",
        ),
        ("FedAvg", {"fraction_train": 0.0}, "strategy.class: FedAvg asks nobody in round 1"),
        ("FedAvg", {"min_available_nodes": 11}, "fleet.clients: .*needs 11 clients"),
        ("FedXgbBagging", {}, "strategy.class: FedXgbBagging raised .*exactly one Array"),
        (f"{OURS}Decaying", {}, "strategy.class: Decaying tells clients lr, .*workload.training"),
        (f"{OURS}Querying", {}, "strategy.class: Querying sends messages of the type 'query'"),
        (f"{OURS}Twice", {}, "strategy.class: Twice sends two messages to a node"),
        (f"{OURS}Sending", {}, "strategy.class: Sending: it sends messages by itself"),
        (f"{OURS}Endless", {}, "strategy.class: Endless does not begin with 1048576 nodes"),
    ],
)
def test_what_cannot_be_followed_is_refused_with_the_key(
    name: str, arguments: dict[str, Any], why: str
) -> None:
    with pytest.raises(ScenarioError, match=why):
        scenario_from(data(name, arguments=arguments))


@pytest.mark.parametrize(
    ("sections", "why"),
    [
        ({"selection": {"kind": "weighted"}}, "selection.kind: .*chooses the clients by itself"),
        ({"aggregation": {"kind": "median"}}, "aggregation.kind: .*combines the updates by itself"),
        ({"server_optimizer": {"kind": "fedadam"}}, "server_optimizer.kind: .*the server's step by itself"),
        ({"server_optimizer": {"kind": "sgd", "lr": 0.5}}, "server_optimizer.kind"),
        ({"privacy": {"kind": "local"}}, "privacy.kind: .*no known privacy"),
        ({"secure_aggregation": {"kind": "secagg"}}, "secure_aggregation.kind: .*not their sum"),
    ],
)
def test_what_would_do_the_same_or_be_wrong_is_refused(sections: dict[str, Any], why: str) -> None:
    with pytest.raises(ScenarioError, match=why):
        scenario_from(data(**sections))


@pytest.mark.parametrize("place", ["strategy", "hierarchy", "nodes"])
def test_no_edge_has_one(place: str) -> None:
    levels = [{"name": "edge", "nodes": 2, "downlink": 1e7, "uplink": 1e7}]
    ours, theirs = {"kind": "sync", "cohort": 2}, data()["strategy"]
    hierarchy: dict[str, Any] = {"strategy": theirs if place == "hierarchy" else ours}
    if place == "nodes":
        hierarchy["nodes"] = {"edge-1": {"strategy": theirs}}
    given = data(network={"topology": {"kind": "tree", "levels": levels}}, hierarchy=hierarchy)
    given["strategy"] = theirs if place == "strategy" else ours
    assert "hierarchy: a strategy of Flower's knows no edges" in refusal(given)


def test_without_flower_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("flsim.from_flower", "flsim.policy.flower_rounds"):
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "flwr.app", None)
    why = r"strategy.kind: Flower is needed.*pip install 'flsim-des\[flower\]'"
    with pytest.raises(ScenarioError, match=why):
        scenario_from(data())


def test_flower_is_not_imported_for_anything_else() -> None:
    code = (
        "import pathlib, sys; from flsim.scenario import catalogue, read_scenario;"
        "catalogue.catalogue(); read_scenario(pathlib.Path('scenarios/quickstart.yaml'));"
        "sys.exit('flwr' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=REPOSITORY).returncode == 0


@pytest.mark.parametrize(
    ("name", "arguments", "needed"),
    [
        ("FedAvg", {}, 2),
        ("FedAvg", {"min_train_nodes": 1, "min_available_nodes": 1}, 1),
        ("FedAvg", {"min_train_nodes": 7}, 7),
        ("FedAdam", {"min_available_nodes": 100, "fraction_train": 0.1}, 100),
        (f"{OURS}Patient", {}, 3),
    ],
)
def test_it_needs_as_many_clients_as_its_first_round_waits_for(
    name: str, arguments: dict[str, Any], needed: int
) -> None:
    assert flower(name, **arguments).clients_needed == needed


# Decision by decision


def sampled(nodes: int, seed: int, **arguments: Any) -> tuple[int, ...]:
    """Return whom Flower's own FedAvg samples of so many nodes, called as Flower calls it."""
    strategy = FedAvg(**arguments)
    before = random.getstate()
    random.seed(seed)
    with calling(FedAvg):
        grid = IdleNodes(range(100, 100 + nodes))
        messages = list(strategy.configure_train(1, ArrayRecord(), ConfigRecord(), grid))
    random.setstate(before)
    return tuple(message.metadata.dst_node_id for message in messages)


@pytest.mark.parametrize("idle", [5, 20, 33])
@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        ({}, lambda idle: idle),
        ({"fraction_train": 0.3}, lambda idle: max(2, int(0.3 * idle))),
        ({"fraction_train": 0.3, "min_train_nodes": 5}, lambda idle: max(5, int(0.3 * idle))),
        ({"fraction_train": 0.01, "min_available_nodes": 5}, lambda _: 2),
    ],
)
def test_it_asks_whom_flower_samples(
    idle: int, arguments: dict[str, Any], count: Callable[[int], int]
) -> None:
    decision = flower(**arguments).decide(Snapshot(idle=idle))
    seed = Stream(0, "selection").integer(1)  # of a snapshot
    assert decision == Dispatch(sampled(idle, seed, **arguments))
    assert isinstance(decision, Dispatch)
    assert len(set(decision.clients)) == len(decision.clients) == count(idle)


@pytest.mark.parametrize(
    ("arguments", "idle"),
    [({}, 1), ({"min_train_nodes": 7}, 6), ({"min_available_nodes": 20, "fraction_train": 0.1}, 19)],
)
def test_while_flower_would_sleep_it_waits_for_clients(arguments: dict[str, Any], idle: int) -> None:
    strategy = flower(**arguments)
    assert strategy.decide(Snapshot(idle=idle)) == Wait(for_clients=True)
    assert isinstance(strategy.decide(Snapshot(idle=idle + 1)), Dispatch)


def test_deciding_changes_nothing_and_draws_from_nobody() -> None:
    strategy, view = flower(fraction_train=0.5), Snapshot(idle=20)
    random.seed(5)
    np.random.seed(5)
    first = strategy.decide(view)
    drawn = random.random(), np.random.random()
    random.seed(99)
    assert strategy.decide(view) == first
    random.seed(5)
    np.random.seed(5)
    assert (random.random(), np.random.random()) == drawn
    assert strategy.arguments == {"fraction_train": 0.5}


def test_a_round_waits_for_all_whom_it_has_asked() -> None:
    inbox = arrivals(task(1, samples=3), task(2, samples=1))
    assert flower().decide(Snapshot(inbox=inbox, out=(task(3),))) == Wait()
    done = flower().decide(Snapshot(inbox=inbox))
    assert done == Aggregate((inbox[0].task, inbox[1].task), (0.75, 0.25))


def test_at_the_deadline_whoever_is_late_is_called_off() -> None:
    strategy, late = flower(deadline=5.0), (task(3), task(4))
    inbox = arrivals(task(1))
    before = Snapshot(now=6.9, last_dispatch_s=2.0, inbox=inbox, out=late)
    assert strategy.decide(before) == Wait(7.0)
    assert strategy.decide(Snapshot(now=7.0, last_dispatch_s=2.0, inbox=inbox, out=late)) == Aggregate(
        (inbox[0].task,), (1.0,), discard=late
    )
    assert strategy.decide(Snapshot(now=7.0, last_dispatch_s=2.0, out=late)) == Discard(late)
    assert strategy.may_discard
    assert not flower().may_discard


def test_rounds_are_numbered_as_versions_from_one() -> None:
    odd = flower(f"{OURS}Odd")
    assert isinstance(odd.decide(Snapshot(idle=4, version=2)), Dispatch)
    with pytest.raises(RunError, match=r"strategy flower: Odd asks nobody in round 2"):
        odd.decide(Snapshot(idle=4, version=1))


def test_arrays_other_than_the_models_are_not_followed() -> None:
    class Pruning(FedAvg):
        def configure_train(self, server_round: int, arrays: Any, config: Any, grid: Any) -> Any:
            return super().configure_train(
                server_round, ArrayRecord({"w": Array(np.ones(2))}), config, grid
            )

    model = ArrayRecord({"w": Array(np.zeros(2))})
    with pytest.raises(NotFollowedError, match="Pruning sends other arrays than the model"):
        asked_by(Pruning(), 1, model, range(4), 0)
    same = ArrayRecord({"w": Array(np.ones(2))})
    assert asked_by(Pruning(), 1, same, range(4), 0) is not None


def test_other_threads_may_sleep_while_a_strategy_is_called() -> None:
    woken = threading.Event()

    def doze() -> None:
        time.sleep(0.001)
        woken.set()

    with calling(FedAvg):
        thread = threading.Thread(target=doze)
        thread.start()
        thread.join()
        with pytest.raises(WouldSleepError):
            time.sleep(0.001)
    time.sleep(0)
    assert woken.is_set()


# In runs


@pytest.mark.parametrize(
    "strategy",
    [
        flower(fraction_train=0.4),
        flower("FedMedian", deadline=4.0, fraction_train=0.5, min_train_nodes=3),
        flower(f"{OURS}Patient"),
    ],
    ids=str,
)
def test_what_every_strategy_promises(strategy: FlowerStrategy) -> None:
    check_strategy(strategy)


def test_a_round_that_nobody_answers_is_begun_anew_with_another_choice() -> None:
    given = data(
        "FedAvg",
        20,
        arguments={"fraction_train": 0.2},
        fleet={
            "clients": 20,
            "class_order": "listed",
            "classes": [
                {"name": "slow", "share": 0.7, "compute": {"kind": "duration", "task": 100.0}},
                {"name": "fast", "share": 0.3, "compute": {"kind": "duration", "task": 1.0}},
            ],
        },
    )
    given["strategy"]["deadline"] = 10.0
    given["stop"] = {"updates": 12}
    _, journal = simulated(given)
    assert len(journal.versions) == 13
    rounds: dict[float, set[int]] = {}
    for row in journal.tasks:
        rounds.setdefault(row.dispatched_s, set()).add(row.client)
    assert {len(clients) for clients in rounds.values()} == {4}
    abandoned = [clients for clients in rounds.values() if max(clients) < 14]
    assert abandoned
    assert len(rounds) == 12 + len(abandoned)
