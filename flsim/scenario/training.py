"""`workload.training`: what a client does with a model that it is sent."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from flsim.component import Component, Kinds, Section, misfit
from flsim.scenario.objective import AnyObjective, Loss
from flsim.scenario.schedule import AnySchedule, ConstantRate
from flsim.tasks import Task


class Optimizer(Component):
    """The client's optimiser. It starts afresh with every task.

    `lr`: the learning rate, before its schedule. `weight_decay`: this share of the weights is added to the
    gradient.
    """

    lr: Annotated[float, Field(gt=0)] = 0.1
    weight_decay: Annotated[float, Field(ge=0)] = 0.0

    @property
    def is_plain(self) -> bool:
        """Whether a step subtracts the gradient times the learning rate, and nothing else happens."""
        return False


class Sgd(Optimizer):
    """Stochastic gradient descent, with momentum and Nesterov's variant of it.

    `momentum`: the share of the last step's direction that stays. `nesterov`: whether momentum is
    Nesterov's.
    """

    kind: Literal["sgd"] = "sgd"
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    nesterov: bool = False

    @property
    def is_plain(self) -> bool:
        # A class of the user's own that derives from this one may do more.
        return type(self) is Sgd and not self.momentum and not self.weight_decay


class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015).

    `lr`: the learning rate, before its schedule. `beta1`: the share of the mean gradient that stays.
    `beta2`: the share of the mean squared gradient that stays. `epsilon`: what is added to the root of
    that.
    """

    kind: Literal["adam"] = "adam"
    lr: Annotated[float, Field(gt=0)] = 0.001
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    epsilon: Annotated[float, Field(gt=0)] = 1e-8


AnyOptimizer = Annotated[Optimizer, Kinds(Optimizer, Sgd, Adam)]


class Training(Section):
    """Local training: passes over the client's own samples. `batch_size: full` takes all at once.

    `clip` bounds the norm of every step's gradient of the loss.

    `epochs`: how many passes. `batch_size`: samples for a step. `optimizer`: what makes steps of gradients.
    `schedule`: of the learning rate over the run. `objective`: what is minimised.
    """

    epochs: Annotated[int, Field(ge=1)] = 1
    batch_size: Annotated[int, Field(ge=1)] | Literal["full"] = 32
    optimizer: AnyOptimizer = Sgd()
    schedule: AnySchedule = ConstantRate()
    objective: AnyObjective = Loss()
    clip: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _objective_fits(self) -> Self:
        if self.objective.only_plain_descent and not self.optimizer.is_plain:
            kind = self.objective.kind
            why = f"objective {kind} is defined for sgd without momentum and weight decay only"
            raise misfit(("optimizer",), self.optimizer.kind, why)
        return self

    def steps(self, samples: int) -> int:
        """Return how many steps a task takes on so many samples."""
        size = samples if self.batch_size == "full" else self.batch_size
        return self.epochs * -(-samples // size) if samples else 0

    def expected_batch(self, samples: int) -> int:
        """Return how many of so many samples are in a batch, where those are drawn for each by itself."""
        return samples if self.batch_size == "full" else min(self.batch_size, samples)

    def sampling(self, samples: int) -> float:
        """Return the probability with which a sample of so many is drawn for a batch."""
        return self.expected_batch(samples) / samples if samples else 0.0

    def rate_factor(self, task: Task) -> float:
        """Return what a task's learning rate is multiplied with."""
        return self.schedule.factor(task.base_version, task.dispatched_s)
