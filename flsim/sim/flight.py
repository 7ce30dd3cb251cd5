"""A task on its way: the SimPy process of a client that has something to do."""

from collections.abc import Generator
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from simpy import Environment, Event, Interrupt, Process

from flsim.records import Outcome, Task, TaskRecord
from flsim.sim.clock import HAPPEN, Signal
from flsim.sim.loss import Attempts
from flsim.sim.network import Direction, Network, Transfer


class Receiver(Protocol):
    """The other end of every flight."""

    @property
    def back(self) -> Event | None:
        """What happens when the server is back; None while it is up."""

    def arrived(self, flight: "Flight") -> None:
        """Take the update of a flight whose upload has just ended."""

    def lost(self, flight: "Flight") -> None:
        """Hear that the network has given a flight up."""


@dataclass(frozen=True)
class Course:
    """What all flights of a run have in common."""

    env: Environment
    network: Network
    server: Receiver
    download_bytes: int
    upload_bytes: int
    attempts: Attempts | None


class _Break(Enum):
    """Why a flight is interrupted without being over."""

    CLIENT_AWAY = "client away"
    SERVER_DOWN = "server down"


class Flight:
    """What is known of a task until it ends. Its own process moves it on.

    `halt` ends it; `pause` and `resume` are for clients that leave and return; `cut_off` breaks a
    transfer off that starts again when the server is back.
    """

    __slots__ = (
        "_computing_since_s",
        "_course",
        "_halted",
        "_process",
        "_resumption",
        "_transfer",
        "bytes_down",
        "bytes_up",
        "compute_s",
        "computed_s",
        "download_end_s",
        "ended_s",
        "received_s",
        "task",
        "train_end_s",
        "transmitted_s",
    )

    def __init__(self, task: Task, compute_s: float, course: Course) -> None:
        self.task = task
        self.compute_s = compute_s
        self.download_end_s: float | None = None
        self.train_end_s: float | None = None
        self.ended_s: float | None = None
        self.bytes_down = 0
        self.bytes_up = 0
        self.received_s = 0.0  # seconds in which the device received, computed and transmitted
        self.computed_s = 0.0
        self.transmitted_s = 0.0
        self._course = course
        self._transfer: Transfer | None = None
        self._resumption: Signal | None = None  # while paused: what ends the pause
        self._computing_since_s: float | None = None
        self._halted = False
        self._process: Process | None = course.env.process(self._fly())

    def _fly(self) -> Generator[Event, None, None]:
        course = self._course
        try:
            if self._halted or not (yield from self._carry(Direction.DOWN, course.download_bytes)):
                return
            self.download_end_s = course.env.now
            yield from self._compute()
            self.train_end_s = course.env.now
            if not (yield from self._carry(Direction.UP, course.upload_bytes)):
                return
        except Interrupt:
            return  # halted: whoever halted it has done the accounts
        self._process = None
        self.ended_s = course.env.now
        course.server.arrived(self)

    def _carry(self, direction: Direction, size_bytes: int) -> Generator[Event, None, bool]:
        """Move bytes, as often as it takes; return whether they came through."""
        course, failed = self._course, 0
        while True:
            try:
                while course.server.back is not None:
                    yield course.server.back
                self._transfer = course.network.start(direction, self.task, size_bytes)
                yield self._transfer.done
                self._settle(size_bytes)
                if course.attempts is None or not course.attempts.fails(self.task, direction, failed):
                    return True
                failed += 1
                if failed > course.attempts.retries:
                    course.server.lost(self)
                    return False
                yield course.env.timeout(course.attempts.timeout_s(failed))
            except Interrupt as interrupt:
                yield from self._wait_out(interrupt)

    def _compute(self) -> Generator[Event, None, None]:
        env = self._course.env
        while True:
            self._computing_since_s = env.now
            try:
                yield env.timeout(self.compute_s - self.computed_s)
            except Interrupt as interrupt:
                yield from self._wait_out(interrupt)
            else:
                self._computing_since_s = None
                self.computed_s = self.compute_s
                return

    def _wait_out(self, interrupt: Interrupt) -> Generator[Event, None, None]:
        """Wait for the client to return; pass on an interrupt that ends the flight."""
        while isinstance(interrupt.cause, _Break):
            try:
                while (resumption := self._resumption) is not None:
                    yield resumption
                    if resumption is self._resumption:
                        self._resumption = None
            except Interrupt as another:
                interrupt = another
            else:
                return
        raise interrupt

    def _settle(self, moved_bytes: int) -> None:
        """Close the account of the present transfer."""
        transfer = self._transfer
        if transfer is None:
            return
        self._transfer = None
        seconds = self._course.env.now - transfer.started_s
        if self.download_end_s is None:
            self.bytes_down += moved_bytes
            self.received_s += seconds
        else:
            self.bytes_up += moved_bytes
            self.transmitted_s += seconds

    def _break_off(self) -> None:
        """Stop what is under way, and count how far it has come."""
        if self._transfer is not None:
            self._settle(self._transfer.cancel())
        elif self._computing_since_s is not None:
            self.computed_s += self._course.env.now - self._computing_since_s
            self._computing_since_s = None

    def pause(self) -> None:
        """The client has left, and will go on when it is back."""
        self._break_off()
        self._resumption = Signal(self._course.env)
        self._interrupt(_Break.CLIENT_AWAY)

    def resume(self) -> None:
        """The client is back."""
        if self._resumption is not None:
            self._resumption.fire(priority=HAPPEN)

    def cut_off(self) -> None:
        """The server has gone down: a transfer breaks off, anything else goes on."""
        if self._transfer is not None:
            self._break_off()
            self._interrupt(_Break.SERVER_DOWN)

    def halt(self) -> None:
        """End the flight now: count the bytes that have passed, and stop the process."""
        self._halted = True
        self._break_off()
        self.ended_s = self._course.env.now
        self._interrupt(None)

    def _interrupt(self, cause: _Break | None) -> None:
        """Interrupt the process, unless it has ended or is the one that asks."""
        process = self._process
        if process is not None and process.is_alive and process is not self._course.env.active_process:
            process.interrupt(cause)

    def record(
        self,
        outcome: Outcome,
        *,
        aggregated_version: int | None = None,
        staleness: int | None = None,
        weight: float | None = None,
        train_loss: float | None = None,
        energy_j: float | None = None,
    ) -> TaskRecord:
        """Return the task's row."""
        task = self.task
        assert self.ended_s is not None  # noqa: S101
        return TaskRecord(
            task.id,
            task.client,
            task.base_version,
            task.dispatched_s,
            self.download_end_s,
            self.train_end_s,
            self.ended_s,
            outcome,
            aggregated_version,
            staleness,
            weight,
            task.samples,
            self.bytes_down,
            self.bytes_up,
            train_loss,
            energy_j,
        )
