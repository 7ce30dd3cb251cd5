"""`evaluation` and `stop`: when the server tests, and when it ends."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from flsim.component import Section, misfit
from flsim.quantities import PositiveSeconds
from flsim.scenario.metrics import Metric


class EvaluateClients(Section):
    """The clients' tests on samples of their own: after every so many versions, and after the last.

    `on`: those that `client_test_share` holds out, or those of `client_validation_share`.

    `every`: how many versions lie between two tests.
    """

    every: Annotated[int, Field(ge=1)] = 1
    on: Literal["test", "validation"] = "test"


class Evaluate(Section):
    """The central test: after every so many versions, and after the last; and the clients' own tests.

    Both measure `metrics`. `divergence` measures how far clients' models are from each new version.

    `every`: how many versions lie between two central tests. `clients`: when clients are tested on samples
    of their own; none means never.
    """

    every: Annotated[int, Field(ge=1)] = 1
    clients: EvaluateClients | None = None
    metrics: tuple[Metric, ...] = ()
    divergence: bool = False

    @model_validator(mode="after")
    def _metrics_are_different(self) -> Self:
        if twice := [name for name in self.metrics if self.metrics.count(name) > 1]:
            raise misfit(("metrics",), list(self.metrics), f"{twice[0]} is there more than once")
        return self


class Plateau(Section):
    """`patience` tests in a row whose loss is not lower, by more than `min_delta`, than the best before."""

    patience: Annotated[int, Field(ge=1)]
    min_delta: Annotated[float, Field(ge=0)] = 0.0


class Stop(Section):
    """When the run ends: whichever comes first. `updates` or `time` must be given, unless an app ends it.

    `accuracy`: of the central test. `plateau`: central tests without an improvement. `converged`: the share
    of all clients that had converged in the last of their tasks that was aggregated. `updates`: how many
    server updates. `time`: virtual time.
    """

    updates: Annotated[int, Field(ge=1)] | None = None
    time: PositiveSeconds | None = None
    accuracy: Annotated[float, Field(gt=0, le=1)] | None = None
    plateau: Plateau | None = None
    converged: Annotated[float, Field(gt=0, le=1)] | None = None

    @property
    def reads_tests(self) -> bool:
        """Whether the central test of a version decides if the run goes on."""
        return self.accuracy is not None or self.plateau is not None
