"""The serial executor: one task after the other. The reference that others are held against."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from flsim.learn.executor import BatchOrder, Job, Trained
from flsim.learn.optimizers import State, step
from flsim.learn.weights import Layout
from flsim.scenario.training import Training


class SerialExecutor:
    """Trains in one module whose parameters are views into one flat vector."""

    def __init__(self, module: nn.Module, layout: Layout, training: Training, seed: int) -> None:
        """`module` is taken over: its parameters are overwritten by every job."""
        self._module = module
        self._training = training
        self._order = BatchOrder(seed, training)
        self._flat = layout.flatten(module)
        views = layout.views(self._flat)
        for name, parameter in module.named_parameters():
            parameter.data = views[name]
        self._parameters = list(module.parameters())
        self._values = [parameter.detach() for parameter in self._parameters]

    def train(self, jobs: Sequence[Job]) -> list[Trained]:
        return [self._train(job) for job in jobs]

    def _train(self, job: Job) -> Trained:
        samples = len(job.y)
        if samples == 0:
            return Trained(torch.zeros_like(job.base), None)
        self._flat.copy_(job.base)
        self._module.train()
        state, loss = State(), 0.0
        for batches in self._order.epochs(job.task, samples):
            losses = [self._step(job.x[batch], job.y[batch], state) * len(batch) for batch in batches]
            loss = float(torch.stack(losses).sum()) / samples
        return Trained(self._flat - job.base, loss)

    def _step(self, x: Tensor, y: Tensor, state: State) -> Tensor:
        loss = cross_entropy(self._module(x), y)
        gradients = list(torch.autograd.grad(loss, self._parameters))
        with torch.no_grad():
            step(self._training.optimizer, self._values, gradients, state)
        return loss.detach()
