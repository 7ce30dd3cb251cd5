"""The serial executor: one task after the other. The reference that others are held against."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from flsim.draws import Stream
from flsim.errors import RunError
from flsim.learn.executors.executor import BatchOrder, Job, Recipe, Trained
from flsim.learn.optimizers import State, step
from flsim.learn.weights import weights_of
from flsim.records import Task


class SerialExecutor:
    """Trains in one module whose parameters are views into one flat vector."""

    def __init__(self, recipe: Recipe) -> None:
        self._data = recipe.data
        self._training = recipe.training
        self._precision = recipe.precision
        self._order = BatchOrder(recipe.seed, recipe.training)
        self._draws = Stream(recipe.seed, "training.module")
        self._module = recipe.module().to(recipe.data.flat[0].device)
        self._flat = recipe.layout.flatten(self._module)
        views = recipe.layout.views(self._flat)
        weights = weights_of(self._module)
        for name, weight in weights.items():
            weight.data = views[name]
        self._others = [buffer for name, buffer in self._module.named_buffers() if name not in weights]
        self._others_at_start = [buffer.clone() for buffer in self._others]
        self._parameters = list(self._module.parameters())
        self._values = [parameter.detach() for parameter in self._parameters]

    def train(self, jobs: Sequence[Job]) -> list[Trained]:
        return [self._tried(job) for job in jobs]

    def close(self) -> None:
        pass

    def _tried(self, job: Job) -> Trained:
        try:
            with self._own_randomness(job.task):
                return self._train(job)
        except (RuntimeError, ValueError) as error:  # what torch and a module of the user's own may raise
            task = job.task
            why = f"training task {task.id} of client {task.client} failed: {error}"
            raise RunError(why) from error

    @contextmanager
    def _own_randomness(self, task: Task) -> Iterator[None]:
        """Let what a module draws in training, such as dropout, depend on the task alone."""
        device = self._flat.device
        seed = self._draws.integer(task.client, task.ordinal)
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.default_generator.manual_seed(seed)
            if device.type == "cuda":
                torch.cuda.manual_seed(seed)
            yield

    def _train(self, job: Job) -> Trained:
        all_x, all_y = self._data.of(job.task.client)
        samples = len(all_y)
        if samples == 0:
            return Trained(torch.zeros_like(job.base), None)
        self._flat.copy_(job.base)
        for buffer, at_start in zip(self._others, self._others_at_start, strict=True):
            buffer.copy_(at_start)
        self._module.train()
        state, loss = State(), 0.0
        for batches in self._order.epochs(job.task, samples):
            losses = [self._step(all_x[batch], all_y[batch], state) * len(batch) for batch in batches]
            loss = float(torch.stack(losses).sum()) / samples
        return Trained(self._flat - job.base, loss)

    def _step(self, x: Tensor, y: Tensor, state: State) -> Tensor:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self._precision == "bfloat16"):
            loss = cross_entropy(self._module(x), y)
        gradients = list(torch.autograd.grad(loss, self._parameters))
        with torch.no_grad():
            step(self._training.optimizer, self._values, gradients, state)
        return loss.detach()
