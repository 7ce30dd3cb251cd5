"""Waiting for a cohort, against order statistics; asynchronous servers, against renewal-reward.

No network delay: a round takes what its slowest awaited client takes. The expectation of the k-th of m
independent delays is exact where a closed form exists, and otherwise the integral of the quantile
function against the beta density of the k-th order statistic.
"""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy import integrate, stats

from flsim.records import Outcome, TaskRecord
from tests.memory import MemoryJournal, simulated, timing

EXPONENTIAL = {"kind": "exponential", "mean": 1.0}
UNIFORM = {"kind": "uniform", "low": 0.0, "high": 2.0}
HALF_NORMAL = {"kind": "half_normal", "scale": 1.0}
LOGNORMAL = {"kind": "lognormal", "median": 1.0, "sigma": 1.0}
PARETO = {"kind": "pareto", "scale": 1.0, "index": 2.0}


def rounds_of(delay: dict[str, Any], cohort: int, over_selection: float, rounds: int) -> list[float]:
    """Return how long each round took."""
    asked = round(cohort * over_selection)
    strategy = {"kind": "sync", "cohort": cohort, "over_selection": over_selection}
    _, journal = simulated(timing(asked, delay, strategy, {"updates": rounds}))
    return [after.time_s - before.time_s for before, after in pairwise(journal.versions)]


def harmonic(n: int) -> float:
    return math.fsum(1 / k for k in range(1, n + 1))


def expected(law: Any, k: int, m: int, most: float = math.inf) -> float:
    """Return the expectation of the k-th smallest of m delays, each delay cut off at `most`."""
    density = stats.beta(m - k + 1, k).pdf  # of the upper-tail rank
    peak = (m - k + 1) / (m + 1)
    points = [peak * factor for factor in (1e-4, 0.03, 0.5, 1, 1.5, 3) if peak * factor < 1]
    value, _ = integrate.quad(
        lambda u: min(float(law.isf(u)), most) * density(u), 0, 1, points=points, limit=500
    )
    return float(value)


@pytest.mark.parametrize(("cohort", "rounds"), [(10, 10_000), (100, 1000)])
def test_a_cohort_of_exponential_delays_takes_a_harmonic_number(cohort: int, rounds: int) -> None:
    """1e5 tasks each; the deviation of the mean is 0.4 % and 0.8 %."""
    mean = np.mean(rounds_of(EXPONENTIAL, cohort, 1.0, rounds))
    assert mean == pytest.approx(harmonic(cohort), rel=0.02)


@pytest.mark.parametrize(("cohort", "rounds", "published"), [(10, 4000, 1.347), (100, 500, 1.454)])
def test_the_first_of_an_over_selected_cohort(cohort: int, rounds: int, published: float) -> None:
    """H_1.3n - H_.3n, to the 0.6 % deviation of so many rounds."""
    asked = round(1.3 * cohort)
    exact = harmonic(asked) - harmonic(asked - cohort)
    assert exact == pytest.approx(published, abs=0.0005)
    assert np.mean(rounds_of(EXPONENTIAL, cohort, 1.3, rounds)) == pytest.approx(exact, rel=0.02)


@pytest.mark.parametrize(("cohort", "rounds"), [(10, 2000), (100, 200)])
def test_a_cohort_of_uniform_delays(cohort: int, rounds: int) -> None:
    """2n / (n + 1), with a deviation below 0.2 %."""
    exact = 2 * cohort / (cohort + 1)
    assert np.mean(rounds_of(UNIFORM, cohort, 1.0, rounds)) == pytest.approx(exact, rel=0.01)


PUBLISHED = [
    # delay, law, cohort, over-selection, rounds, published ratio of round to delay
    (HALF_NORMAL, stats.halfnorm(), 10, 1.0, 3000, 2.38),
    (HALF_NORMAL, stats.halfnorm(), 100, 1.0, 500, 3.40),
    (HALF_NORMAL, stats.halfnorm(), 10, 1.3, 3000, 1.42),
    (HALF_NORMAL, stats.halfnorm(), 100, 1.3, 300, 1.48),
    (LOGNORMAL, stats.lognorm(1), 10, 1.0, 5000, 3.38),
    (LOGNORMAL, stats.lognorm(1), 100, 1.0, 1000, 8.44),
    (LOGNORMAL, stats.lognorm(1), 10, 1.3, 3000, 1.20),
    (LOGNORMAL, stats.lognorm(1), 100, 1.3, 300, 1.26),
    (UNIFORM, stats.uniform(0, 2), 10, 1.3, 1000, 1.42),
    (UNIFORM, stats.uniform(0, 2), 100, 1.3, 200, 1.52),
    (PARETO, stats.pareto(2), 100, 1.3, 300, 1.04),
]


