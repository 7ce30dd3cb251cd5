"""A task on its way: the SimPy process of a client that has something to do."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

from simpy import Environment, Event, Interrupt, Process, Timeout

from flsim.records import Outcome, TaskRecord
from flsim.sim.clock import HAPPEN, Signal
from flsim.sim.loss import Attempts
from flsim.sim.network import DOWN, UP, Network, Transfer
from flsim.tasks import Task


class Receiver(Protocol):
    """The other end of every flight."""

    @property
    def back(self) -> Event | None:
        """What happens when the server is back; None while it is up."""

    def arrived(self, flight: "Flight") -> None:
        """Take the update of a flight whose upload has just ended."""

    def failed(self, flight: "Flight", outcome: Outcome) -> None:
        """Hear that a flight has come to nothing: the network has given it up, for one."""


@dataclass(frozen=True)
class Course:
    """What all flights of a run have in common.

    `holders`: the clients that a version has reached, where it matters: to them, a download takes
    `next_download_bytes`. `measure`: what is asked for the size of an update that varies. `client_bytes`:
    what each client's weights take either way, where that is not the same for all.
    """

    env: Environment
    network: Network
    server: Receiver
    download_bytes: int
    upload_bytes: int
    attempts: Attempts | None
    next_download_bytes: int = 0
    holders: set[int] | None = None
    measure: Callable[[Task], int | None] | None = None
    client_bytes: Sequence[int] | None = None

    def download_bytes_of(self, client: int) -> int:
        """Return what a download of a client's next task takes."""
        if self.client_bytes is not None:
            return self.client_bytes[client]
        holds = self.holders is not None and client in self.holders
        return self.next_download_bytes if holds else self.download_bytes

    def upload_bytes_of(self, task: Task) -> int:
        """Return what the update of a computed task takes."""
        if self.client_bytes is not None:
            return self.client_bytes[task.client]
        measured = None if self.measure is None else self.measure(task)
        return self.upload_bytes if measured is None else measured

    def uncontended_s(self, task: Task, compute_s: float) -> float:
        """Return how long a task takes when it is alone, and capacities are at their highest."""
        up = self.upload_bytes if self.client_bytes is None else self.client_bytes[task.client]
        return (
            self.network.uncontended_s(DOWN, task, self.download_bytes_of(task.client))
            + compute_s
            + self.network.uncontended_s(UP, task, up)
        )


