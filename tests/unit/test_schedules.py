"""The schedules one by one, against what they are defined to be."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flsim.draws import Stream
from flsim.errors import ScenarioError
from flsim.scenario.availability import Availability, Diurnal
from flsim.scenario.distributions import Constant, Distribution, Exponential, Lognormal, Uniform
from flsim.scenario.failure import Outage
from flsim.sim.devices import draw_devices
from flsim.sim.schedules import daily
from flsim.sim.schedules.build import build_schedules
from flsim.sim.schedules.build import schedules_of as schedules_of_kind
from flsim.sim.schedules.diurnal import DiurnalSessions
from flsim.sim.schedules.hours import DAY_S, HourlyRate
from flsim.sim.schedules.lengths import Lengths
from flsim.sim.schedules.linear import solve
from flsim.sim.schedules.once import Joining, Leaving, OutOfReach
from flsim.sim.schedules.outages import Population, members_of
from flsim.sim.schedules.renewal import Renewal
from flsim.sim.schedules.schedule import Calendar, last_return, later
from tests.comings import Listed, fleet, follow, history, on_the_clock, schedules_of

SHORT, LONG = Exponential(mean=10.0), Uniform(low=1.0, high=5.0)


# The calendar


@given(
    firsts=st.lists(
        st.lists(st.one_of(st.floats(0, 100), st.sampled_from([1.0, 2.0, math.inf])), max_size=8),
        max_size=3,
    ),
    entries=st.lists(
        st.tuples(st.sampled_from([1.0, 2.0, 50.0, 200.0]), st.integers(-1, 4), st.integers(0, 99))
    ),
)
def test_a_calendar_goes_in_order_and_forgets_nothing(
    firsts: list[list[float]], entries: list[tuple[float, int, int]]
) -> None:
    calendar = Calendar(np.array(first, dtype=np.float64) for first in firsts)
    for entry in entries:
        calendar.add(*entry)
    came: list[tuple[float, int, int]] = []
    while (instant := calendar.first()) < math.inf:
        came += calendar.due(instant)
    assert [instant for instant, _, _ in came] == sorted(instant for instant, _, _ in came)
    entered = [
        (instant, number, client)
        for number, first in enumerate(firsts)
        for client, instant in enumerate(first)
    ]
    assert sorted(came) == sorted(entry for entry in entered + entries if entry[0] < math.inf)


def test_a_calendar_takes_out_nothing_too_early() -> None:
    calendar = Calendar([np.array([3.0, 1.0, 2.0])])
    calendar.add(1.5, 4, 7)
    assert list(calendar.due(0.5)) == []
    assert list(calendar.due(1.75)) == [(1.0, 0, 1), (1.5, 4, 7)]
    assert calendar.first() == 2.0


def test_later_is_later() -> None:
    assert later(1.0, 2.0) == 2.0
    assert later(2.0, 2.0) == math.nextafter(2.0, math.inf)
    assert later(1e9, 1e9 - 1) > 1e9


@pytest.mark.parametrize(
    ("schedules", "last"),
    [
        ([], -math.inf),
        ([Leaving(np.array([5.0, 9.0]))], -math.inf),
        ([Joining(np.array([5.0, 9.0]))], 9.0),
        ([Joining(np.array([0.0, 0.0]))], -math.inf),
        ([Joining(np.array([5.0, 9.0])), Leaving(np.array([7.0, 8.0]))], 8.0),
        ([Renewal(SHORT, LONG, 2, 0, "a")], math.inf),
        ([Renewal(SHORT, LONG, 2, 0, "a"), Leaving(np.array([7.0, 8.0]))], 8.0),
        ([OutOfReach(2, np.array([1]), 3.0, 6.0)], 6.0),
        ([OutOfReach(2, np.array([1]), 3.0, 6.0), Leaving(np.array([9.0, 4.0]))], 4.0),
        ([OutOfReach(2, np.array([], dtype=np.int64), 3.0, 6.0)], -math.inf),
    ],
)
def test_the_last_return(schedules: list[Any], last: float) -> None:
    assert last_return(schedules) == last


# Sessions


@pytest.mark.parametrize(
    ("law", "second_moment"),
    [
        (Constant(value=6.0), 36.0),
        (Uniform(low=2.0, high=10.0), 36 + 64 / 12),
        (Exponential(mean=5.0), 50.0),
        (Lognormal(median=2.0, sigma=0.5), 4 * math.exp(2 * 0.25)),
        (Lognormal(median=2.0, sigma=1.0), 4 * math.exp(2)),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_what_remains_of_an_interval(law: Distribution, second_moment: float) -> None:
    """The mean residual is E[L^2] / 2 E[L]; 500,000 draws: within 1 %, at least four deviations."""
    rest = Lengths(law)
    assert rest.mean_s == pytest.approx(law.expectation, rel=1e-4)
    assert math.fsum(rest.weight) == pytest.approx(1.0, rel=1e-12)
    u, v = np.random.default_rng(3).random((2, 500_000))
    expected = second_moment / (2 * law.expectation)
    assert np.mean(rest.remaining(u, v)) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("index", [1.2, 1.5, 2.5])
def test_the_grid_of_lengths_keeps_heavy_tails(index: float) -> None:
    """Even cells alone would miss a sixth of the mean at index 1.2."""
    law = {"kind": "pareto", "scale": 3.0, "index": index}
    lengths = Lengths(Diurnal.model_validate({"kind": "diurnal", "on": law, "off": 1.0}).on)
    assert lengths.mean_s == pytest.approx(3.0 * index / (index - 1), rel=0.005)


def test_sessions_follow_their_draws() -> None:
    """After the first change, each interval is the quantile of the client's next draw of its kind."""
    sessions = {"kind": "sessions", "on": SHORT.model_dump(), "off": LONG.model_dump()}
    followed = follow(fleet(50, sessions), 500.0)
    assert_follows(followed.changes, followed.start, ("availability.on", "availability.off"), 500.0)


