"""`workload.training.schedule`: how the clients' learning rate changes while the run goes on.

A task's rate is fixed at its dispatch, by how far the run has come: in versions, or in virtual seconds.
"""

import math
from abc import abstractmethod
from typing import Annotated, Literal

from pydantic import Field

from flsim.component import Component, Kinds
from flsim.quantities import PositiveSeconds


class Schedule(Component):
    """A factor of the learning rate for every task."""

    @abstractmethod
    def factor(self, version: int, now_s: float) -> float:
        """Return the factor of a task that is sent this version, at this moment."""


class ConstantRate(Schedule):
    """The learning rate stays as it is."""

    kind: Literal["constant"] = "constant"

    def factor(self, version: int, now_s: float) -> float:
        return 1.0


class ByProgress(Schedule):
    """A factor that follows how far the run has come: in versions of the model, or in virtual time.

    `by`: whether progress is versions or virtual seconds.
    """

    by: Literal["version", "time"] = "version"

    def factor(self, version: int, now_s: float) -> float:
        return self.after(version if self.by == "version" else now_s)

    @abstractmethod
    def after(self, progress: float) -> float:
        """Return the factor after so many versions or seconds."""


class StepRate(ByProgress):
    """Times `factor_each` after every `every` versions or seconds.

    >>> [StepRate(every=5).after(version) for version in (0, 4, 5, 12)]
    [1.0, 1.0, 0.5, 0.25]
    """

    kind: Literal["step"] = "step"
    every: PositiveSeconds
    factor_each: Annotated[float, Field(gt=0, le=1)] = 0.5

    def after(self, progress: float) -> float:
        return float(self.factor_each ** math.floor(progress / self.every))


class CosineRate(ByProgress):
    """Down along half a cosine, from 1 to `lowest` over `over` versions or seconds; then it stays.

    Reference: Loshchilov and Hutter, "SGDR", ICLR 2017, without restarts.
    """

    kind: Literal["cosine"] = "cosine"
    over: PositiveSeconds
    lowest: Annotated[float, Field(ge=0, le=1)] = 0.0

    def after(self, progress: float) -> float:
        share = min(1.0, progress / self.over)
        return self.lowest + (1 - self.lowest) * (1 + math.cos(math.pi * share)) / 2


class WarmUp(ByProgress):
    """Up in a straight line, from `start` to 1 over `over` versions or seconds; then it stays."""

    kind: Literal["warmup"] = "warmup"
    over: PositiveSeconds
    start: Annotated[float, Field(ge=0, lt=1)] = 0.0

    def after(self, progress: float) -> float:
        return self.start + (1 - self.start) * min(1.0, progress / self.over)


AnySchedule = Annotated[Schedule, Kinds(Schedule, ConstantRate, StepRate, CosineRate, WarmUp)]
