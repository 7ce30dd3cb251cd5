"""Distributions that can stand wherever a quantity can vary.

A distribution *is* its quantile function: a draw is `quantile(u)` of a keyed uniform `u` in (0, 1).
So one draw costs one uniform, and two fleets on one seed differ only where their parameters do. The
arithmetic is the C library's, one value at a time, because vectorised logarithms differ in the last
bit between processors and records must not.
"""

import bisect
import math
from abc import abstractmethod
from functools import cached_property
from itertools import accumulate
from statistics import NormalDist
from typing import Annotated, Any, ClassVar, Literal, Self, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from flsim.component import Component, Kinds, misfit
from flsim.quantities import QUANTITY_TEXT, json_schema
from flsim.units import RATE, SIZE, SPEED, TIME, WORK, Dimension

_STANDARD_NORMAL = NormalDist()
_LEAST = 2.0**-53  # the smallest uniform; 1 - _LEAST is the largest


def _with_units(bound: dict[str, float]) -> WithJsonSchema:
    """A number, or text with a unit that the field's own dimension accepts."""
    return WithJsonSchema({"anyOf": [{"type": "number", **bound}, QUANTITY_TEXT]})


# The fields that carry the unit of the quantity.
Scaled = Annotated[float, _with_units({})]
PositiveScaled = Annotated[float, Field(gt=0), _with_units({"exclusiveMinimum": 0})]