class Flight(Process):
    """A task until it ends: all that is known of it, and the process that moves it on.

    It downloads, computes and uploads; whatever breaks in leaves each of these as far as it has come.
    `halt` ends the flight; `pause` and `resume` are for clients that leave and return; `cut_off` breaks
    a transfer off that starts again when the server is back.
    """

    def __init__(self, task: Task, compute_s: float, course: Course) -> None:
        self.task = task
        self.compute_s = compute_s
        self._course = course
        # Defaults of the class would say the same, but to read one takes longer than to set it here.
        self.download_end_s: float | None = None
        self.train_end_s: float | None = None
        self.ended_s: float | None = None
        self.bytes_down = 0
        self.bytes_up = 0
        self.received_s = 0.0  # seconds in which the device received, computed and transmitted
        self.computed_s = 0.0
        self.transmitted_s = 0.0
        self._direction = DOWN
        self._transfer: Transfer | None = None
        self._attempts = course.attempts  # of the present transfer: None if all succeed
        self._failed = 0  # of them so far
        self._computing_since_s: float | None = None
        self._resumption: Signal | None = None  # while paused: what ends the pause
        self._waits_for: Event | None = None  # what has to happen before the next stage
        super().__init__(course.env, self._fly())

    def uncontended_s(self) -> float:
        """Return how long the task takes when it is alone, and capacities are at their highest."""
        return self._course.uncontended_s(self.task, self.compute_s)

    def _fly(self) -> Generator[Event, None, None]:
        env, server = self.env, self._course.server
        while self.ended_s is None:
            try:
                if (resumption := self._resumption) is not None:
                    yield resumption
                    if resumption is self._resumption:  # else the client has left again
                        self._resumption = None
                elif (awaited := self._waits_for) is not None:
                    yield awaited
                    if awaited is self._waits_for:  # else it waits for something else by now
                        self._waits_for = None
                elif self.download_end_s is not None and self.train_end_s is None:
                    self._computing_since_s = env.now
                    yield Timeout(env, self.compute_s - self.computed_s)
                    self._computing_since_s = None
                    self.computed_s = self.compute_s
                    self.train_end_s = env.now
                elif (back := server.back) is not None:
                    yield back
                else:
                    yield self._start_transfer()
                    if (pause_s := self._transfer_ended()) is not None:
                        yield Timeout(env, pause_s)
            except Interrupt:
                continue  # halted, paused or cut off: accounts are kept, so look anew

    def _start_transfer(self) -> Transfer:
        course, direction = self._course, self._direction
        # In the common case, a look at two attributes and no call.
        same = course.client_bytes is None
        if direction is DOWN:
            known = same and course.holders is None
            size_bytes = course.download_bytes if known else course.download_bytes_of(self.task.client)
        else:
            known = same and course.measure is None
            size_bytes = course.upload_bytes if known else course.upload_bytes_of(self.task)
        self._transfer = transfer = course.network.start(direction, self.task, size_bytes)
        return transfer

    def _transfer_ended(self) -> float | None:
        """Go on to the next stage, or see what has failed; return the seconds until another attempt."""
        transfer, attempts = self._transfer, self._attempts
        assert transfer is not None  # noqa: S101
        self._transfer = None
        self._settle(transfer, transfer.size_bytes)
        if attempts is not None and attempts.fails(self.task, self._direction, self._failed):
            self._failed += 1
            if self._failed <= attempts.retries:
                return attempts.timeout_s(self._failed)
            self._course.server.failed(self, Outcome.LOST)
        else:
            self._failed = 0
            self._delivered()
        return None

    def _delivered(self) -> None:
        """A transfer has brought over what it was for: go on to the next stage."""
        if self._direction is DOWN:
            self.download_end_s = self.env.now
            self._direction = UP
            if (holders := self._course.holders) is not None:
                holders.add(self.task.client)
        else:
            self.ended_s = self.env.now
            self._course.server.arrived(self)

    def _settle(self, transfer: Transfer, moved_bytes: int) -> None:
        """Enter a transfer that is over into the accounts."""
        seconds = self.env.now - transfer.started_s
        if self._direction is DOWN:
            self.bytes_down += moved_bytes
            self.received_s += seconds
        else:
            self.bytes_up += moved_bytes
            self.transmitted_s += seconds

    def _break_off(self) -> None:
        """Stop what is under way, and count how far it has come."""
        if (transfer := self._transfer) is not None:
            self._transfer = None
            self._settle(transfer, transfer.cancel())
        elif self._computing_since_s is not None:
            self.computed_s += self.env.now - self._computing_since_s
            self._computing_since_s = None
        if self.is_alive and self is not self.env.active_process:
            self.interrupt()

    def pause(self) -> None:
        """The client has left, and will go on when it is back."""
        self._break_off()
        self._resumption = Signal(self.env)

    def resume(self) -> None:
        """The client is back."""
        if self._resumption is not None:
            self._resumption.fire(priority=HAPPEN)

    def cut_off(self) -> None:
        """The server has gone down: a transfer breaks off, anything else goes on."""
        if self._transfer is not None:
            self._break_off()

    def halt(self, outcome: Outcome) -> None:
        """End the flight now, as its task does, and count the bytes that have passed."""
        self._break_off()
        self.ended_s = self.env.now

    def record(
        self,
        outcome: Outcome,
        *,
        aggregated_version: int | None = None,
        staleness: int | None = None,
        weight: float | None = None,
        train_loss: float | None = None,
        energy_j: float | None = None,
        trust: float | None = None,
    ) -> TaskRecord:
        """Return the task's row."""
        task, client, _, base_version, dispatched_s, samples = self.task
        assert self.ended_s is not None  # noqa: S101
        return TaskRecord(
            task,
            client,
            base_version,
            dispatched_s,
            self.download_end_s,
            self.train_end_s,
            self.ended_s,
            outcome,
            aggregated_version,
            staleness,
            weight,
            samples,
            self.bytes_down,
            self.bytes_up,
            train_loss,
            energy_j,
            trust,
        )
