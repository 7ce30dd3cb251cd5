"""Tasks that are out with clients: sent out, taken in, and what befalls them on the way.

Why tasks are sent out, and what becomes of those that come back, is for the servers that derive from this.
"""

import functools
from abc import ABC, abstractmethod
from collections.abc import Generator
from typing import ClassVar

from simpy import Event
from simpy.events import EventPriority

from flsim.records import Outcome
from flsim.scenario import Scenario
from flsim.scenario.failure import ServerOutage
from flsim.sim.clock import DECIDE, HAPPEN, Signal, call_at
from flsim.sim.failures import TaskFailures
from flsim.sim.flight import Course, Flight
from flsim.sim.loss import Attempts
from flsim.sim.stopping import Ending, Stopping
from flsim.sim.surroundings import Surroundings


class Dispatcher(ABC):
    """Owns the flights, and the signal that ends a wait."""

    turn: ClassVar[EventPriority] = DECIDE  # when it decides, at an instant

    def __init__(self, scenario: Scenario, surroundings: Surroundings) -> None:
        self._scenario = scenario
        self._around = surroundings
        self._env = surroundings.env
        self._flights: dict[int, Flight] = {}  # by client, in order of dispatch
        self._stopping = Stopping(scenario.stop, scenario.fleet.clients)
        self._failures = TaskFailures(scenario.fleet.failure, scenario.seed)
        self._pauses = scenario.fleet.availability.on_leave == "pause"
        self._tasks_ended = 0
        self._signal = Signal(self._env)
        self._outages = 0
        self.back: Signal | None = None
        self.version = 0  # the current model version
        self._course = self._plot_course()

    def _plot_course(self) -> Course:
        around, loss, costs = self._around, self._scenario.network.loss, self._around.costs
        return Course(
            env=around.env,
            network=around.network,
            server=self,
            download_bytes=costs.download_bytes,
            upload_bytes=costs.upload_bytes,
            attempts=None if loss is None else Attempts(loss, self._scenario.seed),
            next_download_bytes=costs.next_download_bytes or 0,
            holders=None if costs.next_download_bytes is None else set(),
            measure=around.learner.upload_bytes if costs.upload_varies else None,
            client_bytes=costs.client_bytes,
        )

    def _schedule(self) -> None:
        """Enter what is known of the run before it begins: its end, and the server's outages."""
        if self._scenario.stop.time is not None:
            call_at(self._env, self._scenario.stop.time, self.wake, self.turn)
        for outage in self._scenario.fleet.failure.outages:
            if isinstance(outage, ServerOutage):
                call_at(self._env, outage.start, self._go_down)
                call_at(self._env, outage.start + outage.duration, self._come_back)

    def wake(self, _: Event | None = None) -> None:
        """Let the server decide anew, at the end of this instant."""
        self._signal.fire(priority=self.turn)

    @property
    def epsilon(self) -> float | None:
        """What has been spent of privacy, if any is kept."""
        return None

    @abstractmethod
    def run(self) -> Generator[Event, None, Ending]:
        """Be the server until the run is over; return why it is."""

    @abstractmethod
    def arrived(self, flight: Flight) -> None:
        """Take in an update whose upload has just ended."""

    @abstractmethod
    def _end(self, flight: Flight, outcome: Outcome) -> None:
        """A task has come to nothing: write that down."""

    @abstractmethod
    def _end_arrivals(self, outcome: Outcome) -> None:
        """What has arrived, and is not used yet, comes to nothing."""

    # What befalls a task

    def _schedule_failures(self, flight: Flight) -> None:
        """Let the task die, or crash its client, at a moment of its uncontended duration."""
        dropout, crash = self._failures.of(flight.task)
        if dropout is None and crash is None:
            return
        lone_s = flight.uncontended_s()
        if dropout is not None:
            call_at(self._env, self._env.now + dropout * lone_s, functools.partial(self._died, flight))
        if crash is not None:
            crashed = functools.partial(self._crashed, flight, crash.repair_s)
            call_at(self._env, self._env.now + crash.moment * lone_s, crashed)

    def _died(self, flight: Flight, _: Event) -> None:
        if self._flights.get(flight.task.client) is flight:
            self.failed(flight, Outcome.DROPPED)

    def _crashed(self, flight: Flight, repair_s: float, _: Event) -> None:
        if self._flights.get(flight.task.client) is flight:
            self.failed(flight, Outcome.DROPPED)
            self._around.presence.send_away(flight.task.client, repair_s)

    def client_changed(self, client: int, is_there: bool) -> None:
        """A client has come or gone. One that goes drops its task, or pauses until it is back."""
        fleet, flight = self._around.fleet, self._flights.get(client)
        if is_there:
            fleet.comes(client)
            if flight is not None:
                flight.resume()
            else:
                self._client_came(client)
            return
        fleet.leaves(client)
        if flight is None:
            return
        if self._pauses and not self._around.presence.gone(client):
            flight.pause()
        else:
            self.failed(flight, Outcome.DROPPED)

    @abstractmethod
    def _client_came(self, client: int) -> None:
        """A client without a task is there again."""

    def failed(self, flight: Flight, outcome: Outcome) -> None:
        """A task has come to nothing by itself."""
        self._call_off(flight, outcome)
        self._stopping.failed()
        self.wake()

    def _call_off(self, flight: Flight, outcome: Outcome) -> None:
        """End a task that is out with its client."""
        del self._flights[flight.task.client]
        flight.halt(outcome)
        self._around.fleet.release(flight.task.client)
        self._end(flight, outcome)

    # Going down

    def _go_down(self, _: Event) -> None:
        """The server fails: what it held since its last version is lost, and transfers break off."""
        self._outages += 1
        if self._outages > 1:
            return
        self.back = Signal(self._env)
        self._end_arrivals(Outcome.LOST)
        for flight in self._flights.values():
            flight.cut_off()

    def _come_back(self, _: Event) -> None:
        self._outages -= 1
        if self._outages == 0 and self.back is not None:
            self.back.fire(priority=HAPPEN)
            self.back = None
            self.wake()