class Distribution(Component):
    """A law of a quantity. `scaled` names the fields that carry the unit of the quantity."""

    scaled: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def quantile(self, u: float) -> float:
        """Return the value below which a share `u` of the draws lies, 0 < u < 1."""

    @property
    @abstractmethod
    def expectation(self) -> float:
        """The expected value; infinite where it does not exist."""

    @property
    def minimum(self) -> float:
        """The largest value that no draw is below."""
        return 0.0

    def column(self, uniforms: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the quantile of each uniform: [n] to [n]."""
        return np.fromiter(map(self.quantile, uniforms.tolist()), np.float64, len(uniforms))


class Constant(Distribution):
    """Always the same value. A plain number means this.

    `value`: the value, which may carry a unit.
    """

    kind: Literal["constant"] = "constant"
    value: Scaled
    scaled = ("value",)

    def quantile(self, u: float) -> float:
        return self.value

    def column(self, uniforms: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.broadcast_to(np.float64(self.value), len(uniforms))  # one value in memory

    @property
    def expectation(self) -> float:
        return self.value

    @property
    def minimum(self) -> float:
        return self.value


class Uniform(Distribution):
    """Evenly between `low` and `high`."""

    kind: Literal["uniform"] = "uniform"
    low: Scaled
    high: Scaled
    scaled = ("low", "high")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise misfit((), self, "low must not exceed high")
        return self

    def quantile(self, u: float) -> float:
        return self.low + (self.high - self.low) * u

    @property
    def expectation(self) -> float:
        return (self.low + self.high) / 2

    @property
    def minimum(self) -> float:
        return self.low


class Exponential(Distribution):
    """Memoryless, with the given mean.

    `mean`: the mean, which may carry a unit.
    """

    kind: Literal["exponential"] = "exponential"
    mean: PositiveScaled
    scaled = ("mean",)

    def quantile(self, u: float) -> float:
        return -self.mean * math.log1p(-u)

    @property
    def expectation(self) -> float:
        return self.mean


class HalfNormal(Distribution):
    """The absolute value of a normal with mean zero and deviation `scale`."""

    kind: Literal["half_normal"] = "half_normal"
    scale: PositiveScaled
    scaled = ("scale",)

    def quantile(self, u: float) -> float:
        return -self.scale * _STANDARD_NORMAL.inv_cdf((1 - u) / 2)

    @property
    def expectation(self) -> float:
        return self.scale * math.sqrt(2 / math.pi)


class Normal(Distribution):
    """Normal, cut off below `low` and above `high` when these are given.

    `mean`: the mean before the cut, which may carry a unit. `std`: the deviation before the cut, likewise.
    """

    kind: Literal["normal"] = "normal"
    mean: Scaled
    std: PositiveScaled
    low: Scaled | None = None
    high: Scaled | None = None
    scaled = ("mean", "std", "low", "high")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        low, high = self._tails
        if high - low < 1e-9:
            raise misfit((), self, "low and high leave nothing of the distribution")
        return self

    @cached_property
    def _tails(self) -> tuple[float, float]:
        law = NormalDist(self.mean, self.std)
        return (
            0.0 if self.low is None else law.cdf(self.low),
            1.0 if self.high is None else law.cdf(self.high),
        )

    def quantile(self, u: float) -> float:
        low, high = self._tails
        rank = min(low + (high - low) * u, 1 - _LEAST)
        value = self.mean + self.std * _STANDARD_NORMAL.inv_cdf(rank)
        # Rounding may have stepped over a bound.
        value = value if self.low is None else max(value, self.low)
        return value if self.high is None else min(value, self.high)

    @property
    def expectation(self) -> float:
        low, high = self._tails
        density_low = 0.0 if self.low is None else NormalDist(self.mean, self.std).pdf(self.low)
        density_high = 0.0 if self.high is None else NormalDist(self.mean, self.std).pdf(self.high)
        return self.mean + self.std**2 * (density_low - density_high) / (high - low)

    @property
    def minimum(self) -> float:
        return -math.inf if self.low is None else self.low


class Lognormal(Distribution):
    """The exponential of a normal: `median`, and `sigma` of the logarithm."""

    kind: Literal["lognormal"] = "lognormal"
    median: PositiveScaled
    sigma: Annotated[float, Field(ge=0, le=10)]
    scaled = ("median",)

    def quantile(self, u: float) -> float:
        return self.median * math.exp(self.sigma * _STANDARD_NORMAL.inv_cdf(u))

    @property
    def expectation(self) -> float:
        return self.median * math.exp(self.sigma**2 / 2)


class Pareto(Distribution):
    """A power-law tail: P(X > x) = (scale / x) ** index for x above `scale`.

    `index`: of the tail; the mean is infinite up to 1, and the variance up to 2.
    """

    kind: Literal["pareto"] = "pareto"
    scale: PositiveScaled
    index: Annotated[float, Field(ge=0.1)]
    scaled = ("scale",)

    def quantile(self, u: float) -> float:
        return self.scale * math.pow(1 - u, -1 / self.index)

    @property
    def expectation(self) -> float:
        return math.inf if self.index <= 1 else self.scale * self.index / (self.index - 1)

    @property
    def minimum(self) -> float:
        return self.scale


class Zipf(Distribution):
    """`scale` times a rank from 1 to `ranks`, rank k with probability proportional to k ** -exponent.

    `exponent`: how much rarer each further rank is.
    """

    kind: Literal["zipf"] = "zipf"
    scale: PositiveScaled
    exponent: Annotated[float, Field(gt=0)]
    ranks: Annotated[int, Field(ge=1, le=1_000_000)]
    scaled = ("scale",)

    @cached_property
    def _cumulative(self) -> list[float]:
        return list(accumulate(math.pow(rank, -self.exponent) for rank in range(1, self.ranks + 1)))

    def quantile(self, u: float) -> float:
        cumulative = self._cumulative
        return self.scale * (1 + bisect.bisect_left(cumulative, u * cumulative[-1], hi=self.ranks - 1))

    @property
    def expectation(self) -> float:
        weighted = math.fsum(math.pow(rank, 1 - self.exponent) for rank in range(1, self.ranks + 1))
        return self.scale * weighted / self._cumulative[-1]

    @property
    def minimum(self) -> float:
        return self.scale


class Empirical(Distribution):
    """One of the measured `values`, each as likely as the others."""

    kind: Literal["empirical"] = "empirical"
    values: tuple[Scaled, ...] = Field(min_length=1)
    scaled = ("values",)

    @cached_property
    def _sorted(self) -> list[float]:
        return sorted(self.values)

    def quantile(self, u: float) -> float:
        return self._sorted[int(u * len(self.values))]

    @property
    def expectation(self) -> float:
        return math.fsum(self.values) / len(self.values)

    @property
    def minimum(self) -> float:
        return self._sorted[0]


DISTRIBUTIONS = Kinds(
    Distribution,
    Constant,
    Uniform,
    Exponential,
    HalfNormal,
    Normal,
    Lognormal,
    Pareto,
    Zipf,
    Empirical,
)


class Varying:
    """Annotation of a `Distribution` field whose values are quantities of one dimension.

    Accepts a number or text with a unit (a constant), or a mapping with a `kind` whose scaled fields
    may carry units. Values are zero or more; greater than zero when `positive`.
    """

    def __init__(self, dimension: Dimension, *, positive: bool) -> None:
        self.dimension = dimension
        self.positive = positive

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        kinds = DISTRIBUTIONS.__get_pydantic_core_schema__(source, handler)
        return core_schema.no_info_wrap_validator_function(
            lambda value, resolve: self._checked(resolve(self._in_base_units(value)), value),
            kinds,
            serialization=core_schema.plain_serializer_function_ser_schema(_dump),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        kinds = DISTRIBUTIONS.__get_pydantic_json_schema__(schema, handler)
        return {"anyOf": [json_schema(self.dimension), *kinds["anyOf"]]}

    def _in_base_units(self, value: object) -> object:
        if isinstance(value, Distribution):
            return value
        if not isinstance(value, dict):
            return self._constant(value)
        scaled = cast(type[Distribution], DISTRIBUTIONS.class_of(value)).scaled
        return {
            key: self._parse_field(key, item=item) if key in scaled else item for key, item in value.items()
        }

    def _constant(self, value: object) -> Constant:
        try:
            return Constant(value=self.dimension.parse(value))
        except ValueError as error:
            raise misfit((), value, str(error)) from error

    def _parse_field(self, *place: str | int, item: object) -> object:
        if isinstance(item, list | tuple):
            return [self._parse_field(*place, index, item=each) for index, each in enumerate(item)]
        try:
            return None if item is None else self.dimension.parse(item)
        except ValueError as error:
            raise misfit(place, item, str(error)) from error

    def _checked(self, distribution: Distribution, given: object) -> Distribution:
        bottom = distribution.minimum
        if bottom < 0 or (self.positive and _can_be_zero(distribution)):
            bound = "greater than zero" if self.positive else "zero or more"
            remedy = "; give 'low'" if isinstance(distribution, Normal) else ""
            why = f"{self.dimension.phrase} must be {bound}, but this can be {bottom:g}{remedy}"
            raise misfit((), given, why)
        return distribution


def _can_be_zero(distribution: Distribution) -> bool:
    if isinstance(distribution, Normal):
        return distribution.minimum <= 0  # whether rounding makes it zero is chance
    return distribution.quantile(_LEAST) <= 0


def _dump(distribution: Distribution) -> object:
    if isinstance(distribution, Constant):
        return distribution.value
    return distribution.model_dump(mode="json")


VaryingSeconds = Annotated[Distribution, Varying(TIME, positive=False)]
VaryingPositiveSeconds = Annotated[Distribution, Varying(TIME, positive=True)]
VaryingRate = Annotated[Distribution, Varying(RATE, positive=True)]
VaryingSpeed = Annotated[Distribution, Varying(SPEED, positive=True)]
VaryingSize = Annotated[Distribution, Varying(SIZE, positive=False)]
VaryingWork = Annotated[Distribution, Varying(WORK, positive=False)]
