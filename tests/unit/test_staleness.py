"""Staleness factors against the formulas of PARITY and of the papers."""

import math
from itertools import pairwise
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from flsim.policy.staleness import (
    AnyStaleness,
    ConstantStaleness,
    ExponentialStaleness,
    HingeStaleness,
    InverseStaleness,
    PolynomialStaleness,
    Staleness,
    UniformStaleness,
)

ALL = [
    UniformStaleness(),
    ConstantStaleness(value=0.3),
    InverseStaleness(),
    ExponentialStaleness(),
    PolynomialStaleness(a=0.5),
    HingeStaleness(a=2.0, b=3),
]


@pytest.mark.parametrize(
    ("law", "factors"),
    [
        (UniformStaleness(), [1, 1, 1, 1, 1, 1]),
        (ConstantStaleness(value=0.3), [0.3, 0.3, 0.3, 0.3, 0.3, 0.3]),
        (InverseStaleness(), [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5, 1 / 6]),
        (ExponentialStaleness(), [1, 0.9, 0.81, 0.729, 0.6561, 0.59049]),
        (ExponentialStaleness(decay=0.5), [1, 1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32]),
        (PolynomialStaleness(), [1 / math.sqrt(1 + s) for s in range(6)]),
        (PolynomialStaleness(a=2.0), [1, 1 / 4, 1 / 9, 1 / 16, 1 / 25, 1 / 36]),
        (PolynomialStaleness(a=0.0), [1, 1, 1, 1, 1, 1]),
        (HingeStaleness(a=2.0, b=3), [1, 1, 1, 1, 1 / 3, 1 / 5]),
        (HingeStaleness(), [1, 1, 1, 1, 1, 1 / 11]),
        (HingeStaleness(a=1.0, b=0), [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5, 1 / 6]),
    ],
    ids=repr,
)
def test_the_factor_is_the_formula(law: Staleness, factors: list[float]) -> None:
    assert [law.factor(staleness) for staleness in range(6)] == pytest.approx(factors, rel=1e-15)


@pytest.mark.parametrize("law", ALL, ids=repr)
def test_the_factor_never_rises_and_stays_between_zero_and_one(law: Staleness) -> None:
    factors = [law.factor(staleness) for staleness in [*range(50), 10**6, 10**12]]
    assert all(later <= earlier for earlier, later in pairwise(factors))
    assert all(0 <= factor <= 1 for factor in factors)
    assert all(isinstance(factor, float) for factor in factors)


@pytest.mark.parametrize("law", ALL, ids=repr)
def test_a_kind_is_read_by_its_name(law: Staleness) -> None:
    assert TypeAdapter(AnyStaleness).validate_python(law.model_dump()) == law


@pytest.mark.parametrize(
    ("build", "keys"),
    [
        (ConstantStaleness, {"value": 0.0}),
        (ConstantStaleness, {"value": 1.1}),
        (ExponentialStaleness, {"decay": 0.0}),
        (ExponentialStaleness, {"decay": 1.1}),
        (PolynomialStaleness, {"a": -0.1}),
        (HingeStaleness, {"a": 0.0}),
        (HingeStaleness, {"b": -1}),
        (HingeStaleness, {"b": 1.5}),
    ],
)
def test_a_parameter_that_would_favour_staleness_is_refused(build: Any, keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        build(**keys)