def assert_follows(changes: Any, start: list[bool], purposes: tuple[str, str], until_s: float) -> None:
    draws = [Stream(0, purpose) for purpose in purposes]
    for client, is_there in enumerate(start):
        states = [state for _, state in changes[client]]
        assert states == [(number % 2 == 0) != is_there for number in range(len(states))]
        expected = changes[client][0][0]
        for number, (instant, state) in enumerate(changes[client]):
            assert on_the_clock(instant, expected)
            law, stream = (SHORT, draws[0]) if state else (LONG, draws[1])
            expected += law.quantile(stream.uniform(client, number))
        assert expected >= until_s


def test_conditions_are_two_sessions_with_draws_of_their_own() -> None:
    times = {"on": SHORT.model_dump(), "off": LONG.model_dump()}
    of = fleet(30, {"kind": "conditions", "charging": times, "wifi": times})
    charging, wifi = schedules_of(of)
    histories = {}
    for schedule, purpose in ((charging, "availability.charging"), (wifi, "availability.wifi")):
        away, _ = schedule.start()
        changes = {
            client: [
                (instant, bool(away[client]) == (number % 2 == 0))
                for number, instant in enumerate(history(schedule, client, 200.0))
            ]
            for client in range(30)
        }
        assert_follows(changes, (~away).tolist(), (f"{purpose}.on", f"{purpose}.off"), 200.0)
        histories[purpose] = changes
    followed = follow(of, 200.0)
    for client in range(30):
        for instant in np.linspace(0.1, 199.9, 200).tolist():
            both = []
            for schedule, changes in zip((charging, wifi), histories.values(), strict=True):
                past = [state for when, state in changes[client] if when <= instant]
                both.append(past[-1] if past else not schedule.start()[0][client])
            assert followed.there_at(client, instant) == all(both)


# By the hour


