"""No scenario can keep virtual time from passing: events per instant are bounded by the fleet's size."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from simpy import Event

import flsim.sim.world
from flsim.sim.agenda import Agenda
from tests.memory import simulated
from tests.property.test_world import troubled_dicts

# What one client can set in motion at one instant: it comes, is asked, starts a transfer, fails, is
# replaced. What the server and the links add does not grow with the fleet.
EVENTS_PER_CLIENT = 40
EVENTS_BESIDES = 100


class CountingAgenda(Agenda):
    """Counts the events of each instant."""

    def __init__(self) -> None:
        super().__init__()
        self.events: Counter[float] = Counter()

    def step(self) -> None:
        super().step()
        self.events[self.now] += 1

    def run(self, until: float | Event | None = None) -> object:
        assert isinstance(until, Event)
        while not until.processed:
            self.step()
        return until.value


def events_per_instant(data: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> int:
    made: list[CountingAgenda] = []

    def agenda() -> CountingAgenda:
        made.append(CountingAgenda())
        return made[-1]

    with monkeypatch.context() as patch:
        patch.setattr(flsim.sim.world, "Agenda", agenda)
        simulated(data, watch=lambda moment: moment.tasks_ended < 300)
    return max(made[0].events.values())


@settings(max_examples=150)
@given(data=troubled_dicts())
def test_events_at_one_instant_are_bounded(data: dict[str, Any]) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        most = events_per_instant(data, monkeypatch)
    assert most <= EVENTS_PER_CLIENT * data["fleet"]["clients"] + EVENTS_BESIDES


def test_a_client_that_is_away_is_not_asked_again_at_the_instant_at_which_it_left(tmp_path) -> None:
    """All clients leave at one instant in the middle of their tasks, and return at another."""
    file = tmp_path / "trace.csv"
    lines = [f"{client},0,5\n{client},50,100\n" for client in range(10)]
    file.write_text("client,on_s,off_s\n" + "".join(lines))
    data = {
        "name": "together",
        "workload": {"kind": "synthetic", "download": 0, "upload": 0},
        "fleet": {
            "clients": 10,
            "compute": {"kind": "duration", "task": 10},
            "availability": {"kind": "trace", "file": str(file)},
        },
        "strategy": {"kind": "fedbuff", "concurrency": 10, "buffer_size": 10},
        "stop": {"updates": 1},
    }
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert events_per_instant(data, monkeypatch) <= 10 * EVENTS_PER_CLIENT
    _, journal = simulated(data)
    assert sorted(row.dispatched_s for row in journal.tasks if row.outcome == "dropped") == [0.0] * 10
    assert min(row.dispatched_s for row in journal.tasks if row.outcome == "aggregated") == 50.0


def test_a_wake_is_not_entered_again_by_every_repair(monkeypatch: pytest.MonkeyPatch) -> None:
    """One client that crashes with every task, again and again before its session ends."""
    data = {
        "name": "crashes",
        "workload": {"kind": "synthetic"},
        "fleet": {
            "clients": 1,
            "compute": {"kind": "duration", "task": {"kind": "half_normal", "scale": 1}},
            "availability": {"kind": "sessions", "on": {"kind": "exponential", "mean": 173.0}, "off": 1},
            "failure": {"crash": {"probability": 1.0, "repair": 0.1}},
        },
        "strategy": {"kind": "sync", "cohort": 1},
        "stop": {"time": 83.0},
    }
    assert events_per_instant(data, monkeypatch) <= 10
