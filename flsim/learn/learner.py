"""The learner: versions of the model, deferred training, and server updates."""

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from flsim.learn.aggregation import combine
from flsim.learn.evaluation import CentralTest
from flsim.learn.executors import Executor, Job, Trained
from flsim.learn.server_optimizers import Memory, move
from flsim.learn.weights import Layout
from flsim.records import Anchor, Evaluation, Task, UpdateResult
from flsim.scenario import Scenario


class TorchLearner:
    """Implements `Learner`. Owns every version of the model that a task may still need.

    A task trains when its update is first needed, together with the others needed then. A version is
    kept while a task that started from it is open, so memory is O(versions in flight).
    """

    def __init__(
        self,
        scenario: Scenario,
        initial: Tensor,
        layout: Layout,
        executor: Executor,
        test: CentralTest,
    ) -> None:
        """`initial`: the weights of version 0, [parameters]."""
        self._scenario = scenario
        self._layout = layout
        self._executor = executor
        self._test = test
        self._current = 0
        self._versions: dict[int, Tensor] = {0: initial}
        self._open: Counter[int] = Counter()  # open tasks by base version
        self._memory: Memory = {}

    @property
    def weights(self) -> Tensor:
        """The current version's weights, [parameters]. Not to be changed."""
        return self._versions[self._current]

    def submit(self, task: Task) -> None:
        self._open[task.base_version] += 1

    def forget(self, task: Task) -> None:
        self._open[task.base_version] -= 1
        self._release(task.base_version)

    def aggregate(self, tasks: Sequence[Task], weights: Sequence[float], anchor: Anchor) -> UpdateResult:
        trained = self._train(tasks)
        updates = torch.stack([self._anchored(t, r, anchor) for t, r in zip(tasks, trained, strict=True)])
        valid = updates.isfinite().all(dim=1)
        model = self.weights
        if valid.any():
            update = combine(
                self._scenario.aggregation, updates[valid], _rescaled(torch.tensor(weights), valid)
            )
            model, self._memory = move(self._scenario.server_optimizer, model, update, self._memory)
        self._advance(model, tasks)
        return UpdateResult(
            model_sha256=self.model_sha256(),
            train_losses={t.id: r.loss for t, r in zip(tasks, trained, strict=True) if r.loss is not None},
            rejected=frozenset(t.id for t, ok in zip(tasks, valid.tolist(), strict=True) if not ok),
        )

    def evaluate(self) -> Evaluation:
        return self._test.evaluate(self.weights)

    def model_sha256(self) -> str:
        return self._layout.sha256(self.weights)

    def _train(self, tasks: Sequence[Task]) -> list[Trained]:
        jobs = [Job(task, self._versions[task.base_version]) for task in tasks]
        return self._executor.train(jobs)

    def _anchored(self, task: Task, trained: Trained, anchor: Anchor) -> Tensor:
        if anchor is Anchor.BASE:
            return trained.update
        return self._versions[task.base_version] + trained.update - self.weights

    def _advance(self, model: Tensor, tasks: Sequence[Task]) -> None:
        """Make `model` the current version, and close the tasks that went into it."""
        previous = self._current
        self._current += 1
        self._versions[self._current] = model
        for task in tasks:
            self.forget(task)
        self._release(previous)

    def _release(self, version: int) -> None:
        if version != self._current and self._open[version] == 0:
            self._versions.pop(version, None)
            del self._open[version]


def _rescaled(weights: Tensor, valid: Tensor) -> Tensor:
    """Return the weights of the valid updates, scaled to the sum that all of them had."""
    kept = weights[valid]
    total = kept.sum()
    return kept * (weights.sum() / total) if total > 0 else kept
