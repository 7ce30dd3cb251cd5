"""Learners in a hierarchy: one for the central server, and one for each edge.

They are learners like any other, and share one trainer. The learner of an edge goes on from a version of
the central one's, and what it has moved since is the update of the edge's task there.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from flsim.learn.aggregations import Contribution, Population
from flsim.learn.learner import TorchLearner
from flsim.learn.parts import LearnerParts
from flsim.learn.received import Received
from flsim.learn.state import State
from flsim.learn.trainer import Local, Version
from flsim.learn.weights import is_finite
from flsim.scenario import Scenario
from flsim.scenario.hierarchy import Edge, edge_scenario, edges_of
from flsim.tasks import Anchor, Task, TrainingReport, UpdateResult


class CentralLearner(TorchLearner):
    """Implements `Trunk`: the learner of a server whose clients are edges.

    What it knows of its population is the edges' samples. Nothing trains for a task of an edge's: the
    update is there when the edge hands it up.
    """

    def __init__(self, scenario: Scenario, initial: Tensor, parts: LearnerParts) -> None:
        """`parts`: the population is of clients; there is no meter, as no client's update comes here."""
        self._edges = edges_of(scenario)
        self._blocks = [_block(parts.population, edge) for edge in self._edges]
        of_edges = replace(parts.population, samples=[block.total for block in self._blocks])
        super().__init__(scenario, initial, replace(parts, population=of_edges))
        self._branches: list[EdgeLearner] = []

    def branch(self, edge: int) -> "EdgeLearner":
        own, parts = self._edges[edge], self._parts
        below = LearnerParts(parts.layout, parts.trainer, parts.chosen, parts.test, self._blocks[edge])
        made = EdgeLearner(self, own, edge_scenario(self._scenario, own), below)
        self._branches.append(made)
        return made

    def base_of(self, task: Task) -> Tensor:
        """Return the weights [parameters] that an open task came with. Not to be changed."""
        return self._versions[task.base_version].weights

    def take(self, task: Task, local: Local) -> None:
        """Take what an edge hands up; it counts if the task comes to be aggregated."""
        del self._untrained[task.id]
        self._trained[task.id] = local

    def state(self) -> State:
        return super().state() | {"branches": [branch.state() for branch in self._branches]}

    def restore(self, state: State) -> None:
        super().restore(state)
        for branch, its in zip(self._branches, state["branches"], strict=True):
            branch.restore(its)

    def close(self) -> TrainingReport:
        of_edges = [branch.close() for branch in self._branches]
        return replace(
            super().close(),
            tasks=sum(report.tasks for report in of_edges),
            unused=sum(report.unused for report in of_edges),
            batches=sum(report.batches for report in of_edges),
        )


class EdgeLearner(TorchLearner):
    """Implements `Branch`. Its versions are tested by nobody, and are nothing but their weights.

    Memory of its aggregation and of its optimiser is its own, and stays from one task of the edge's to the
    next. To its aggregation, its clients are numbered from 0.
    """

    def __init__(self, above: CentralLearner, edge: Edge, scenario: Scenario, parts: LearnerParts) -> None:
        """`scenario`: the edge's; `parts`: those that all share, but the population is its clients."""
        super().__init__(scenario, above.weights, parts)
        self._above = above
        self._first = edge.clients.start
        self._losses: tuple[float, ...] = ()  # the mean of those that the last version was made of

    def adopt(self, task: Task) -> None:
        self._versions[self._current] = Version(self._above.base_of(task), {})
        self._losses = ()

    def hand_up(self, task: Task) -> None:
        update = self.weights - self._above.base_of(task)
        self._above.take(task, Local(update, self._losses, None, is_finite(update)))

    def aggregate(
        self, tasks: Sequence[Task], weights: Sequence[float], anchor: Anchor, group: int = 0
    ) -> UpdateResult:
        result = super().aggregate(tasks, weights, anchor, group)
        valid = [task for task in tasks if task.id not in result.rejected]
        self._losses = _mean_loss(valid, result.train_losses)
        return result

    def state(self) -> State:
        """Return what is its own: the trainer, which all share, is the central learner's to remember."""
        return super().state() | {"trainer": None, "losses": self._losses}

    def restore(self, state: State) -> None:
        super().restore(state)
        self._losses = tuple(state["losses"])

    def evaluate(self) -> None:
        return None

    def model_sha256(self) -> None:
        return None

    def finish(self) -> None: ...

    def close(self) -> TrainingReport:
        """Say how training went. What it holds is the central learner's to give back."""
        return self._report(None)

    def _measure_divergence(self, received: Received, weights: Tensor) -> None: ...

    def _contribution(self, task: Task, local: Local, weight: float, received: Received) -> Contribution:
        made = super()._contribution(task, local, weight, received)
        return replace(made, task=task._replace(client=task.client - self._first))


def _block(population: Population, edge: Edge) -> Population:
    """Return the population that an edge's clients are."""
    return replace(population, samples=population.samples[edge.clients.start : edge.clients.stop])


def _mean_loss(tasks: Sequence[Task], losses: Mapping[int, float]) -> tuple[float, ...]:
    """Return the mean training loss of these tasks over their samples; nothing if no loss is known."""
    known = [task for task in tasks if task.id in losses]
    samples = sum(task.samples for task in known)
    if not samples:
        return ()
    return (math.fsum(task.samples * losses[task.id] for task in known) / samples,)
