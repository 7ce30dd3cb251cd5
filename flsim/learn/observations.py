"""What is measured of server updates beside the training. It only looks: nothing in a run depends on it."""

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from flsim.learn.divergence import divergence
from flsim.learn.leakage import LeakageMeter, Sight
from flsim.learn.measured import Measured
from flsim.learn.state import State
from flsim.learn.trainer import Local
from flsim.records import LeakageReport, MetricRecord
from flsim.scenario import Scenario
from flsim.tasks import Task

Base = Callable[[Task], Tensor]
"""The weights [parameters] that a task's training started from."""


class Observations:
    """Owns the metrics of versions, and shows updates and versions to the leakage meter, if there is."""

    def __init__(self, scenario: Scenario, meter: LeakageMeter | None) -> None:
        self._meter = meter
        # Under masks, the server has nothing to look at but the sum, which is the release.
        self._sees_updates = scenario.secure_aggregation is None
        self._measures_divergence = scenario.evaluation.divergence
        self._measured = Measured()

    def received(self, version: int, tasks: Sequence[Task], local: Sequence[Local], base: Base) -> None:
        """Let the meter attack some of the updates that lead to a version, as they have come in."""
        if self._meter is None or not self._sees_updates or not self._meter.is_due(version):
            return
        updates = {task: one.update for task, one in zip(tasks, local, strict=True) if one.is_finite}
        for task in self._meter.chosen(list(updates)):
            self._meter.observe(Sight("update", version, [task], base(task), updates[task]))

    def released(self, version: int, tasks: Sequence[Task], before: Tensor, after: Tensor) -> None:
        """Let the meter attack what a version tells of the tasks in it.

        before, after: the weights [parameters] of the one before it, and its own.
        """
        if self._meter is not None and tasks and self._meter.is_due(version):
            self._meter.observe(Sight("release", version, tasks, before, after - before))

    def diverged(
        self, version: int, updates: Mapping[Task, Tensor], base: Base, before: Tensor, after: Tensor
    ) -> None:
        """Measure how far the clients' models are from a version, if that is asked for. See `released`."""
        if self._measures_divergence:
            bases = [base(task) for task in updates]
            self.tested(version, divergence(bases, list(updates.values()), before, after))

    def tested(self, version: int, metrics: Mapping[str, float | None]) -> None:
        """Take down what a test of a version has measured."""
        self._measured.note(version, metrics)

    def state(self) -> State:
        meter = None if self._meter is None else self._meter.state()
        return {"measured": self._measured.state(), "meter": meter}

    def restore(self, state: State) -> None:
        self._measured.restore(state["measured"])
        if self._meter is not None:
            self._meter.restore(state["meter"])

    @property
    def leakage(self) -> LeakageReport | None:
        """What the meter found, if there is one."""
        return None if self._meter is None else self._meter.report()

    @property
    def metrics(self) -> list[MetricRecord]:
        """All metrics, in the order of versions."""
        return self._measured.records()
