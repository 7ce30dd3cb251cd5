"""Runs that keep their records in memory, for the tests of the world and of the learner."""

from collections.abc import Sequence
from typing import Any

from flsim.protocols import Learner
from flsim.records import (
    AbsenceRecord,
    EdgeVersionRecord,
    ErrandRecord,
    MetadataRecord,
    SecureSessionRecord,
    TaskRecord,
    VersionRecord,
)
from flsim.scenario import Scenario, scenario_from
from flsim.scenario.workload import SyntheticWorkload
from flsim.sim.surroundings import Watch
from flsim.sim.timing import NoLearner, synthetic_costs
from flsim.sim.world import Simulated, World, build_world, simulate, unwatched
from flsim.tasks import Anchor, Task, UpdateResult


class MemoryJournal:
    """Implements `HierarchyJournal`, `SecureJournal` and `PresenceJournal`.

    It keeps the rows in the order in which they came.
    """

    def __init__(self) -> None:
        self.tasks: list[TaskRecord] = []
        self.versions: list[VersionRecord] = []
        self.reports: list[MetadataRecord] = []
        self.edge_tasks: list[TaskRecord] = []
        self.edge_versions: list[EdgeVersionRecord] = []
        self.sessions: list[SecureSessionRecord] = []
        self.errands: list[ErrandRecord] = []
        self.absences: list[AbsenceRecord] = []

    def task(self, record: TaskRecord) -> None:
        self.tasks.append(record)

    def version(self, record: VersionRecord) -> None:
        self.versions.append(record)

    def metadata(self, record: MetadataRecord) -> None:
        self.reports.append(record)

    def secure_session(self, record: SecureSessionRecord) -> None:
        self.sessions.append(record)

    def errand(self, record: ErrandRecord) -> None:
        self.errands.append(record)

    def absence(self, record: AbsenceRecord) -> None:
        self.absences.append(record)

    def edge_task(self, record: TaskRecord) -> None:
        self.edge_tasks.append(record)

    def edge_version(self, record: EdgeVersionRecord) -> None:
        self.edge_versions.append(record)


class Ledger(NoLearner):
    """A learner that learns nothing, but notes what it is told: `closed` by aggregation or forgetting.

    In a hierarchy, `branches` has those of the edges.
    """

    def __init__(self) -> None:
        self.branches: dict[int, Ledger] = {}
        self.adopted: list[Task] = []
        self.handed_up: list[Task] = []
        self.submitted: list[Task] = []
        self.closed: list[Task] = []
        self.computed: set[int] = set()  # of those that were forgotten

    def branch(self, edge: int) -> "Ledger":  # type: ignore[override]
        assert edge not in self.branches
        self.branches[edge] = Ledger()
        return self.branches[edge]

    def adopt(self, task: Task) -> None:
        assert len(self.closed) == len(self.submitted), "a client is still at work on the model before"
        self.adopted.append(task)

    def hand_up(self, task: Task) -> None:
        assert task == self.adopted[-1]
        self.handed_up.append(task)

    def submit(self, task: Task) -> None:
        self.submitted.append(task)

    def forget(self, task: Task, *, computed: bool) -> None:
        self.closed.append(task)
        if computed:
            self.computed.add(task.id)

    def aggregate(
        self, tasks: Sequence[Task], weights: Sequence[float], anchor: Anchor, group: int = 0
    ) -> UpdateResult:
        self.closed += tasks
        return super().aggregate(tasks, weights, anchor, group)


def simulated(
    data: dict[str, Any], learner: Learner | None = None, watch: Watch = unwatched
) -> tuple[Simulated, MemoryJournal]:
    """Run a scenario of synthetic work, given as the plain data of a scenario file."""
    return simulated_scenario(scenario_from(data), learner, watch)


def simulated_scenario(
    scenario: Scenario, learner: Learner | None = None, watch: Watch = unwatched
) -> tuple[Simulated, MemoryJournal]:
    """Run a scenario of synthetic work."""
    assert isinstance(scenario.workload, SyntheticWorkload)
    journal = MemoryJournal()
    costs = synthetic_costs(scenario, scenario.workload)
    return simulate(scenario, costs, learner or NoLearner(), journal, watch), journal


def world_of(scenario: Scenario) -> World:
    """Return the world of a scenario of synthetic work, at time zero."""
    assert isinstance(scenario.workload, SyntheticWorkload)
    return build_world(scenario, synthetic_costs(scenario, scenario.workload))


def timing(
    clients: int, task: Any, strategy: dict[str, Any], stop: dict[str, Any], **sections: Any
) -> dict[str, Any]:
    """Return a scenario whose tasks take `task` seconds each, and whose network takes no time."""
    return {
        "name": "timing",
        "workload": {"kind": "synthetic", "download": 0, "upload": 0},
        "fleet": {"clients": clients, "compute": {"kind": "duration", "task": task}},
        "network": {"sharing": "none"},
        "strategy": strategy,
        "stop": stop,
        **sections,
    }


def classes(*seconds: Any, each: int = 4) -> dict[str, Any]:
    """Return a fleet of classes of so many clients, one after the other, whose tasks take so long."""
    return {
        "clients": each * len(seconds),
        "class_order": "listed",
        "classes": [
            {
                "name": f"c{place}",
                "share": 1 / len(seconds),
                "compute": {"kind": "duration", "task": task_s},
            }
            for place, task_s in enumerate(seconds)
        ],
    }
