"""A server's state that stands still, so that a strategy is tested without a clock."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from flsim.draws import Stream
from flsim.policy.view import Arrival, Choice
from flsim.tasks import Task
from tests.known import Facts, facts


def task(number: int, *, base_version: int = 0, samples: int = 1, dispatched_s: float = 0.0) -> Task:
    """Return a task of the client with the same number."""
    return Task(number, number, 0, base_version, dispatched_s, samples)


def arrivals(*tasks: Task, at_s: float | Sequence[float] = 0.0) -> tuple[Arrival, ...]:
    """Return the tasks' updates, arrived at one time or each at its own."""
    times = at_s if isinstance(at_s, Sequence) else [at_s] * len(tasks)
    return tuple(Arrival(*pair) for pair in zip(tasks, times, strict=True))


@dataclass(frozen=True)
class Snapshot:
    """A `View` of plain values. The idle clients are those from 100 on; selection takes the first.

    `known`: of 200 clients, unless it is given.
    """

    now: float = 0.0
    version: int = 0
    idle: int = 0
    last_dispatch_s: float = 0.0
    inbox: Sequence[Arrival] = ()
    out: tuple[Task, ...] = field(default=())
    known: Facts = field(default_factory=lambda: facts(200))
    draws_rounds: bool = False
    last_dispatch_version: int = -1

    @property
    def in_flight(self) -> int:
        return len(self.out)

    def select(self, count: int, among: NDArray[np.bool_] | None = None) -> tuple[int, ...]:
        idle = range(100, 100 + self.idle)
        return tuple(client for client in idle if among is None or among[client])[:count]

    def choose(self, choice: Choice) -> tuple[int, ...]:
        return choice(range(100, 100 + self.idle), Stream(0, "selection"), 1)

    def outstanding(self) -> Sequence[Task]:
        return self.out
