"""Weights of the updates in one server update."""

from fractions import Fraction

import pytest

from flsim.policy.weighting import discounted, shares
from tests.unit.snapshot import task


def test_shares_by_samples_are_exact() -> None:
    tasks = [task(number, samples=samples) for number, samples in enumerate([1, 2, 5])]
    assert shares(tasks, "samples") == (1 / 8, 2 / 8, 5 / 8)


def test_equal_shares_ignore_the_samples() -> None:
    tasks = [task(number, samples=samples) for number, samples in enumerate([1, 2, 5])]
    assert shares(tasks, "equal") == (1 / 3, 1 / 3, 1 / 3)


def test_a_task_without_samples_has_no_share_unless_none_has() -> None:
    assert shares([task(0, samples=0), task(1, samples=4)], "samples") == (0.0, 1.0)
    assert shares([task(0, samples=0), task(1, samples=0)], "samples") == (0.5, 0.5)
    assert shares([task(0, samples=0), task(1, samples=1)], "samples") == (0.0, 1.0)


def test_shares_of_many_sum_to_one() -> None:
    tasks = [task(number, samples=1 + number * 7919 % 1009) for number in range(1000)]
    assert sum(map(Fraction, shares(tasks, "samples"))) == pytest.approx(1, abs=1e-13)


def test_factors_discount_and_so_move_the_model_less() -> None:
    assert discounted((0.25, 0.75), (1.0, 0.5), normalize=False) == (0.25, 0.375)


def test_normalised_factors_only_move_weight() -> None:
    assert discounted((0.25, 0.75), (1.0, 0.5), normalize=True) == (0.4, 0.6)
    assert discounted((0.25, 0.75), (0.1, 0.1), normalize=True) == pytest.approx((0.25, 0.75), rel=1e-15)


def test_inverse_staleness_by_samples_is_the_parity_formula() -> None:
    """PARITY: weights n / (1 + s), normalised."""
    samples, staleness = [3, 1, 2], [0, 4, 1]
    raw = [n / (1 + s) for n, s in zip(samples, staleness, strict=True)]
    tasks = [task(number, samples=n) for number, n in enumerate(samples)]
    weights = discounted(shares(tasks, "samples"), [1 / (1 + s) for s in staleness], normalize=True)
    assert weights == pytest.approx([weight / sum(raw) for weight in raw], rel=1e-15)


def test_factors_of_zero_leave_nothing_to_normalise() -> None:
    assert discounted((0.5, 0.5), (0.0, 0.0), normalize=True) == (0.0, 0.0)


def test_shares_and_factors_must_match() -> None:
    with pytest.raises(ValueError, match="zip"):
        discounted((0.5, 0.5), (1.0,), normalize=False)
