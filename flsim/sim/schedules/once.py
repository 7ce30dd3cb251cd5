"""Schedules that come once: joining late, leaving for good, and an outage."""

import math

import numpy as np

from flsim.sim.schedules.schedule import Clients, Flags, Instants, Outlook, later


class Joining:
    """Clients that are away until they join: `joins` [clients] seconds; zero from the start."""

    def __init__(self, joins: Instants) -> None:
        self._joins = joins

    def start(self) -> tuple[Flags, Instants]:
        away = self._joins > 0
        return away, np.where(away, self._joins, math.inf)

    def after(self, client: int, now: float, away: bool) -> float:
        return math.inf

    def outlook(self) -> Outlook:
        last_return = np.where(self._joins > 0, self._joins, -math.inf)
        return Outlook(last_return, np.full(len(last_return), math.inf))


class Leaving:
    """Clients that leave for good: `leaves` [clients] seconds."""

    def __init__(self, leaves: Instants) -> None:
        self._leaves = leaves

    def start(self) -> tuple[Flags, Instants]:
        away = self._leaves <= 0
        return away, np.where(away, math.inf, self._leaves)

    def after(self, client: int, now: float, away: bool) -> float:
        return math.inf

    def outlook(self) -> Outlook:
        return Outlook(np.full(len(self._leaves), -math.inf), self._leaves)


class OutOfReach:
    """An outage: the `members` (client ids) are away from `start_s` on and before `end_s`."""

    def __init__(self, clients: int, members: Clients, start_s: float, end_s: float) -> None:
        self._clients = clients
        self._members = members
        self._start_s = start_s
        self._end_s = later(start_s, end_s)

    def start(self) -> tuple[Flags, Instants]:
        away = np.zeros(self._clients, dtype=np.bool_)
        away[self._members] = self._start_s <= 0
        first = np.full(self._clients, math.inf)
        first[self._members] = self._start_s if self._start_s > 0 else self._end_s
        return away, first

    def after(self, client: int, now: float, away: bool) -> float:
        return self._end_s if away else math.inf

    def outlook(self) -> Outlook:
        last_return = np.full(self._clients, -math.inf)
        last_return[self._members] = self._end_s
        return Outlook(last_return, np.full(self._clients, math.inf))