def test_the_hazard_accumulates_by_the_hour() -> None:
    """A profile of 1, 3, 0, 0, ... and a mean wait of 6 hours: rates of 1 and 3 per hour."""
    rate = HourlyRate([1.0, 3.0, *[0.0] * 22], mean_wait_s=6 * 3600.0)
    assert rate.per_second[:3] == pytest.approx((1 / 3600, 3 / 3600, 0.0))
    assert rate.reach(0.0, 0.5) == pytest.approx(1800.0)
    assert rate.reach(0.0, 2.5) == pytest.approx(5400.0)
    assert rate.reach(5400.0, 1.5 + 0.25) == pytest.approx(DAY_S + 900.0)
    assert rate.reach(40_000.0, 1.0 + 1.5) == pytest.approx(DAY_S + 5400.0)
    assert rate.reach(0.0, 4.0 * 1e12 + 1.0 + 1.5) == pytest.approx(1e12 * DAY_S + 5400.0, rel=1e-15)
    assert rate.reach(-1800.0, 0.5) == pytest.approx(1800.0)


@given(
    profile=st.lists(st.sampled_from([0.0, 1e-9, 0.2, 1.0, 3.0, 1e9]), min_size=24, max_size=24).filter(
        any
    ),
    wait_s=st.floats(1e-3, 1e7),
    local_s=st.floats(-2e5, 1e7),
    hazard=st.floats(1e-9, 40),
)
def test_reaching_a_hazard_inverts_its_integral(
    profile: list[float], wait_s: float, local_s: float, hazard: float
) -> None:
    rate = HourlyRate(profile, wait_s)
    reached = rate.reach(local_s, hazard)
    scale = 24 / math.fsum(profile) / wait_s
    per_day = 3600 * scale * math.fsum(profile)

    def accumulated(moment: float) -> float:
        day, within = divmod(moment, DAY_S)
        hours = [min(max(within - 3600 * hour, 0.0), 3600.0) * profile[hour] for hour in range(24)]
        return day * per_day + scale * math.fsum(hours)

    total = accumulated(reached) - accumulated(local_s)
    # The clock's own resolution, times the highest rate, is as exact as an answer can be.
    resolution = 4 * math.ulp(max(abs(reached), abs(local_s), DAY_S)) * scale * max(profile)
    assert total == pytest.approx(
        hazard, rel=1e-9, abs=1e-9 + resolution + 1e-12 * abs(accumulated(reached))
    )


def test_linear_equations() -> None:
    numbers = np.random.default_rng(1)
    matrix, solution = numbers.normal(size=(40, 40)), numbers.normal(size=40)
    matrix[0, 0] = 0.0
    assert solve(matrix, matrix @ solution) == pytest.approx(solution, rel=1e-9)
    with pytest.raises(ZeroDivisionError, match="singular"):
        solve(np.ones((3, 3)), np.ones(3))


@pytest.mark.parametrize(
    "law",
    [
        Constant(value=40.0),
        Constant(value=DAY_S - 50.0),
        Constant(value=3.5 * DAY_S),
        Exponential(mean=5e4),
        Lognormal(median=26_000.0, sigma=1.0),
    ],
)
def test_a_session_covers_its_own_length(law: Distribution) -> None:
    """Whenever in its cell it begins, and however often it goes round the day."""
    lengths = Lengths(law)
    for covered in daily._covered(lengths):
        assert math.fsum(covered) == pytest.approx(lengths.mean_s, rel=1e-9)


def test_diurnal_sessions_follow_their_draws() -> None:
    """A day without structure is an exponential wait; sessions are quantiles of their own draws."""
    spec = Diurnal(on=Constant(value=500.0), off=1000.0, profile=(1.0,) * 24)
    schedule = DiurnalSessions(spec, 20, 0)
    away, first = schedule.start()
    draws = Stream(0, "availability.off")
    for client in range(20):
        now = schedule.after(client, first.item(client), bool(not away[client]))
        comes = [first.item(client), now] if away[client] else [now]
        if away[client]:
            assert now - first.item(client) == pytest.approx(500.0)
            number = 1
        else:
            wait_s = -1000.0 * math.log1p(-draws.uniform(client, 0))
            assert now - first.item(client) == pytest.approx(wait_s)
            continue
        wait_s = schedule.after(client, comes[-1], True) - comes[-1]
        assert wait_s == pytest.approx(-1000.0 * math.log1p(-draws.uniform(client, number)))


