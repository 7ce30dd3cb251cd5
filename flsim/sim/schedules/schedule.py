"""What a schedule is: one thing that keeps clients away, and when that changes."""

import heapq
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Flags = NDArray[np.bool_]
Instants = NDArray[np.float64]
Clients = NDArray[np.int64]


class Outlook(NamedTuple):
    """What a schedule knows beforehand about each client. Both [clients] seconds."""

    last_return: Instants  # after it the schedule brings the client back no more; -inf: never, inf: always
    gone: Instants  # from then on the schedule keeps the client away for ever; inf: it does not


class Schedule(Protocol):
    """One reason to be away: sleep, a flat battery, not having joined yet. Several can overlap."""

    def start(self) -> tuple[Flags, Instants]:
        """Return who is away at time zero, and when each client's state first changes.

        Both [clients]; the instants are later than zero, and infinite where nothing ever changes.
        """

    def after(self, client: int, now: float, away: bool) -> float:
        """Return when a client's state changes next; it has just become `away` or come back.

        Later than `now`; infinite for never.
        """

    def outlook(self) -> Outlook:
        """Return until when clients may come back, and from when on they are gone for good."""


def later(now: float, instant: float) -> float:
    """Return `instant`, or the next number after `now` if rounding has left it no later than that."""
    return instant if instant > now else math.nextafter(now, math.inf)


def last_return(schedules: Sequence[Schedule]) -> float:
    """Return the last instant at which any client may come back; infinite if there is no end to it.

    A client that is gone for good in one schedule is brought back by no other. So this is a bound that
    is known before the run, and it is exact unless a client's last return is hidden by a second reason
    to be away.
    """
    latest: float | Instants = -math.inf
    gone: float | Instants = math.inf
    for schedule in schedules:
        outlook = schedule.outlook()
        latest = np.maximum(latest, outlook.last_return)
        gone = np.minimum(gone, outlook.gone)
    return float(np.max(np.minimum(latest, gone)))


class Calendar:
    """The next change of every client in every schedule.

    Sorted columns for the first changes, a heap for later ones. At one instant the first changes come
    before later ones, both in the order of the schedules' numbers, then of the clients.
    """

    def __init__(self, firsts: Iterable[Instants]) -> None:
        """`firsts`: by schedule, the seconds of each client's first change; infinite for never."""
        clients: list[Clients] = [np.empty(0, dtype=np.int64)]
        instants: list[Instants] = [np.empty(0)]
        for first in firsts:
            clients.append(np.flatnonzero(first < math.inf))
            instants.append(first[clients[-1]])
        together = np.concatenate(instants)
        order = np.argsort(together, kind="stable")
        sizes = [len(some) for some in clients[1:]]
        numbers = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
        self._instants = np.append(together[order], math.inf)
        self._numbers = numbers[order]
        self._clients = np.concatenate(clients)[order].astype(np.int32)
        self._next = 0
        self._initial: float = self._instants.item(0)
        self._later: list[tuple[float, int, int]] = []

    def first(self) -> float:
        """Return the instant of the next change; infinite if there is none."""
        if self._later and self._later[0][0] < self._initial:
            return self._later[0][0]
        return self._initial

    def add(self, instant: float, number: int, client: int) -> None:
        """Enter the next change of a client in schedule `number`."""
        heapq.heappush(self._later, (instant, number, client))

    def due(self, now: float) -> Iterator[tuple[float, int, int]]:
        """Take out and yield the changes that are due: the instant, a schedule's number, and a client."""
        while self._initial <= now:
            yield self._initial, self._numbers.item(self._next), self._clients.item(self._next)
            self._next += 1
            self._initial = self._instants.item(self._next)
        while self._later and self._later[0][0] <= now:
            yield heapq.heappop(self._later)
