"""What every executor does: train tasks, each from its own base version on its own client's samples."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from flsim.draws import Stream
from flsim.records import Task
from flsim.scenario.training import Training


@dataclass(frozen=True)
class Job:
    """A task with what its training needs. `base`: [parameters]; `x`: [samples, ...]; `y`: [samples]."""

    task: Task
    base: Tensor
    x: Tensor
    y: Tensor


@dataclass(frozen=True)
class Trained:
    """What a task's training gave: the update (local - base) [parameters], and the last epoch's loss.

    The loss is the mean over samples, None for a client without samples.
    """

    update: Tensor
    loss: float | None


class Executor(Protocol):
    """Trains jobs. Every executor gives the same updates to float32 round-off."""

    def train(self, jobs: Sequence[Job]) -> list[Trained]:
        """Return what each job's training gives, in the order of the jobs."""


class BatchOrder:
    """Which samples are in which batch: drawn for each task and epoch, the same on every executor."""

    def __init__(self, seed: int, training: Training) -> None:
        self._draws = Stream(seed, "training.order")
        self._training = training

    def epochs(self, task: Task, samples: int) -> Iterator[list[Tensor]]:
        """Yield the batches of each epoch as index tensors; every sample once per epoch."""
        generator = self._draws.generator(task.client, task.ordinal)
        size = self._training.batch_size
        for _ in range(self._training.epochs):
            if size == "full" or size >= samples:
                yield [torch.arange(samples)]
            else:
                yield list(torch.split(torch.from_numpy(generator.permutation(samples)), size))
