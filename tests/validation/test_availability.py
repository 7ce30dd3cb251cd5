"""Who is there, against renewal theory, an exact solution, another simulation, and published shares."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from flsim.scenario.availability import Diurnal
from flsim.scenario.distributions import Constant, Distribution, Exponential, Lognormal, Pareto
from flsim.sim.schedules.daily import DailyEquilibrium
from flsim.sim.schedules.diurnal import DiurnalSessions
from flsim.sim.schedules.hours import DAY_S, HOUR_S, HourlyRate
from flsim.sim.schedules.lengths import Lengths
from tests.comings import Followed, fleet, follow

PROFILE: tuple[float, ...] = Diurnal.model_fields["profile"].default
NIGHT = tuple(float(hour < 6) for hour in range(24))
COMMUTERS = (0.0, 0.0, 0.1, 0.1, 0.5, 2.0, 5.0, 5.0, 1.0, *[0.2] * 8, 3.0, 4.0, 2.0, *[0.5] * 4)
PHONES_ON = Lognormal(median=26_000.0, sigma=1.0)
PHONES_OFF_S = 61_700.0


def shares_at(followed: Followed, moments: list[float]) -> list[float]:
    """Return the share of clients that are there at each of these moments."""
    change = np.zeros(len(moments) + 1)
    for instant, _, is_there in followed.heard:
        change[np.searchsorted(moments, instant)] += 1 if is_there else -1
    there = sum(followed.start) + np.cumsum(change)[:-1]
    return (there / len(followed.start)).tolist()


# Sessions and conditions

HEAVY: dict[str, dict[str, Any]] = {
    "pareto": {"kind": "pareto", "scale": 10.0, "index": 1.5},
    "lognormal": {"kind": "lognormal", "median": 10.0, "sigma": 1.5},
    "exponential": {"kind": "exponential", "mean": 30.0},
    "constant": {"kind": "constant", "value": 30.0},
    "zipf": {"kind": "zipf", "scale": 2.0, "exponent": 1.5, "ranks": 1000},
}


@pytest.mark.parametrize(
    ("on", "off"),
    [
        ("pareto", "exponential"),
        ("exponential", "pareto"),
        ("lognormal", "pareto"),
        ("lognormal", "constant"),
        ("constant", "exponential"),
        ("zipf", "lognormal"),
    ],
)
def test_the_share_there_is_the_same_at_any_moment(on: str, off: str) -> None:
    """E[on] / (E[on] + E[off]) from the start on; 10,000 clients: within four deviations, at most 2 %."""
    of = fleet(10_000, {"kind": "sessions", "on": HEAVY[on], "off": HEAVY[off]}, seed=5)
    spec: Any = of.fleet.availability
    share = spec.on.expectation / (spec.on.expectation + spec.off.expectation)
    deviation = math.sqrt(share * (1 - share) / 10_000)
    measured = shares_at(follow(of, 501.0), [0.001, 3.0, 20.0, 45.0, 100.0, 500.0])
    assert measured == pytest.approx([share] * 6, abs=4 * deviation)


def test_both_conditions_are_met_with_the_product_of_their_shares() -> None:
    """0.4 of the time charging and 0.75 on Wi-Fi, independently: 0.3, from the start on."""
    availability = {
        "kind": "conditions",
        "charging": {"on": HEAVY["lognormal"], "off": 1.5 * 10.0 * math.exp(1.5**2 / 2)},
        "wifi": {"on": HEAVY["exponential"], "off": {"kind": "uniform", "low": 0.001, "high": 20.0}},
    }
    measured = shares_at(follow(fleet(10_000, availability), 201.0), [0.001, 10.0, 50.0, 200.0])
    assert measured == pytest.approx([0.3] * 4, abs=4 * math.sqrt(0.21 / 10_000))


# The day


def exact_shares(profile: tuple[float, ...], mean_on_s: float, off_s: float) -> list[float]:
    """Return the share there at each full hour if sessions are exponential.

    Then it solves db/dt = rate(t) (1 - b) - b / on, hour by hour an exponential approach, and repeats
    every day: a fixed point of an affine map.
    """

    def day(share: float) -> list[float]:
        shares = [share]
        for hour in profile:
            rate = hour / (math.fsum(profile) / 24) / off_s
            goal = rate / (rate + 1 / mean_on_s)
            shares.append(goal + (shares[-1] - goal) * math.exp(-(rate + 1 / mean_on_s) * HOUR_S))
        return shares

    from_nobody, from_all = day(0.0)[-1], day(1.0)[-1]
    return day(from_nobody / (1 - (from_all - from_nobody)))[:24]


@pytest.mark.parametrize("profile", [PROFILE, NIGHT, COMMUTERS], ids=["default", "night", "commuters"])
@pytest.mark.parametrize(
    ("on_s", "off_s"),
    [(43_000.0, 61_700.0), (60.0, 60.0), (100 * DAY_S, HOUR_S), (600.0, DAY_S), (3 * DAY_S, 60.0)],
)
def test_the_equilibrium_of_exponential_sessions(
    profile: tuple[float, ...], on_s: float, off_s: float
) -> None:
    """To 5e-4 of all clients, from waits of a minute to sessions of a hundred days."""
    daily = DailyEquilibrium(Lengths(Exponential(mean=on_s)), HourlyRate(profile, off_s))
    shares = [daily.at(hour * HOUR_S).share_there for hour in range(24)]
    assert shares == pytest.approx(exact_shares(profile, on_s, off_s), abs=5e-4)


def simulated_shares(on: Distribution, off_s: float, profile: tuple[float, ...], days: int) -> list[float]:
    """Return the share there at the full hours of the last day, by simulating 20,000 clients.

    Independent of what it checks: numpy's own draws, thinning, and a start with everyone away.
    """
    numbers, clients = np.random.default_rng(11), 20_000
    rates = np.array(profile) / np.mean(profile) / off_s
    probes = (days - 1) * DAY_S + HOUR_S * np.arange(24)
    there = np.zeros(24)
    now = np.zeros(clients)
    waiting = np.ones(clients, dtype=np.bool_)
    while (now < days * DAY_S).any():
        now = np.where(waiting, now + numbers.exponential(1 / rates.max(), clients), now)
        hour = (now % DAY_S // HOUR_S).astype(int)
        comes = waiting & (numbers.random(clients) * rates.max() < rates[hour])
        lengths = on.column(np.clip(numbers.random(int(comes.sum())), 1e-15, 1 - 1e-15))
        begins, ends = now[comes], now[comes] + lengths
        there += [np.count_nonzero((begins <= probe) & (probe < ends)) for probe in probes]
        now[comes] = ends
    return (there / clients).tolist()


@pytest.mark.parametrize(
    ("on", "off_s", "days"),
    [
        (PHONES_ON, PHONES_OFF_S, 15),
        (Constant(value=30_000.0), 30_000.0, 30),
        (Pareto(scale=9e3, index=2.2), 4e4, 20),
    ],
    ids=["phones", "constant", "pareto"],
)
def test_the_equilibrium_of_other_sessions(on: Distribution, off_s: float, days: int) -> None:
    """20,000 clients: within four deviations of a share, 1.4 % of the clients at most."""
    daily = DailyEquilibrium(Lengths(on), HourlyRate(PROFILE, off_s))
    shares = [daily.at(hour * HOUR_S).share_there for hour in range(24)]
    assert simulated_shares(on, off_s, PROFILE, days) == pytest.approx(
        shares, abs=4 * math.sqrt(0.25 / 20_000)
    )


@pytest.mark.parametrize("zone", [0.0, -7.75])
def test_a_run_starts_in_the_equilibrium_and_stays_there(zone: float) -> None:
    """10,000 clients: the shares at the full hours of three days are the equilibrium's.

    Within four deviations of a share, at most 2 % of the clients. A zone shifts them.
    """
    spec = Diurnal(on=PHONES_ON, off=PHONES_OFF_S, zones=(zone,))
    followed = Followed(10_000, [DiurnalSessions(spec, 10_000, 1)], 3 * DAY_S)
    moments = [0.001, *(HOUR_S * hour for hour in range(1, 72))]
    daily = DailyEquilibrium(Lengths(PHONES_ON), HourlyRate(PROFILE, PHONES_OFF_S))
    expected = [daily.at((moment + zone * HOUR_S) % DAY_S).share_there for moment in moments]
    assert shares_at(followed, moments) == pytest.approx(expected, abs=4 * math.sqrt(0.25 / 10_000))
    assert max(expected) - min(expected) > 0.2


def arrivals_and_exposure(followed: Followed, days: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return, by hour of the day, how many clients came, and for how many seconds clients were away."""
    arrivals, exposure = np.zeros(24), np.zeros(24 * days)
    for client, starts_there in enumerate(followed.start):
        left = None if starts_there else 0.0
        for instant, is_there in [*followed.changes[client], (days * DAY_S, True)]:
            if is_there and left is not None:
                for hour in range(int(left // HOUR_S), min(int(instant // HOUR_S) + 1, 24 * days)):
                    exposure[hour] += min(instant, (hour + 1) * HOUR_S) - max(left, hour * HOUR_S)
                if instant < days * DAY_S:
                    arrivals[int(instant % DAY_S // HOUR_S)] += 1
            left = None if is_there else instant
    return arrivals, exposure.reshape(days, 24).sum(axis=0)


@pytest.mark.parametrize("profile", [PROFILE, COMMUTERS], ids=["default", "commuters"])
def test_clients_come_as_the_profile_says(profile: tuple[float, ...]) -> None:
    """4,000 clients, 5 days, over 10,000 sessions: in hour h at the rate profile[h] / mean / off.

    Given the time that clients are away, counts are Poisson: chi-square of 24 degrees (22 if two hours
    are zero, in which none may come), within five deviations.
    """
    spec = Diurnal(on=PHONES_ON, off=PHONES_OFF_S, profile=profile)
    followed = Followed(4000, [DiurnalSessions(spec, 4000, 2)], 5 * DAY_S)
    arrivals, exposure = arrivals_and_exposure(followed, 5)
    expected = exposure * np.array(profile) / np.mean(profile) / PHONES_OFF_S
    assert arrivals.sum() > 10_000
    assert not arrivals[expected == 0].any()
    open_hours = expected > 0
    squares = (arrivals - expected)[open_hours] ** 2 / expected[open_hours]
    degrees = int(open_hours.sum())
    assert squares.sum() < degrees + 5 * math.sqrt(2 * degrees)


def test_sessions_have_the_lengths_of_their_law() -> None:
    """Sessions of 4,000 clients that began on the first day and ended within 30: Kolmogorov's distance."""
    law = Lognormal(median=6_000.0, sigma=1.0)
    schedule = DiurnalSessions(Diurnal(on=law, off=20_000.0), 4000, 2)
    followed = Followed(4000, [schedule], 20 * DAY_S)
    lengths = []
    for rows in followed.changes.values():
        for (begins, is_there), (ends, _) in pairwise(rows):
            if is_there and begins < DAY_S:
                lengths.append(ends - begins)
    lengths.sort()
    ranks = [0.5 * (1 + math.erf(math.log(length / 6_000.0) / math.sqrt(2))) for length in lengths]
    distance = max(abs(rank - (number + 0.5) / len(ranks)) for number, rank in enumerate(ranks))
    assert len(lengths) > 5000
    assert distance < 2.0 / math.sqrt(len(lengths))


def test_phones_are_eligible_about_41_percent_of_the_time() -> None:
    """Yang et al., WWW 2021: about 41 %, here to 3 points, over the first day and over the third."""
    of = fleet(3000, preset="phones")
    followed = follow(of, 3 * DAY_S)
    moments = [0.001, *(HOUR_S * quarter / 4 for quarter in range(1, 3 * 96))]
    shares = shares_at(followed, moments)
    for day in (0, 2):
        assert np.mean(shares[day * 96 : (day + 1) * 96]) == pytest.approx(0.41, abs=0.03)
