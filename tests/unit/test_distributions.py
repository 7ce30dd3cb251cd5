"""Distributions: their quantiles, expectations and bounds, and how a scenario writes them."""

import math
from typing import Any, Literal

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from flsim.scenario.distributions import (
    Constant,
    Distribution,
    Empirical,
    Exponential,
    HalfNormal,
    Lognormal,
    Normal,
    Pareto,
    Uniform,
    VaryingPositiveSeconds,
    VaryingRate,
    VaryingSeconds,
    VaryingSize,
    VaryingSpeed,
    Zipf,
)

LEAST = 2.0**-53
GRID = 100_000

# Each law, and the relative error of its mean over a midpoint grid of 1e5: what the grid leaves out of
# a heavy tail.
LAWS: list[tuple[Distribution, float]] = [
    (Constant(value=3.0), 1e-12),
    (Uniform(low=2.0, high=5.0), 1e-12),
    (Uniform(low=2.0, high=2.0), 1e-12),
    (Exponential(mean=10.0), 1e-5),
    (HalfNormal(scale=4.0), 1e-5),
    (Normal(mean=10.0, std=2.0), 1e-9),
    (Normal(mean=1.0, std=2.0, low=0.5), 1e-5),
    (Normal(mean=1.0, std=2.0, high=0.5), 2e-4),
    (Normal(mean=1.0, std=2.0, low=-0.5, high=2.0), 1e-9),
    (Normal(mean=0.0, std=1.0, low=5.0), 1e-5),
    (Lognormal(median=5.0, sigma=0.9), 1e-3),
    (Lognormal(median=5.0, sigma=0.0), 1e-12),
    (Pareto(scale=2.0, index=3.0), 1e-3),
    (Pareto(scale=2.0, index=1.5), 5e-2),
    (Zipf(scale=2.0, exponent=1.2, ranks=50), 1e-4),
    (Zipf(scale=2.0, exponent=1.0, ranks=1), 1e-12),
    (Empirical(values=(5.0, 1.0, 1.0, 3.0)), 1e-12),
]
laws = pytest.mark.parametrize("law", [law for law, _ in LAWS], ids=repr)


def grid() -> np.ndarray:
    return (np.arange(GRID) + 0.5) / GRID


@pytest.mark.parametrize(("law", "error"), LAWS, ids=repr)
def test_the_mean_of_the_quantiles_is_the_expectation(law: Distribution, error: float) -> None:
    assert math.fsum(law.column(grid()).tolist()) / GRID == pytest.approx(law.expectation, rel=error)


@laws
def test_quantiles_never_fall(law: Distribution) -> None:
    column = law.column(np.concatenate([[LEAST, 1e-9], grid(), [1 - 1e-9, 1 - LEAST]]))
    assert (np.diff(column) >= 0).all()


@laws
def test_every_uniform_has_a_finite_quantile_within_the_bounds(law: Distribution) -> None:
    for u in (LEAST, 3 * LEAST, 1e-9, 0.5, 1 - 1e-9, 1 - 3 * LEAST, 1 - LEAST):
        assert math.isfinite(law.quantile(u))
        assert law.quantile(u) >= law.minimum
    if isinstance(law, Normal) and law.high is not None:
        assert law.quantile(1 - LEAST) <= law.high


@laws
def test_the_minimum_is_reached(law: Distribution) -> None:
    """No larger bound would hold, but for the lognormal, whose approach to zero is too slow to see."""
    if math.isfinite(law.minimum) and not isinstance(law, Lognormal):
        assert law.quantile(LEAST) == pytest.approx(law.minimum, abs=1e-6)


@laws
def test_a_column_is_the_quantiles_bit_for_bit(law: Distribution) -> None:
    uniforms = grid()[::1000]
    assert law.column(uniforms).tolist() == [law.quantile(u) for u in uniforms.tolist()]


