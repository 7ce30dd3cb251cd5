"""What the server learns of its clients: written by a run, read by its selection."""

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import pytest

from flsim.errors import RunError
from flsim.policy.known import Known
from flsim.records import Outcome
from flsim.sim.history import ClientHistory
from flsim.sim.timing import NoLearner
from flsim.tasks import Anchor, Task, TrainingFacts, UpdateResult
from tests.known import Watching
from tests.memory import MemoryJournal, simulated, timing

Look = Callable[[int, Known], None]


class Ignorant(Watching):
    """Looks at what it does not declare."""

    needs_history: ClassVar[bool] = False


class Lossy(NoLearner):
    """A learner whose losses are the task's number and a half; it rejects some tasks."""

    def __init__(self, rejected: frozenset[int] = frozenset()) -> None:
        self.rejected = rejected

    def aggregate(
        self, tasks: Sequence[Task], weights: Sequence[float], anchor: Anchor, group: int = 0
    ) -> UpdateResult:
        trained = {
            task.id: TrainingFacts((task.id + 0.5,)) for task in tasks if task.id not in self.rejected
        }
        return UpdateResult(None, trained, self.rejected, {})


def watched(
    clients: int, task: Any, strategy: dict[str, Any], updates: int, **sections: Any
) -> tuple[list[dict[str, list[Any]]], MemoryJournal]:
    """Run a scenario; return the columns at each selection, and the rows."""
    snapshots: list[dict[str, list[Any]]] = []

    def look(decision: int, known: Known) -> None:
        assert decision == len(snapshots) + 1
        columns = ("losses", "durations_s", "tasks", "aggregated", "last_selection", "sightings")
        snapshot = {name: getattr(known.history, name).tolist() for name in columns}
        snapshot["last_client"] = [known.history.last_client]
        snapshot["utility_sums"] = list(known.history.utility_sums)
        snapshots.append(snapshot)

    learner = sections.pop("learner", Lossy())
    data = timing(clients, task, strategy, {"updates": updates}, **sections)
    _, journal = simulated(data | {"selection": Watching(look=look)}, learner)
    return snapshots, journal


def test_what_two_rounds_teach() -> None:
    """Cohorts of 2 among 3 idle clients, one second a task: both rounds ask the clients 0 and 1."""
    seen, _ = watched(3, 1.0, {"kind": "sync", "cohort": 2}, 3)
    assert [each["tasks"] for each in seen] == [[0, 0, 0], [1, 1, 0], [2, 2, 0]]
    assert [each["aggregated"] for each in seen] == [[0, 0, 0], [1, 1, 0], [2, 2, 0]]
    assert [each["last_selection"] for each in seen] == [[0, 0, 0], [1, 1, 0], [2, 2, 0]]
    assert [each["sightings"] for each in seen] == [[1, 1, 1], [2, 2, 2], [3, 3, 3]]
    assert [each["last_client"] for each in seen] == [[-1], [1], [1]]
    assert seen[0]["losses"] == pytest.approx([math.nan] * 3, nan_ok=True)
    assert seen[1]["losses"] == pytest.approx([0.5, 1.5, math.nan], nan_ok=True)
    assert seen[2]["losses"] == pytest.approx([2.5, 3.5, math.nan], nan_ok=True)
    assert seen[2]["durations_s"] == pytest.approx([1.0, 1.0, math.nan], nan_ok=True)
    assert seen[2]["utility_sums"] == [0.0, 2.0, 8.0]  # one sample each


def test_a_loss_is_known_at_the_update_that_uses_it_and_not_at_the_arrival() -> None:
    """Client 1 arrives at 1 s, and its slot is filled; the buffer of 3 is full later."""
    law = {"kind": "empirical", "values": [1.0, 3.0]}
    seen, journal = watched(4, law, {"kind": "fedbuff", "concurrency": 2, "buffer_size": 3}, 2)
    updates_s = [row.time_s for row in journal.versions[1:]]
    arrivals = sorted(row.ended_s for row in journal.tasks if row.outcome is Outcome.AGGREGATED)
    assert arrivals[0] < updates_s[0]
    measured = [sum(not math.isnan(value) for value in each["durations_s"]) for each in seen]
    with_loss = [sum(not math.isnan(value) for value in each["losses"]) for each in seen]
    assert measured[1] > 0
    assert with_loss[1] == 0
    assert with_loss[-1] > 0


def test_durations_are_those_of_the_records() -> None:
    law = {"kind": "exponential", "mean": 5}
    seen, journal = watched(6, law, {"kind": "fedasync", "concurrency": 3}, 40)
    last: dict[int, float] = {}
    for row in journal.tasks:
        if row.outcome is Outcome.AGGREGATED:
            last[row.client] = row.ended_s - row.dispatched_s
    # The last selection came before the last update, so one client may have been measured since.
    shown = {client: value for client, value in enumerate(seen[-1]["durations_s"]) if not math.isnan(value)}
    assert len(shown) == len(last) == 3
    assert sum(shown[client] == last[client] for client in last) >= 2


