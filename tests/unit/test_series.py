"""Piecewise-constant values over time."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flsim.sim.series import Steady, Steps, steps
from tests.flows import changing


def test_a_steady_value_never_changes() -> None:
    for series in (Steady(5.0), changing((0.0, 5.0)), changing((0.0, 5.0), (1.0, 5.0), period_s=2.0)):
        assert isinstance(series, Steady)
        assert (series.at(0.0), series.at(1e9), series.next_change(7.0)) == (5.0, 5.0, math.inf)
        assert (series.lowest, series.highest) == (5.0, 5.0)


def test_values_hold_from_their_times_on() -> None:
    series = changing((0.0, 7.0), (1.0, 8.0), (5.0, 6.0))
    assert [series.at(t) for t in (0.0, 0.999, 1.0, 4.0, 5.0, 1e9)] == [7.0, 7.0, 8.0, 8.0, 6.0, 6.0]
    assert [series.next_change(t) for t in (0.0, 0.999, 1.0, 5.0)] == [1.0, 1.0, 5.0, math.inf]
    assert (series.lowest, series.highest) == (6.0, 8.0)


def test_a_period_repeats_them() -> None:
    series = changing((0.0, 7.0), (1.0, 8.0), period_s=10.0)
    assert [series.at(t) for t in (9.9, 10.0, 11.0, 1000.5, 1001.0)] == [8.0, 7.0, 8.0, 7.0, 8.0]
    assert [series.next_change(t) for t in (1.0, 10.0, 1001.0)] == [10.0, 11.0, 1010.0]


def test_equal_neighbours_are_no_change() -> None:
    series = changing((0.0, 7.0), (1.0, 7.0), (2.0, 8.0), (3.0, 8.0))
    assert [series.next_change(t) for t in (0.0, 1.0, 2.0)] == [2.0, 2.0, math.inf]


@given(
    st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=6),
    st.floats(0, 1e7),
    st.integers(1, 50),
)
def test_changes_are_found_one_after_the_other(gaps: list[float], begin: float, count: int) -> None:
    """From change to change time goes on, and between two changes the value stays what it was."""
    times = np.concatenate(([0.0], np.cumsum(gaps)[:-1]))
    series = Steps(times, np.arange(len(times), dtype=np.float64), float(np.cumsum(gaps)[-1]))
    now, seen = begin, series.at(begin)
    for _ in range(count):
        change = series.next_change(now)
        assert change > now
        assert series.at(math.nextafter(change, 0)) == seen
        seen = series.at(change)
        now = change


@given(st.lists(st.floats(0.1, 10), min_size=2, max_size=6), st.floats(0, 1e6))
def test_values_are_those_of_exact_division(gaps: list[float], now: float) -> None:
    """Away from the changes, where rounding decides."""
    times = np.concatenate(([0.0], np.cumsum(gaps)[:-1]))
    period = float(np.cumsum(gaps)[-1])
    series = steps(times, np.arange(len(times), dtype=np.float64), period)
    local = Fraction(now) % Fraction(period)
    if min(abs(local - Fraction(time)) for time in [*times.tolist(), period]) > Fraction(1, 10**6):
        expected = sum(Fraction(time) <= local for time in times.tolist()) - 1
        assert series.at(now) == expected
        coming = [*times[expected + 1 :].tolist(), period][0]
        assert series.next_change(now) == pytest.approx(now + float(Fraction(coming) - local), rel=1e-12)