def test_known_quantiles() -> None:
    assert Exponential(mean=2.0).quantile(0.5) == pytest.approx(2 * math.log(2), rel=1e-15)
    assert HalfNormal(scale=1.0).quantile(0.6826894921370859) == pytest.approx(1.0, rel=1e-9)
    assert Normal(mean=1.0, std=2.0).quantile(0.975) == pytest.approx(1 + 2 * 1.959963984540054, rel=1e-12)
    assert Lognormal(median=5.0, sigma=0.9).quantile(0.5) == 5.0
    assert Lognormal(median=1.0, sigma=2.0).quantile(0.8413447460685429) == pytest.approx(
        math.e**2, rel=1e-9
    )
    assert Pareto(scale=2.0, index=2.0).quantile(0.75) == pytest.approx(4.0, rel=1e-15)
    assert [Zipf(scale=1.0, exponent=1.0, ranks=2).quantile(u) for u in (0.66, 0.67)] == [1.0, 2.0]
    assert [Empirical(values=(3.0, 1.0)).quantile(u) for u in (0.49, 0.5)] == [1.0, 3.0]


def test_rounding_never_steps_over_the_bound() -> None:
    """Without a clamp a normal from zero gives about -1e-16: a duration that no clock accepts."""
    for mean in np.linspace(-5, 5, 101).tolist():
        for std in (0.9, 1.0, 1.7):
            assert Normal(mean=mean, std=std, low=0.0).quantile(LEAST) >= 0
            assert Normal(mean=mean, std=std, high=0.0).quantile(1 - LEAST) <= 0


def test_an_index_of_one_has_no_mean() -> None:
    assert Pareto(scale=1.0, index=1.0).expectation == math.inf


