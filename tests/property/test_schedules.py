"""Whatever the schedule: time moves on, and presence is what the schedules say."""

import csv
import math
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from flsim.sim.schedules.schedule import last_return
from flsim.sim.schedules.trace import Replay
from flsim.sim.schedules.trace_file import read_intervals
from tests.comings import Followed, Listed, fleet, history, on_the_clock, schedules_of

Interval = tuple[float, float]

tiny_times = st.sampled_from([1e-300, 1e-12, 1e-3, 1.0, 3.0])
laws = st.one_of(
    tiny_times,
    st.builds(lambda mean: {"kind": "exponential", "mean": mean}, tiny_times),
    st.builds(lambda index: {"kind": "pareto", "scale": 1e-3, "index": index}, st.floats(1.1, 4)),
    st.builds(
        lambda median, sigma: {"kind": "lognormal", "median": median, "sigma": sigma},
        tiny_times,
        st.floats(0, 5),
    ),
)
profiles = st.lists(st.sampled_from([0.0, 0.0, 1e-12, 1.0, 7.0]), min_size=24, max_size=24).filter(any)


def availabilities() -> st.SearchStrategy[dict[str, Any]]:
    times = st.fixed_dictionaries({"on": laws, "off": laws})
    sessions = times.map(lambda times: {"kind": "sessions", **times})
    conditions = st.builds(lambda a, b: {"kind": "conditions", "charging": a, "wifi": b}, times, times)
    zones = st.lists(st.floats(-24, 24), min_size=1, max_size=4)
    diurnal = st.builds(
        lambda on, off, profile, zones: {
            "kind": "diurnal",
            "on": on,
            "off": off,
            "profile": profile,
            "zones": zones,
        },
        laws,
        st.floats(1e-12, 1e9),
        profiles,
        zones,
    )
    return st.one_of(sessions, conditions, diurnal)


@settings(max_examples=200)
@given(availabilities(), st.integers(0, 1000), st.floats(0, 1e12))
def test_no_change_is_due_at_once(availability: dict[str, Any], seed: int, late_s: float) -> None:
    """Every next change is later than now, at time zero and at any other."""
    of = fleet(
        5,
        availability,
        seed=seed,
        join={"kind": "uniform", "low": 0.0, "high": 5.0},
        failure={"outages": [{"kind": "share", "share": 0.5, "start": 1e17, "duration": 1e-3}]},
    )
    for schedule in schedules_of(of):
        away, first = schedule.start()
        assert (first > 0).all()
        for client in range(5):
            now, is_away = late_s, bool(away[client])
            for _ in range(6):
                is_away = not is_away
                after = schedule.after(client, now, is_away)
                assert after > now
                if after == math.inf:
                    break
                now = after


@st.composite
def traces(draw: st.DrawFn) -> tuple[dict[int, list[Interval]], float | None]:
    """Return the intervals of some clients, apart or touching, and perhaps a period."""
    trace = {}
    for client in draw(st.lists(st.integers(0, 50), unique=True, min_size=1, max_size=4)):
        bounds = draw(st.lists(st.integers(0, 40), min_size=2, max_size=8, unique=True))
        ends = sorted(bounds)[: len(bounds) // 2 * 2]
        intervals = [(ends[i] / 4, ends[i + 1] / 4) for i in range(0, len(ends), 2)]
        touching = [(off_s, off_s + 0.125) for _, off_s in intervals[-1:] if draw(st.booleans())]
        trace[client] = intervals + touching
    last = max(off_s for intervals in trace.values() for _, off_s in intervals)
    period = draw(st.one_of(st.none(), st.just(last), st.floats(0, 5).map(lambda rest: last + rest)))
    return trace, period


def is_there(intervals: list[Interval], period: float | None, now: float) -> bool:
    within = now if period is None else math.fmod(now, period)
    return any(on_s <= within < off_s for on_s, off_s in intervals)


@settings(max_examples=300)
@given(traces(), st.integers(1, 9), st.randoms(use_true_random=False))
def test_a_replayed_trace_is_a_look_up_in_its_file(
    drawn: tuple[dict[int, list[Interval]], float | None], clients: int, chance: Any
) -> None:
    trace, period = drawn
    rows = [(client, *ends) for client, intervals in trace.items() for ends in intervals]
    chance.shuffle(rows)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.csv"
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([("client", "on_s", "off_s"), *rows])
        replay = Replay(read_intervals(str(path), period), clients, period)
    followed = Followed(clients, [replay], 60.0)
    ids = sorted(trace)
    for client in range(clients):
        states = [state for _, state in followed.changes[client]]
        assert all(one != other for one, other in pairwise(states))
        intervals = trace[ids[client % len(ids)]]
        for _ in range(40):
            now = chance.uniform(0, 59.9)
            phase = now if period is None else math.fmod(now, period)
            ends = [end for ends in intervals for end in (*ends, 0.0, period or 0.0)]
            if min(abs(phase - end) for end in ends) > 1e-9:
                assert followed.there_at(client, now) == is_there(intervals, period, now)
        assert followed.start[client] == is_there(intervals, period, 0.0)


instants = st.lists(st.integers(1, 20).map(float), unique=True, max_size=6).map(sorted)


@given(
    st.integers(1, 4).flatmap(
        lambda clients: st.lists(
            st.lists(st.tuples(st.booleans(), instants), min_size=clients, max_size=clients),
            min_size=1,
            max_size=4,
        )
    )
)
def test_presence_is_the_absence_of_reasons(lists: list[list[tuple[bool, list[float]]]]) -> None:
    """Few instants, so many coincide. Told in order, never twice the same unless it is for good."""
    clients = len(lists[0])

    def listed() -> list[Listed]:
        return [Listed([away for away, _ in rows], [changes for _, changes in rows]) for rows in lists]

    followed = Followed(clients, listed(), 100.0)
    assert followed.heard == sorted(followed.heard, key=lambda heard: heard[:2])

    def expected(client: int, now: float) -> bool:
        return not any(
            away != (sum(change <= now for change in changes) % 2 == 1)
            for away, changes in (rows[client] for rows in lists)
        )

    last_s = -math.inf
    for client in range(clients):
        states = [expected(client, half / 2) for half in range(61)]
        assert states == [followed.there_at(client, half / 2) for half in range(61)]
        told = [followed.start[client], *(state for _, state in followed.changes[client])]
        repeats = [number for number in range(1, len(told)) if told[number] == told[number - 1]]
        assert len({instant for instant, _ in followed.changes[client]}) == len(followed.changes[client])
        assert repeats in ([], [len(told) - 1])
        if repeats:
            assert followed.presence.gone(client)
        comes = [half / 2 for half in range(1, 61) if states[half] and not states[half - 1]]
        last_s = max([last_s, *comes])
    bound = last_return(listed())
    assert last_s <= bound
    assert followed.overs == ([bound] if bound > 0 else [])
    assert followed.presence.next_change() == math.inf


@given(st.lists(st.floats(1, 50), min_size=1, max_size=5), st.floats(1, 50))
def test_a_history_does_not_depend_on_who_else_is_followed(ons: list[float], off: float) -> None:
    sessions = {"kind": "sessions", "on": {"kind": "empirical", "values": ons}, "off": off}
    alone = history(schedules_of(fleet(3, sessions))[0], 2, 100.0)
    together = Followed(3, schedules_of(fleet(3, sessions)), 100.0)
    assert len(together.changes[2]) == len(alone)
    assert all(map(on_the_clock, [instant for instant, _ in together.changes[2]], alone))
