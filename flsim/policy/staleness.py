"""Staleness factors: how much an update counts that was computed from an older version.

Staleness s is the server's version at aggregation minus the version that the client started from.
"""

from abc import abstractmethod
from typing import Annotated, Literal

from pydantic import Field

from flsim.component import Component, Kinds


class Staleness(Component):
    """A factor for every staleness s = 0, 1, 2, …"""

    @abstractmethod
    def factor(self, staleness: int) -> float:
        """Return the factor, zero or more; 1 means undiminished."""


class UniformStaleness(Staleness):
    """Every update counts fully."""

    kind: Literal["uniform"] = "uniform"

    def factor(self, staleness: int) -> float:
        return 1.0


class ConstantStaleness(Staleness):
    """Every update counts `value`: the constant weighting of FedAsync (Xie et al., 2019)."""

    kind: Literal["constant"] = "constant"
    value: Annotated[float, Field(gt=0, le=1)] = 1.0

    def factor(self, staleness: int) -> float:
        return self.value


class InverseStaleness(Staleness):
    """1 / (1 + s)."""

    kind: Literal["inverse"] = "inverse"

    def factor(self, staleness: int) -> float:
        return 1.0 / (1 + staleness)


class ExponentialStaleness(Staleness):
    """decay ** s.

    `decay`: the factor for each version that an update is behind.
    """

    kind: Literal["exponential"] = "exponential"
    decay: Annotated[float, Field(gt=0, le=1)] = 0.9

    def factor(self, staleness: int) -> float:
        return float(self.decay**staleness)


class PolynomialStaleness(Staleness):
    """(1 + s) ** -a (Xie et al., 2019; FedBuff uses a = 0.5).

    `a`: the exponent; with 0 every update counts fully.
    """

    kind: Literal["polynomial"] = "polynomial"
    a: Annotated[float, Field(ge=0)] = 0.5

    def factor(self, staleness: int) -> float:
        return float((1 + staleness) ** -self.a)


class HingeStaleness(Staleness):
    """1 up to s = b, then 1 / (a (s - b) + 1) (Xie et al., 2019).

    `a`: how steeply the factor falls. `b`: the staleness up to which it is 1.
    """

    kind: Literal["hinge"] = "hinge"
    a: Annotated[float, Field(gt=0)] = 10.0
    b: Annotated[int, Field(ge=0)] = 4

    def factor(self, staleness: int) -> float:
        return 1.0 if staleness <= self.b else 1.0 / (self.a * (staleness - self.b) + 1)


AnyStaleness = Annotated[
    Staleness,
    Kinds(
        Staleness,
        UniformStaleness,
        ConstantStaleness,
        InverseStaleness,
        ExponentialStaleness,
        PolynomialStaleness,
        HingeStaleness,
    ),
]
