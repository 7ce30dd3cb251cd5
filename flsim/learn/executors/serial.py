"""The serial executor: one task after the other. The reference that others are held against."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from flsim.draws import Stream
from flsim.errors import RunError
from flsim.learn.corrections import correct, is_corrected
from flsim.learn.executors.executor import Job, Recipe, Trained
from flsim.learn.executors.gradients import Gradients
from flsim.learn.executors.per_sample import StepNoise, clipped_gradients
from flsim.learn.optimizers import State, step
from flsim.learn.problem import mean_loss
from flsim.learn.weights import weights_of
from flsim.plug_ins import error_text, plug_ins, raised_by
from flsim.tasks import Task


class SerialExecutor:
    """Trains in one module whose parameters are views into one flat vector."""

    def __init__(self, recipe: Recipe) -> None:
        self._data = recipe.data
        self._training = recipe.training
        self._precision = recipe.precision
        self._order = recipe.order
        self._draws = Stream(recipe.seed, f"{recipe.purpose}.module")
        self._module = recipe.module().to(recipe.data.flat[0].device)
        self._flat = recipe.layout.flatten(self._module)
        self._views = views = recipe.layout.views(self._flat)
        weights = weights_of(self._module)
        for name, weight in weights.items():
            weight.data = views[name]
        self._others = [buffer for name, buffer in self._module.named_buffers() if name not in weights]
        self._others_at_start = [buffer.clone() for buffer in self._others]
        self._layout = recipe.layout
        self._moved = recipe.moved
        parameters = dict(self._module.named_parameters())
        for name, parameter in parameters.items():
            parameter.requires_grad_(name in self._moved)
        self._parameters = [parameters[name] for name in self._moved]
        self._values = [parameter.detach() for parameter in self._parameters]
        self._is_corrected = is_corrected(recipe.training)
        self._recipe = recipe
        low, examples = self._precision == "bfloat16", recipe.examples
        self._clipped = (
            None if examples is None else clipped_gradients(self._module, self._moved, low, examples.clip)
        )

    def train(self, jobs: Sequence[Job]) -> list[Trained]:
        return [self._tried(job) for job in jobs]

    def close(self) -> None:
        pass

    def _tried(self, job: Job) -> Trained:
        try:
            with self._own_randomness(job.task):
                return self._train(job)
        except MemoryError:
            raise
        except Exception as error:
            why = self._why(error)
            if why is None:
                raise
            task = job.task
            raise RunError(f"training task {task.id} of client {task.client} failed: {why}") from error

    def _why(self, error: Exception) -> str | None:
        """Return what to say of an error in training; None for a defect.

        Torch raises RuntimeError and ValueError for what it cannot train on; a user's own module anything.
        """
        sections = {"workload.model": self._recipe.model, "workload.training": self._training}
        own = tuple(plug_in for key, section in sections.items() for plug_in in plug_ins(section, key))
        if (guilty := raised_by(error, own)) is not None:
            plug_in, raised = guilty
            return f"{plug_in} raised {error_text(raised)}"
        return str(error) if isinstance(error, RuntimeError | ValueError) else None

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
        all_x, all_y = self._data.of(job.task.client, job.task.dispatched_s)
        samples = len(all_y)
        if samples == 0:
            return Trained(torch.zeros_like(job.base), ())
        self._flat.copy_(job.base)
        for buffer, at_start in zip(self._others, self._others_at_start, strict=True):
            buffer.copy_(at_start)
        self._module.train()
        descent = self._descent(job)
        means = []
        for batches in self._order.epochs(job.task, samples):
            losses = [self._step(all_x, all_y, batch, descent) for batch in batches]
            drawn = sum(map(len, batches))
            means.append(float(torch.stack(losses).sum()) / max(drawn, 1))
        return Trained(self._flat - job.base, tuple(means))

    def _descent(self, job: Job) -> "_Descent":
        factor = self._training.rate_factor(job.task)
        noise = None if self._clipped is None else StepNoise(self._recipe, [job.task])
        if not self._is_corrected:
            return _Descent(factor, noise=noise)
        shifts = None if job.shift is None else self._moving(job.shift)
        return _Descent(factor, self._moving(job.base), shifts, noise)

    def _moving(self, flat: Tensor) -> list[Tensor]:
        """Return views of a flat vector, in the order of the parameters that move."""
        views = self._layout.views(flat)
        return [views[name] for name in self._moved]

    def _step(self, all_x: Tensor, all_y: Tensor, batch: Tensor, descent: "_Descent") -> Tensor:
        """Train one step on a batch of a client's samples. Return the sum of their losses before it."""
        if self._clipped is not None and descent.noise is not None:
            losses, gradients = self._private(self._clipped, all_x, all_y, batch, descent.noise)
        else:
            losses, gradients = self._plain(all_x[batch], all_y[batch])
        with torch.no_grad():
            if self._is_corrected:
                correct(
                    self._training, gradients, self._values, descent.bases, descent.shifts, stacked=False
                )
            step(self._training.optimizer, self._values, gradients, descent.state, descent.factor)
        return losses

    def _plain(self, x: Tensor, y: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the sum of the losses, and the gradients of their mean."""
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self._precision == "bfloat16"):
            loss = mean_loss(self._module(x), y)
        return loss.detach() * len(y), list(torch.autograd.grad(loss, self._parameters))

    def _private(
        self, clipped: Gradients, all_x: Tensor, all_y: Tensor, batch: Tensor, noise: StepNoise
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the sum of the losses, and gradients that hide every sample."""
        share = 1 / self._training.expected_batch(len(all_y))
        rows = batch if len(batch) else batch.new_zeros(1)  # of nobody: something, which counts nothing
        shares = torch.full((len(rows),), share if len(batch) else 0.0, device=all_x.device)
        found, losses = clipped(self._views, all_x[rows], all_y[rows], shares)
        added = self._moving(noise.next(1)[0])
        gradients = [found[name] + more for name, more in zip(self._moved, added, strict=True)]
        return losses.sum() if len(batch) else losses.new_zeros(()), gradients


@dataclass
class _Descent:
    """One task's way down: the factor of its rate, what corrects and hides it, the optimiser's state."""

    factor: float
    bases: list[Tensor] = field(default_factory=list)
    shifts: list[Tensor] | None = None
    noise: StepNoise | None = None
    state: State = field(default_factory=State)