@pytest.mark.parametrize(
    ("build", "keys"),
    [
        (Uniform, {"low": 3.0, "high": 2.0}),
        (Exponential, {"mean": 0.0}),
        (HalfNormal, {"scale": -1.0}),
        (Normal, {"mean": 0.0, "std": 0.0}),
        (Normal, {"mean": 0.0, "std": 1.0, "low": 1.0, "high": 1.0}),
        (Normal, {"mean": 0.0, "std": 1.0, "low": 50.0}),
        (Lognormal, {"median": 1.0, "sigma": -0.1}),
        (Lognormal, {"median": 1.0, "sigma": 1000.0}),
        (Pareto, {"scale": 1.0, "index": 0.0}),
        (Pareto, {"scale": 1.0, "index": 0.001}),
        (Zipf, {"scale": 1.0, "exponent": 1.0, "ranks": 0}),
        (Empirical, {"values": ()}),
        (Constant, {"value": math.nan}),
        (Constant, {"value": math.inf}),
    ],
)
def test_parameters_without_a_law_are_refused(build: Any, keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        build(**keys)


def read(annotation: Any, value: object) -> Distribution:
    law: Distribution = TypeAdapter(annotation).validate_python(value)
    return law


def test_a_plain_quantity_is_a_constant() -> None:
    assert read(VaryingSeconds, 3) == Constant(value=3.0)
    assert read(VaryingSeconds, "50 ms") == Constant(value=0.05)
    assert read(VaryingRate, "1 MB/s") == Constant(value=8e6)


@pytest.mark.parametrize(
    ("annotation", "given", "law"),
    [
        (VaryingSeconds, {"kind": "constant", "value": "1 min"}, Constant(value=60.0)),
        (VaryingSeconds, {"kind": "uniform", "low": "1 s", "high": "1 min"}, Uniform(low=1.0, high=60.0)),
        (VaryingSeconds, {"kind": "exponential", "mean": "1 h"}, Exponential(mean=3600.0)),
        (VaryingSize, {"kind": "half_normal", "scale": "1 kB"}, HalfNormal(scale=1000.0)),
        (
            VaryingRate,
            {"kind": "normal", "mean": "6 Mbit/s", "std": "1 Mbit/s", "low": "1 kbit/s"},
            Normal(mean=6e6, std=1e6, low=1e3),
        ),
        (
            VaryingSpeed,
            {"kind": "lognormal", "median": "5 GFLOP/s", "sigma": 0.9},
            Lognormal(median=5e9, sigma=0.9),
        ),
        (VaryingRate, {"kind": "pareto", "scale": "1 Mbit/s", "index": 2}, Pareto(scale=1e6, index=2.0)),
        (
            VaryingRate,
            {"kind": "zipf", "scale": "1 Mbit/s", "exponent": 1.1, "ranks": 5},
            Zipf(scale=1e6, exponent=1.1, ranks=5),
        ),
        (VaryingSeconds, {"kind": "empirical", "values": ["50 ms", 2]}, Empirical(values=(0.05, 2.0))),
    ],
)
def test_units_are_read_inside_a_distribution(annotation: Any, given: object, law: Distribution) -> None:
    assert read(annotation, given) == law


def test_what_is_a_distribution_already_is_kept() -> None:
    law = Exponential(mean=2.0)
    assert read(VaryingSeconds, law) is law


@pytest.mark.parametrize(
    ("annotation", "given", "place", "why"),
    [
        (VaryingSeconds, -1, (), "a time must be zero or more, but this can be -1"),
        (VaryingRate, 0, (), "a bandwidth must be greater than zero"),
        (VaryingRate, math.nan, (), "must be finite"),
        (VaryingRate, "fast", (), "expected a bandwidth"),
        (VaryingRate, None, (), "expected a bandwidth"),
        (VaryingRate, True, (), "expected a bandwidth"),
        (VaryingSeconds, {"kind": "uniform", "low": -1, "high": 2}, (), "a time must be zero or more"),
        (VaryingSeconds, {"kind": "uniform", "low": math.nan, "high": 2}, ("low",), "must be finite"),
        (
            VaryingSeconds,
            {"kind": "empirical", "values": [1, "2 foo"]},
            ("values", 1),
            "'foo' is not a unit",
        ),
        (VaryingSeconds, {"kind": "empirical", "values": [1, -2]}, (), "this can be -2"),
        (
            VaryingSeconds,
            {"kind": "exponential", "mean": "-1 s"},
            ("exponential", "mean"),
            "greater than 0",
        ),
        (VaryingSeconds, {"kind": "exponential", "mean": "1 MB"}, ("mean",), "'MB' is not a unit of time"),
        (VaryingSeconds, {"mean": 3}, (), "the key 'kind' is missing"),
        (VaryingSeconds, {"kind": "exponental", "mean": 3}, ("kind",), "did you mean 'exponential'"),
        (VaryingSeconds, {"kind": 3}, ("kind",), "no such kind"),
        (VaryingRate, {"kind": "normal", "mean": 5, "std": 1}, (), "this can be -inf; give 'low'"),
        (VaryingRate, {"kind": "normal", "mean": 5, "std": 1, "low": 0}, (), "give 'low'"),
        (VaryingRate, {"kind": "uniform", "low": 0, "high": 0}, (), "greater than zero"),
        (VaryingRate, {"kind": "empirical", "values": [0, 5]}, (), "greater than zero"),
        (VaryingPositiveSeconds, 0, (), "a time must be greater than zero"),
    ],
)
def test_what_the_quantity_cannot_be_is_refused(
    annotation: Any, given: object, place: tuple[str | int, ...], why: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        read(annotation, given)
    (problem,) = caught.value.errors()
    assert why in problem["msg"]
    assert problem["loc"] in {place, place[1:]}


@pytest.mark.parametrize(
    ("annotation", "given"),
    [
        (VaryingSeconds, 0),
        (VaryingSeconds, {"kind": "normal", "mean": 1, "std": 1, "low": 0}),
        (VaryingRate, {"kind": "uniform", "low": 0, "high": 5}),
        (VaryingRate, {"kind": "exponential", "mean": 5}),
        (VaryingRate, {"kind": "normal", "mean": 5, "std": 1, "low": 1}),
    ],
)
def test_what_is_zero_with_probability_zero_or_may_be_zero_is_accepted(
    annotation: Any, given: object
) -> None:
    assert read(annotation, given).minimum >= 0


class Doubled(Distribution):
    """A user's own law: its scaled fields carry units like those of the built-in ones."""

    kind: Literal["tests.unit.test_distributions:Doubled"]
    half: float
    scaled = ("half",)

    def quantile(self, u: float) -> float:
        return 2 * self.half

    @property
    def expectation(self) -> float:
        return 2 * self.half


def test_units_are_read_inside_a_users_own_distribution() -> None:
    law = read(VaryingSeconds, {"kind": f"{__name__}:Doubled", "half": "3 min"})
    assert law.expectation == 360.0
