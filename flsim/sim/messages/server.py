"""The server of a program: takes its messages to clients and the answers back, and keeps its versions.

A client has one message at a time, as a Flower SuperNode does; others wait for it at the server. The
program runs while virtual time stands still, and time passes while it waits.
"""

import itertools
import math
from bisect import insort
from collections import defaultdict, deque
from collections.abc import Generator
from functools import partial

from simpy import Event

from flsim.messages import Answer, Collected, Letter, Made, Pause, Program, Refused, Silence, Tested
from flsim.protocols import MessageJournal
from flsim.records import Outcome
from flsim.scenario import Scenario
from flsim.sim.clock import Signal, call_at
from flsim.sim.dispatcher import Dispatcher
from flsim.sim.flight import Flight
from flsim.sim.messages.flight import MessageFlight
from flsim.sim.messages.ledger import Ledger
from flsim.sim.stopping import Ending
from flsim.sim.surroundings import Moment, Surroundings
from flsim.tasks import Task

_NO_TASK = 1 << 40  # ids from here on are of messages that are no tasks
_WAKES_PER_LOOK = 64


class MessageServer(Dispatcher):
    """Owns the messages that wait for their clients, and who is held to be there."""

    def __init__(
        self,
        scenario: Scenario,
        surroundings: Surroundings,
        program: Program,
        journal: MessageJournal,
        notice_s: float,
    ) -> None:
        """`notice_s`: how long after a client has gone, or has failed, the server notices."""
        super().__init__(scenario, surroundings)
        self._program = program
        self._notice_s = notice_s
        self._ledger = Ledger(journal)
        self._waiting: dict[int, deque[Letter]] = defaultdict(deque)  # by client
        self._expiries: dict[int, Letter] = {}  # by number: letters that can still get an answer
        self._free = surroundings.fleet.idle
        self._online = sorted(self._free)
        self._offline = set(range(scenario.fleet.clients)).difference(self._free)
        self._left_s: dict[int, float] = {}  # by client: when it went
        self._other_ids = itertools.count(_NO_TASK)
        self._wakes = 0
        self._version_seen = -1

    # What the program may ask

    @property
    def now(self) -> float:
        """Virtual seconds since the run began."""
        return self._env.now

    def online(self) -> list[int]:
        """Return the clients that are held to be there, in order."""
        return self._online

    # The process

    def run(self) -> Generator[Event, None, Ending]:
        """Let the program go on until it ends, or the run is over; return why it is."""
        self._schedule()
        while not isinstance(pause := self._go_on(), Ending):
            yield self._wait(pause)
        self._program.stop()
        self._close()
        return pause

    def _go_on(self) -> Pause | Ending:
        pause = self._program.proceed(self)
        self._take_in()
        if (ending := self._ending()) is not None:
            return ending
        if pause is None:
            return Ending("finished", "the program has come to its end")
        if (time_is_up := self._stopping.decides(self._env.now)) is not None:
            return time_is_up
        return pause

    def _wait(self, pause: Pause) -> Signal:
        self._signal = Signal(self._env)
        if pause.until_s is not None and pause.until_s < math.inf:
            call_at(self._env, pause.until_s, partial(self._time_over, self._signal), self.turn)
        return self._signal

    def _time_over(self, waited: Signal, _: Event) -> None:
        if waited is self._signal:
            self._stopping.timer_over()
            self.wake()

    def _ending(self) -> Ending | None:
        """Return why the run is over, if it is. Now and then, show it to whoever watches."""
        self._wakes += 1
        accuracy = self._ledger.accuracy
        if self._wakes % _WAKES_PER_LOOK == 0 or self.version != self._version_seen:
            self._version_seen = self.version
            moment = Moment(
                self._env.now, self.version, accuracy, self._ledger.tasks_ended, len(self._flights)
            )
            if not self._around.watch(moment):
                return Ending("interrupted", "the run was interrupted")
        return self._stopping.ending(self.version, accuracy)

    def _take_in(self) -> None:
        """Enter what the program has done, and let its messages go."""
        pushed = []
        for event in self._program.events():
            match event:
                case Letter():
                    pushed.append(event)
                case Collected():
                    self._ledger.collected(event.number, self._env.now)
                case Refused():
                    self._ledger.refused(event)
                case Made():
                    self._ledger.made(event, self._env.now)
                    self.version = event.version
                    self._stopping.updated(0)
                case Tested():
                    self._ledger.tested(event)
                    if self._ledger.version is not None:
                        self._stopping.tested(self._ledger.version)
        if pushed:
            self._ledger.moved_on()
        for letter in pushed:
            self._ledger.pushed(letter, self._env.now)
            self._expiries[letter.number] = letter
            call_at(self._env, letter.expires_s, partial(self._expired, letter), self.turn)
            self._waiting[letter.client].append(letter)
            if letter.client in self._offline:
                self._unanswered(letter, Silence.NODE)
        self._send([letter.client for letter in pushed])

    # Sending out

    def _send(self, clients: list[int]) -> None:
        """Send those of these clients that are free what waits for them: one message each."""
        letters = [
            self._waiting[client].popleft()
            for client in dict.fromkeys(clients)
            if client in self._free and self._waiting.get(client)
        ]
        if not letters:
            return
        answers = self._program.answers([letter.number for letter in letters])
        for letter, answer in zip(letters, answers, strict=True):
            self._send_one(letter, answer)
        self._stopping.dispatched(len(self._flights))

    def _send_one(self, letter: Letter, answer: Answer) -> None:
        around, now, client = self._around, self._env.now, letter.client
        ordinal = around.fleet.occupy(client)
        task_id = next(around.task_ids if letter.trains else self._other_ids)
        task = Task(task_id, client, ordinal, letter.version, now, answer.samples)
        seconds = answer.seconds
        if answer.flop is not None:
            seconds += around.compute.seconds(client, ordinal, now, answer.flop)
        flight = MessageFlight(task, math.inf if answer.hangs else seconds, self._course, letter, answer)
        self._flights[client] = flight
        if self._failures.possible:
            self._schedule_failures(flight)

    def _client_is_free(self, client: int) -> None:
        if self._waiting.get(client):
            call_at(self._env, self._env.now, lambda _: self._send([client]), self.turn)

    # Coming back

    def arrived(self, flight: Flight) -> None:
        flight = _message(flight)
        letter = flight.letter
        del self._flights[letter.client]
        self._around.fleet.release(letter.client)
        self._program.settle(letter.number, computed=True)
        self._ledger.arrived(flight, self._around.energy.joules(flight))
        del self._expiries[letter.number]
        self._program.deliver(letter.number)
        self._stopping.arrived()
        self._client_is_free(letter.client)
        self.wake()

    def _end(self, flight: Flight, outcome: Outcome) -> None:
        flight = _message(flight)
        letter = flight.letter
        self._program.settle(letter.number, computed=flight.train_end_s is not None)
        self._ledger.came_to_nothing(flight, outcome, self._around.energy.joules(flight))
        if outcome in (Outcome.DROPPED, Outcome.LOST):
            noticed = partial(self._noticed_failure, letter)
            call_at(self._env, self._env.now + self._notice_s, noticed, self.turn)
        self._client_is_free(letter.client)

    def _end_arrivals(self, outcome: Outcome) -> None:
        """What has arrived stays: Flower's server keeps answers in a database."""

    def _noticed_failure(self, letter: Letter, _: Event) -> None:
        if letter.number in self._expiries:
            self._unanswered(letter, Silence.NODE)

    def _expired(self, letter: Letter, _: Event) -> None:
        """Nobody waits for a message's answer any more."""
        if letter.number not in self._expiries:
            return
        flight = self._flights.get(letter.client)
        if flight is not None and _message(flight).letter.number == letter.number:
            self._call_off(flight, Outcome.DISCARDED)
        self._unanswered(letter, Silence.EXPIRED)

    def _unanswered(self, letter: Letter, why: Silence) -> None:
        """There will be no answer: so the program hears of it, and the message is gone."""
        del self._expiries[letter.number]
        if letter in self._waiting[letter.client]:
            self._waiting[letter.client].remove(letter)
        self._ledger.silent(letter.number, why, self._env.now)
        self._program.silent(letter.number, why)
        self.wake()

    # Who is there

    def client_changed(self, client: int, is_there: bool) -> None:
        super().client_changed(client, is_there)
        if is_there:
            self._left_s.pop(client, None)
            if client in self._offline:
                self._offline.remove(client)
                insort(self._online, client)
        elif client not in self._left_s:  # else it turns out to be away for good
            self._left_s[client] = left_s = self._env.now
            call_at(self._env, left_s + self._notice_s, partial(self._noticed, client, left_s), self.turn)

    def _client_came(self, client: int) -> None:
        self._client_is_free(client)
        self.wake()

    def _noticed(self, client: int, left_s: float, _: Event) -> None:
        """The server holds a client to be gone, if it is since then: its messages get no answer."""
        if self._left_s.get(client) != left_s:
            return
        self._offline.add(client)
        self._online.remove(client)
        if (flight := self._flights.get(client)) is not None:  # it pauses
            letter = _message(flight).letter
            self._call_off(flight, Outcome.DROPPED)
            self._unanswered(letter, Silence.NODE)
        for letter in tuple(self._waiting[client]):
            self._unanswered(letter, Silence.NODE)

    def _close(self) -> None:
        """The run is over: what is still under way comes to no end."""
        for flight in list(self._flights.values()):
            self._call_off(flight, Outcome.UNFINISHED)
        self._ledger.close(self._env.now)


def _message(flight: Flight) -> MessageFlight:
    """Return a flight as what all flights of this server are."""
    assert isinstance(flight, MessageFlight)  # noqa: S101
    return flight