@pytest.mark.parametrize(("clients", "zones"), [(100, 6), (7, 3), (2, 5), (1000, 1)])
def test_zones_are_as_even_as_can_be(clients: int, zones: int) -> None:
    spec = Diurnal(on=SHORT, off=10.0, zones=tuple(float(zone) for zone in range(zones)))
    counts = np.bincount(DiurnalSessions(spec, clients, 3).zone, minlength=zones)
    assert counts.sum() == clients
    assert counts.max() - counts.min() <= 1


def test_who_is_in_which_zone_is_drawn() -> None:
    spec = Diurnal(on=SHORT, off=10.0, zones=(0.0, 1.0))
    zones = DiurnalSessions(spec, 1000, 3).zone
    assert 400 < np.count_nonzero(np.diff(zones)) < 600
    assert zones.tolist() != DiurnalSessions(spec, 1000, 4).zone.tolist()


@pytest.mark.parametrize("ahead", [-8.0, 5.5])
def test_sessions_begin_in_the_hours_of_local_time(ahead: float) -> None:
    """Only in local hours 2 and 3: so at other hours by the run's own clock."""
    profile = tuple(float(hour in (2, 3)) for hour in range(24))
    of = fleet(300, {"kind": "diurnal", "on": 600.0, "off": 7200.0, "profile": profile, "zones": [ahead]})
    followed = follow(of, 5 * DAY_S)
    came = [instant for instant, _, is_there in followed.heard if is_there]
    assert len(came) > 1000
    assert all(2 <= (instant / 3600 + ahead) % 24 < 4 for instant in came)


# Once


def test_a_lifetime_ends_for_good_at_its_draw() -> None:
    law = Exponential(mean=100.0)
    followed = follow(fleet(200, failure={"lifetime": law.model_dump()}), 1e6)
    lifetimes = law.column(Stream(0, "availability.lifetime").uniforms(200)).tolist()
    assert followed.start == [True] * 200
    assert followed.changes == {client: [(lifetime, False)] for client, lifetime in enumerate(lifetimes)}


def test_a_lifetime_of_zero_is_over_before_it_starts() -> None:
    lifetime = {"kind": "empirical", "values": [0.0, 5.0]}
    followed = follow(fleet(50, failure={"lifetime": lifetime}), 100.0)
    assert 0 < sum(followed.start) < 50
    assert {client for client, is_there in enumerate(followed.start) if is_there} == set(followed.changes)


def test_a_lifetime_counts_from_joining() -> None:
    join, lifetime = Uniform(low=0.0, high=50.0), Exponential(mean=100.0)
    followed = follow(
        fleet(100, join=join.model_dump(), failure={"lifetime": lifetime.model_dump()}), math.inf
    )
    joins = join.column(Stream(0, "availability.join").uniforms(100)).tolist()
    lifetimes = lifetime.column(Stream(0, "availability.lifetime").uniforms(100)).tolist()
    assert followed.start == [False] * 100
    for client in range(100):
        leaves = joins[client] + lifetimes[client]
        assert followed.changes[client] == [(joins[client], True), (leaves, False)]


def test_who_joins_at_zero_is_there_from_the_start() -> None:
    followed = follow(fleet(5, join=0.0), 10.0)
    assert followed.start == [True] * 5
    assert followed.heard == []


