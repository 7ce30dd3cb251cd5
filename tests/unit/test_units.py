"""Quantities with units."""

import math

import pytest

from flsim.units import RATE, SIZE, SPEED, TIME, WORK, Dimension

DIMENSIONS = [TIME, SIZE, RATE, WORK, SPEED]


@pytest.mark.parametrize(
    ("dimension", "text", "expected"),
    [
        (TIME, "50 ms", 0.05),
        (TIME, "3 us", 3e-6),
        (TIME, "7ns", 7e-9),
        (TIME, "1.5 min", 90.0),
        (TIME, "2 h", 7200.0),
        (TIME, " 1 d ", 86400.0),
        (TIME, "12", 12.0),
        (SIZE, "1 MB", 1e6),
        (SIZE, "1 MiB", 1048576.0),
        (SIZE, "8 kbit", 1000.0),
        (SIZE, ".5 GB", 5e8),
        (RATE, "20 Mbit/s", 20e6),
        (RATE, "1 MB/s", 8e6),
        (RATE, "10 Mbps", 10e6),
        (WORK, "1e3 GFLOP", 1e12),
        (SPEED, "5 GFLOP/s", 5e9),
        (SPEED, "5 GFLOPS", 5e9),
        (SPEED, "1_000 FLOP/s", 1000.0),
        (SPEED, "-2 kFLOP/s", -2000.0),
    ],
)
def test_text_with_a_unit_becomes_the_base_unit(dimension: Dimension, text: str, expected: float) -> None:
    assert dimension.parse(text) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("value", [0, 3, 2.5, -1])
def test_a_bare_number_is_in_the_base_unit(value: float) -> None:
    parsed = TIME.parse(value)
    assert (parsed, type(parsed)) == (value, float)


@pytest.mark.parametrize("dimension", DIMENSIONS, ids=lambda dimension: dimension.name)
def test_every_listed_unit_is_read_with_its_own_factor(dimension: Dimension) -> None:
    for unit, factor in dimension.factors.items():
        assert dimension.parse(f"3 {unit}") == pytest.approx(3 * factor, rel=1e-15)


@pytest.mark.parametrize(
    "value",
    [True, None, [1], {"a": 1}, math.nan, math.inf, -math.inf, 10**400, "nan", "inf", "1e999 s"],
    ids=lambda value: str(value)[:12],
)
def test_what_is_not_a_finite_number_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="expected a time"):
        TIME.parse(value)


@pytest.mark.parametrize(
    "text", ["", "s", "ms 5", "--3 s", "1e s", "5 5", "1__0 s", "1_ s", "0x10", "1 S", "1:30"]
)
def test_what_is_not_a_number_and_a_unit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected a time|is not a unit of time"):
        TIME.parse(text)


def test_case_matters_because_a_bit_is_not_a_byte() -> None:
    with pytest.raises(ValueError, match="'mb' is not a unit of size"):
        SIZE.parse("5 mb")


def test_an_unknown_unit_is_named_with_all_that_are_accepted_and_the_nearest() -> None:
    with pytest.raises(ValueError, match="'Mbits/s' is not a unit of bandwidth") as caught:
        RATE.parse("5 Mbits/s")
    message = str(caught.value)
    assert all(unit in message for unit in RATE.factors)
    assert message.endswith("; did you mean 'Mbit/s'?")


@pytest.mark.parametrize(
    ("dimension", "value", "text"),
    [
        (TIME, 0.05, "50 ms"),
        (TIME, 90.0, "1.5 min"),
        (TIME, 0.0, "0 s"),
        (TIME, 1e-12, "1e-12 s"),
        (SIZE, 5e5, "500 kB"),
        (SIZE, 1048576.0, "1.05 MB"),
        (SIZE, 999.9, "1000 B"),
        (SIZE, 0.125, "0.125 B"),
        (RATE, 20e6, "20 Mbit/s"),
        (RATE, -8e6, "-8 Mbit/s"),
        (WORK, 2e12, "2 TFLOP"),
        (SPEED, 5e9, "5 GFLOP/s"),
        (SPEED, math.inf, "inf FLOP/s"),
    ],
)
def test_a_quantity_is_shown_with_the_unit_that_reads_best(
    dimension: Dimension, value: float, text: str
) -> None:
    assert dimension.format(value) == text


@pytest.mark.parametrize("dimension", DIMENSIONS, ids=lambda dimension: dimension.name)
def test_the_expectation_is_grammatical_and_can_be_followed(dimension: Dimension) -> None:
    words = dimension.expected()
    assert words.startswith(f"expected {'an amount' if dimension is WORK else 'a '}")
    example = words.rsplit("'", 2)[1]
    assert dimension.parse(example) > 0
