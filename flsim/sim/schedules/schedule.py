"""What a schedule is: one thing that keeps clients away, and when that changes."""

import heapq
import math
from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Flags = NDArray[np.bool_]
Instants = NDArray[np.float64]


class Schedule(Protocol):
    """One reason to be away: sleep, a flat battery, not having joined yet. Several can overlap."""

    def start(self) -> tuple[Flags, Instants]:
        """Return who is away at time zero, and when each client's state first changes.

        Both [clients]; infinite where nothing ever changes.
        """

    def after(self, client: int, now: float, away: bool) -> float:
        """Return when a client's state changes next; it has just become `away` or come back.

        Later than `now`; infinite for never.
        """


class Calendar:
    """The next change of every client: sorted columns for the first ones, a heap for the others."""

    def __init__(self, instants: Instants) -> None:
        """`instants`: [clients] seconds of each client's first change; infinite for never."""
        order = np.argsort(instants, kind="stable")
        order = order[: np.searchsorted(instants[order], math.inf)]
        self._clients = order
        self._instants = instants[order]
        self._next = 0
        self._later: list[tuple[float, int]] = []

    def first(self) -> float:
        """Return the instant of the next change; infinite if there is none."""
        initial = self._instants.item(self._next) if self._next < len(self._instants) else math.inf
        return min(initial, self._later[0][0]) if self._later else initial

    def add(self, instant: float, client: int) -> None:
        """Enter a client's next change."""
        if instant < math.inf:
            heapq.heappush(self._later, (instant, client))

    def due(self, now: float) -> Iterator[int]:
        """Take out and yield the clients whose change is due."""
        while self._next < len(self._instants) and self._instants.item(self._next) <= now:
            self._next += 1
            yield self._clients.item(self._next - 1)
        while self._later and self._later[0][0] <= now:
            yield heapq.heappop(self._later)[1]