def test_a_lifetime_ends_sessions() -> None:
    """Nobody comes back from then on, and until then it is as if there were no lifetime."""
    sessions = {"kind": "sessions", "on": SHORT.model_dump(), "off": SHORT.model_dump()}
    law = Uniform(low=50.0, high=100.0)
    mortal = follow(fleet(40, sessions, failure={"lifetime": law.model_dump()}), 1e4)
    immortal = follow(fleet(40, sessions), 100.0)
    lifetimes = law.column(Stream(0, "availability.lifetime").uniforms(40)).tolist()
    for client, lifetime_s in enumerate(lifetimes):
        before = [change for change in immortal.changes[client] if change[0] < lifetime_s]
        assert mortal.changes[client] == [*before, (lifetime_s, False)]


# Outages


@pytest.mark.parametrize(
    ("clients", "share", "count"),
    [(10, 0.25, 2), (10, 0.35, 4), (100, 0.29, 29), (3, 0.01, 1), (5, 1.0, 5)],
)
def test_an_outage_meets_its_share_of_the_clients(clients: int, share: float, count: int) -> None:
    outage = {"kind": "share", "share": share, "start": 10.0, "duration": 5.0}
    followed = follow(fleet(clients, failure={"outages": [outage]}), 100.0)
    met = sorted(followed.changes)
    assert len(met) == count
    assert all(followed.changes[client] == [(10.0, False), (15.0, True)] for client in met)
    assert followed.overs == [15.0]


def test_each_outage_draws_whom_it_meets() -> None:
    outage = {"kind": "share", "share": 0.5, "duration": 1.0}
    outages = [outage | {"start": start} for start in (1.0, 3.0)]
    heard = follow(fleet(1000, failure={"outages": outages}), 10.0).heard
    first, second = ({c for t, c, there in heard if t == start and not there} for start in (1.0, 3.0))
    assert len(first) == len(second) == 500
    assert 200 < len(first & second) < 300  # 250 if independent, with a deviation below 8


def test_an_outage_that_the_run_begins_with() -> None:
    outage = {"kind": "share", "share": 1.0, "start": 0.0, "duration": 5.0}
    followed = follow(fleet(3, failure={"outages": [outage]}), 10.0)
    assert followed.start == [False] * 3
    assert followed.heard == [(5.0, client, True) for client in range(3)]


def test_an_outage_too_short_for_the_clock() -> None:
    (start_s, end_s) = history(OutOfReach(1, np.array([0]), 1e17, 1e17), 0, math.inf)
    assert start_s == 1e17
    assert end_s > 1e17


CLASSES = [
    {"name": name, "share": share, "compute": {"kind": "duration", "task": 1.0}}
    for name, share in (("fast", 0.2), ("slow", 0.8))
]


def class_outage(name: str) -> dict[str, Any]:
    return {"outages": [{"kind": "class", "name": name, "start": 1.0, "duration": 2.0}]}


def test_an_outage_of_a_device_class() -> None:
    of = fleet(50, classes=CLASSES, failure=class_outage("fast"))
    devices = draw_devices(of)
    expected = [
        client for client in range(50) if devices.class_names[devices.device_class[client]] == "fast"
    ]
    followed = follow(of, 10.0)
    assert sorted(followed.changes) == expected
    assert len(expected) == 10


def test_an_outage_of_an_unknown_class() -> None:
    with pytest.raises(
        ScenarioError, match=r"no device class 'fats'; classes: fast, slow; did you .* 'fast'"
    ):
        schedules_of(fleet(50, classes=CLASSES, failure=class_outage("fats")))


def test_an_outage_of_a_region() -> None:
    of = fleet(
        6, failure={"outages": [{"kind": "region", "node": "edge-1", "start": 1.0, "duration": 2.0}]}
    )
    asked: list[str] = []

    def region_of(node: str) -> list[int]:
        asked.append(node)
        return [1, 4]

    (schedule,) = build_schedules(of, draw_devices(of), region_of)
    away, first = schedule.start()
    assert asked == ["edge-1"]
    assert not away.any()
    assert first.tolist() == [math.inf, 1.0, math.inf, math.inf, 1.0, math.inf]
    with pytest.raises(ScenarioError, match=r"no node 'edge-1'"):
        schedules_of(of)