def test_a_task_that_is_called_off_took_at_least_that_long() -> None:
    """A round ends with the first answer: the slow client is measured by how long it was waited for."""
    fleet = {
        "clients": 2,
        "classes": [
            {"name": name, "share": 0.5, "compute": {"kind": "duration", "task": task}}
            for name, task in (("fast", 2.0), ("slow", 50.0))
        ],
    }
    strategy = {"kind": "sync", "cohort": 1, "over_selection": 2.0}
    seen, journal = watched(2, 1.0, strategy, 3, fleet=fleet)
    assert [row.outcome for row in journal.tasks[:2]] == [Outcome.AGGREGATED, Outcome.DISCARDED]
    assert seen[1]["durations_s"] == seen[2]["durations_s"] == [2.0, 2.0]
    assert sorted(seen[1]["aggregated"]) == [0, 1]


def test_a_task_that_drops_out_teaches_nothing() -> None:
    seen, _ = watched(2, 1.0, {"kind": "sync", "cohort": 2}, 1, fleet={
        "clients": 2, "compute": {"kind": "duration", "task": 1.0}, "failure": {"dropout": 1.0}
    })  # fmt: skip
    assert len(seen) > 3
    assert all(math.isnan(value) for value in seen[-1]["durations_s"] + seen[-1]["losses"])
    assert seen[-1]["tasks"] == [len(seen) - 1] * 2
    assert seen[-1]["aggregated"] == [0, 0]


def test_a_rejected_update_teaches_its_duration_only() -> None:
    learner = Lossy(frozenset({0}))
    seen, _ = watched(2, 1.0, {"kind": "sync", "cohort": 2}, 2, learner=learner)
    assert seen[1]["aggregated"] == [0, 1]
    assert seen[1]["losses"] == pytest.approx([math.nan, 1.5], nan_ok=True)
    assert seen[1]["durations_s"] == [1.0, 1.0]
    assert seen[1]["utility_sums"] == [0.0, 1.5]


def test_without_training_a_loss_is_unknown_and_counts_as_one() -> None:
    seen, _ = watched(2, 1.0, {"kind": "sync", "cohort": 2}, 2, learner=NoLearner())
    assert all(map(math.isnan, seen[1]["losses"]))
    assert seen[1]["utility_sums"] == [0.0, 2.0]


def test_busy_clients_are_seen_and_those_away_are_not() -> None:
    history = ClientHistory(5)
    history.seen(1, [4, 0], [2])
    history.seen(2, range(1), {4: None})
    assert history.sightings.tolist() == [2, 0, 1, 0, 2]


def test_a_loss_that_is_no_number_is_not_known() -> None:
    history = ClientHistory(2)
    tasks = [Task(0, 0, 0, 0, 0.0, 3), Task(1, 1, 0, 0, 0.0, 4)]
    trained = {0: TrainingFacts((0.7, math.inf)), 1: TrainingFacts((0.7, 0.5))}
    history.updated(tasks, UpdateResult(None, trained, frozenset(), {}))
    assert history.losses.tolist() == pytest.approx([math.nan, 0.5], nan_ok=True)
    assert history.utility_sums == pytest.approx([0.0, 3 * 1.0 + 4 * 0.5])


def test_nobody_but_the_server_can_write() -> None:
    history = ClientHistory(3)
    for name in (
        "losses",
        "durations_s",
        "tasks",
        "aggregated",
        "last_selection",
        "sightings",
        "converged",
    ):
        column: np.ndarray[Any, Any] = getattr(history, name)
        with pytest.raises(ValueError, match="read-only"):
            column[0] = 1


def test_a_selection_that_does_not_declare_it_gets_no_history() -> None:
    data = timing(2, 1.0, {"kind": "sync", "cohort": 1}, {"updates": 1})
    with pytest.raises(RunError, match="does not declare needs_history"):
        simulated(data | {"selection": Ignorant(look=lambda _, known: known.history)})


def test_samples_and_speeds_are_known_from_the_start() -> None:
    def look(_: int, known: Known) -> None:
        assert known.samples.tolist() == [7, 7]
        assert known.speeds_flops.tolist() == [5.0, 5.0]

    workload = {"kind": "synthetic", "download": 0, "upload": 0, "compute": 1.0, "samples": 7}
    fleet = {"clients": 2, "compute": {"kind": "speed", "flops": 5.0}}
    data = timing(2, 1.0, {"kind": "sync", "cohort": 1}, {"updates": 1}, workload=workload, fleet=fleet)
    simulated(data | {"selection": Ignorant(look=look)})