@pytest.mark.parametrize(
    ("delay", "law", "cohort", "over_selection", "rounds", "published"),
    PUBLISHED,
    ids=[f"{cell[0]['kind']}-{cell[2]}-{cell[3]}" for cell in PUBLISHED],
)
def test_cohorts_of_other_delays(
    delay: dict[str, Any], law: Any, cohort: int, over_selection: float, rounds: int, published: float
) -> None:
    """The published cells carry up to 3 % Monte-Carlo error; the integral carries none."""
    exact = expected(law, cohort, round(cohort * over_selection))
    assert exact / law.mean() == pytest.approx(published, rel=0.03)
    assert np.mean(rounds_of(delay, cohort, over_selection, rounds)) == pytest.approx(exact, rel=0.03)


@pytest.mark.parametrize(("cohort", "rounds"), [(10, 5000), (100, 1000)])
def test_a_cohort_of_heavy_tailed_delays(cohort: int, rounds: int) -> None:
    """Pareto with index 2: a round's variance is infinite, so rounds count up to their 98th percentile."""
    law = stats.pareto(2)
    most = float(law.ppf(0.98 ** (1 / cohort)))
    took = np.minimum(rounds_of(PARETO, cohort, 1.0, rounds), most)
    assert took.mean() == pytest.approx(expected(law, cohort, cohort, most), rel=0.03)


def test_the_integral_gives_the_closed_forms() -> None:
    """Exponential: H_n. Pareto with index a: n B(n, 1 - 1/a)."""
    for n in (10, 100):
        assert expected(stats.expon(), n, n) == pytest.approx(harmonic(n), rel=1e-6)
        beta = math.exp(math.lgamma(n + 1) + math.lgamma(0.5) - math.lgamma(n + 0.5))
        assert expected(stats.pareto(2), n, n) == pytest.approx(beta, rel=1e-3)


def aggregated(journal: MemoryJournal) -> list[TaskRecord]:
    return [row for row in journal.tasks if row.outcome is Outcome.AGGREGATED]


@pytest.mark.parametrize(
    ("delay", "mean", "concurrency", "buffer", "updates"),
    [
        (EXPONENTIAL, 1.0, 100, 10, 6000),
        (EXPONENTIAL, 1.0, 20, 1, 40_000),
        (LOGNORMAL, math.exp(0.5), 50, 8, 6000),
        (UNIFORM, 1.0, 10, 25, 1500),
    ],
    ids=["C100-K10", "C20-K1", "lognormal-C50-K8", "uniform-C10-K25"],
)
def test_a_buffered_server_in_the_long_run(
    delay: dict[str, Any], mean: float, concurrency: int, buffer: int, updates: int
) -> None:
    """Mean staleness (C - 1) / K, because a slot is refilled after the update it triggers; C / m arrivals
    a second. Between 37,500 and 60,000 tasks.
    """
    strategy = {"kind": "fedbuff", "concurrency": concurrency, "buffer_size": buffer}
    ended, journal = simulated(timing(2 * concurrency, delay, strategy, {"updates": updates}))
    rows = aggregated(journal)
    assert len(rows) == updates * buffer
    warm = [row.staleness for row in rows if (row.aggregated_version or 0) > updates / 20]
    assert np.mean(warm) == pytest.approx((concurrency - 1) / buffer, rel=0.02)
    assert len(rows) / ended.virtual_time_s == pytest.approx(concurrency / mean, rel=0.02)


def test_fedasync_keeps_the_time_of_fedbuff_with_a_buffer_of_one() -> None:
    """Everything but the weights is the same, record by record."""
    stop = {"updates": 500}
    network = {"latency": 0.01, "uplink": 1e6, "server": {"downlink": 3e6}, "sharing": "fair"}
    workload = {"kind": "synthetic", "download": 1000, "upload": 20_000}
    journals = []
    for strategy in ({"kind": "fedasync"}, {"kind": "fedbuff", "buffer_size": 1}):
        data = timing(30, EXPONENTIAL, {**strategy, "concurrency": 12}, stop, workload=workload)
        journals.append(simulated({**data, "network": network})[1])
    asynchronous, buffered = journals
    assert asynchronous.versions == buffered.versions
    assert [row._replace(weight=None) for row in asynchronous.tasks] == [
        row._replace(weight=None) for row in buffered.tasks
    ]