def test_outages_of_the_server_are_not_the_clients_matter() -> None:
    outage = {"kind": "server", "start": 1.0, "duration": 2.0}
    assert schedules_of(fleet(3, failure={"outages": [outage]})) == []


def test_kinds_that_the_world_does_not_know() -> None:
    class Odd(Availability):
        kind: str = "odd"

    class Broken(Outage):
        kind: str = "broken"

    with pytest.raises(ScenarioError, match="no schedule for a Odd"):
        schedules_of_kind(Odd(), 3, 0)
    population = Population(0, draw_devices(fleet(3)), lambda node: [])
    with pytest.raises(ScenarioError, match="cannot do a Broken"):
        members_of(Broken(start=1.0, duration=1.0), population, 0)


# Together


def test_a_client_is_there_if_nothing_keeps_it_away() -> None:
    """Sessions, joining, lifetimes and two outages: at any moment, no reason of the five."""
    outages = [
        {"kind": "share", "share": 0.5, "start": 30.0, "duration": 30.0},
        {"kind": "share", "share": 0.3, "start": 50.0, "duration": 50.0},
    ]
    of = fleet(
        60,
        {"kind": "sessions", "on": SHORT.model_dump(), "off": LONG.model_dump()},
        join={"kind": "uniform", "low": 0.0, "high": 40.0},
        failure={"lifetime": {"kind": "uniform", "low": 10.0, "high": 200.0}, "outages": outages},
    )
    followed = follow(of, 300.0)
    schedules = schedules_of(of)
    assert len(schedules) == 5
    starts = [schedule.start()[0] for schedule in schedules]
    for client in range(60):
        parts = [history(schedule, client, 300.0) for schedule in schedules]
        for instant in np.linspace(0.05, 299.95, 400).tolist():
            reasons = [
                bool(start[client]) != (sum(change <= instant for change in part) % 2 == 1)
                for start, part in zip(starts, parts, strict=True)
            ]
            assert followed.there_at(client, instant) == (not any(reasons))


KINDS: dict[str, dict[str, Any]] = {
    "sessions": {"kind": "sessions", "on": SHORT.model_dump(), "off": LONG.model_dump()},
    "conditions": {
        "kind": "conditions",
        "charging": {"on": SHORT.model_dump(), "off": LONG.model_dump()},
        "wifi": {"on": LONG.model_dump(), "off": LONG.model_dump()},
    },
    "diurnal": {
        "kind": "diurnal",
        "on": {"kind": "lognormal", "median": 9.0, "sigma": 1.0},
        "off": 10.0,
        "zones": [5.5],
    },
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_has_the_same_history_in_a_fleet_of_any_size(kind: str) -> None:
    few, many = (follow(fleet(clients, KINDS[kind]), 100.0) for clients in (7, 200))
    assert few.start == many.start[:7]
    assert any(few.changes.values())
    for client in range(7):
        assert len(few.changes[client]) == len(many.changes[client])
        for (one, state), (other, same) in zip(few.changes[client], many.changes[client], strict=True):
            assert state == same
            assert on_the_clock(one, other) or on_the_clock(other, one)


SCRIPT = """
import json, sys
from tests.comings import fleet, follow
print(json.dumps(follow(fleet(40, json.loads(sys.argv[1])), 200.0).heard))
"""


@pytest.mark.parametrize("kind", KINDS)
def test_another_process_tells_the_same_history(kind: str) -> None:
    told = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(KINDS[kind])],
        capture_output=True,
        check=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    here = follow(fleet(40, KINDS[kind]), 200.0).heard
    assert [tuple(row) for row in json.loads(told.stdout)] == here
    assert len(here) > 100


def test_a_listed_schedule_is_what_it_says() -> None:
    """The schedule that other tests use."""
    listed = Listed([True, False, True], [[4.0, 50.0], [2.0, 6.0], []])
    assert listed.outlook().last_return.tolist() == [4.0, 6.0, -math.inf]
    assert listed.outlook().gone.tolist() == [50.0, math.inf, 0.0]
