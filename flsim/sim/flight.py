"""A task on its way: the SimPy process of a client that has something to do."""

from collections.abc import Generator
from typing import Protocol

from simpy import Environment, Event, Interrupt, Process

from flsim.records import Outcome, Task, TaskRecord
from flsim.sim.network import Direction, Network, Transfer


class Receiver(Protocol):
    """The server's ear."""

    def arrived(self, flight: "Flight") -> None:
        """Take the update of a flight whose upload has just ended."""


class Flight:
    """What is known of a task until it ends. Its own process moves it on; `halt` stops it."""

    __slots__ = (
        "_process",
        "_transfer",
        "bytes_down",
        "bytes_up",
        "compute_s",
        "download_end_s",
        "ended_s",
        "task",
        "train_end_s",
    )

    def __init__(self, task: Task, compute_s: float) -> None:
        self.task = task
        self.compute_s = compute_s
        self.download_end_s: float | None = None
        self.train_end_s: float | None = None
        self.ended_s: float | None = None
        self.bytes_down = 0
        self.bytes_up = 0
        self._transfer: Transfer | None = None
        self._process: Process | None = None

    def take_off(
        self, env: Environment, network: Network, sizes: tuple[int, int], server: Receiver
    ) -> None:
        """Start the process: download, training, upload. `sizes`: bytes down and up."""
        self._process = env.process(self._fly(env, network, sizes, server))

    def _fly(
        self, env: Environment, network: Network, sizes: tuple[int, int], server: Receiver
    ) -> Generator[Event, None, None]:
        client = self.task.client
        try:
            self._transfer = network.start(Direction.DOWN, client, sizes[0])
            yield self._transfer.done
            self.bytes_down, self._transfer = sizes[0], None
            self.download_end_s = env.now

            yield env.timeout(self.compute_s)
            self.train_end_s = env.now

            self._transfer = network.start(Direction.UP, client, sizes[1])
            yield self._transfer.done
            self.bytes_up, self._transfer = sizes[1], None
            self.ended_s = env.now
            server.arrived(self)
        except Interrupt:
            return  # halted: whoever halted it has done the accounts

    def halt(self, now: float) -> None:
        """Stop under way: count the bytes that have passed, and end the process."""
        if self._transfer is not None:
            moved = self._transfer.cancel()
            if self.download_end_s is None:
                self.bytes_down = moved
            else:
                self.bytes_up = moved
        self.ended_s = now
        if self._process is not None and self._process.is_alive:
            self._process.interrupt()

    def record(
        self,
        outcome: Outcome,
        *,
        aggregated_version: int | None = None,
        staleness: int | None = None,
        weight: float | None = None,
        train_loss: float | None = None,
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
        )
