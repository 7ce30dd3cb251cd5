"""A flight that waits between its stages, as those of secure aggregation do."""

from typing import Any

from simpy import Event

from flsim.records import Outcome
from flsim.scenario import scenario_from
from flsim.sim.clock import call_at
from flsim.sim.flight import Course, Flight
from flsim.tasks import Task
from tests.memory import timing, world_of


class Base:
    """Implements `Receiver`, and notes what it hears."""

    back: Event | None = None

    def __init__(self) -> None:
        self.heard: list[tuple[float, str]] = []

    def arrived(self, flight: Flight) -> None:
        self.heard.append((flight.env.now, "arrived"))

    def failed(self, flight: Flight, outcome: Outcome) -> None:
        self.heard.append((flight.env.now, outcome.value))


class Waiting(Flight):
    """A flight that waits for an event once its download has ended."""

    gate: Event

    def _delivered(self) -> None:
        super()._delivered()
        if self.ended_s is None:
            self._waits_for = self.gate

    def wait_for(self, gate: Event) -> None:
        self._waits_for = gate


def waiting(**sections: Any) -> tuple[Waiting, Base]:
    """Return a flight that downloads for 1 s, waits, trains for 10 s and uploads for 2 s; and its base."""
    data = timing(1, 10.0, {"kind": "fedasync", "concurrency": 1}, {"updates": 1})
    data["network"] = {"downlink": 8e6, "uplink": 8e6, "sharing": "none"}
    world, base = world_of(scenario_from(data)), Base()
    course = Course(world.env, world.network, base, 1_000_000, 2_000_000, None, **sections)
    flight = Waiting(Task(0, 0, 0, 0, 0.0, 1), 10.0, course)
    flight.gate = Event(world.env)
    return flight, base


def test_a_flight_trains_once_what_it_waits_for_has_happened() -> None:
    flight, base = waiting()
    call_at(flight.env, 5.0, lambda _: flight.gate.succeed())
    flight.env.run()
    assert (flight.download_end_s, flight.train_end_s, flight.ended_s) == (1.0, 15.0, 17.0)
    assert base.heard == [(17.0, "arrived")]


def test_a_flight_does_not_wait_for_what_has_happened_before() -> None:
    flight, _ = waiting()
    call_at(flight.env, 0.5, lambda _: flight.gate.succeed())
    flight.env.run()
    assert (flight.download_end_s, flight.train_end_s, flight.ended_s) == (1.0, 11.0, 13.0)


def test_a_flight_that_has_something_else_to_wait_for_by_now_goes_on_waiting() -> None:
    """Who hears of the first event before it does, gives it another."""
    flight, _ = waiting()
    second = Event(flight.env)
    assert flight.gate.callbacks is not None
    flight.gate.callbacks.append(lambda _: flight.wait_for(second))
    call_at(flight.env, 5.0, lambda _: flight.gate.succeed())
    call_at(flight.env, 8.0, lambda _: second.succeed())
    flight.env.run()
    assert (flight.train_end_s, flight.ended_s) == (18.0, 20.0)


def test_a_pause_comes_before_what_it_waits_for() -> None:
    flight, _ = waiting()
    for instant, what in ((2.0, flight.pause), (5.0, flight.gate.succeed), (9.0, flight.resume)):
        call_at(flight.env, instant, lambda _, what=what: what())
    flight.env.run()
    assert (flight.train_end_s, flight.ended_s) == (19.0, 21.0)
