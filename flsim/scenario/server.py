"""`aggregation`, `server_optimizer`, `evaluation` and `stop`: what the server does with updates."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from flsim.component import Component, Kinds, Section, misfit
from flsim.quantities import PositiveSeconds


class Aggregation(Component):
    """How updates become one."""


class Mean(Aggregation):
    """The weighted sum of the updates, with the strategy's weights."""

    kind: Literal["mean"] = "mean"


AnyAggregation = Annotated[Aggregation, Kinds(Aggregation, Mean)]


class ServerOptimizer(Component):
    """How the aggregated update moves the model."""


class ServerSgd(ServerOptimizer):
    """x <- x + lr m, with m <- momentum m + update (FedAvgM: Hsu et al., 2019)."""

    kind: Literal["sgd"] = "sgd"
    lr: Annotated[float, Field(gt=0)] = 1.0
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0


AnyServerOptimizer = Annotated[ServerOptimizer, Kinds(ServerOptimizer, ServerSgd)]


class Evaluate(Section):
    """The central test: after every so many versions, and after the last."""

    every: Annotated[int, Field(ge=1)] = 1


class Stop(Section):
    """When the run ends: whichever comes first. At least one must be given."""

    updates: Annotated[int, Field(ge=1)] | None = None
    time: PositiveSeconds | None = None
    accuracy: Annotated[float, Field(gt=0, le=1)] | None = None

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if self.updates is None and self.time is None:
            raise misfit((), self, "give updates or time, so that the run is sure to end")
        return self
