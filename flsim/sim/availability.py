"""Availability: when clients come and go, as one calendar and one process for the whole fleet."""

import heapq
import math
from bisect import bisect_left
from collections.abc import Callable, Generator, Iterator
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray
from simpy import Environment, Event

from flsim.draws import Stream
from flsim.scenario import Scenario
from flsim.scenario.distributions import Distribution
from flsim.scenario.fleet import Sessions
from flsim.sim.clock import HAPPEN, Signal, delay_until

_GRID = 4096


class Equilibrium:
    """What remains of an interval at a random moment of an endless sequence of such intervals.

    A random moment falls into an interval with probability proportional to its length, and evenly
    within it. The lengths are taken at `_GRID` quantiles.
    """

    def __init__(self, distribution: Distribution) -> None:
        self._lengths = [distribution.quantile((i + 0.5) / _GRID) for i in range(_GRID)]
        self._cumulative = list(accumulate(self._lengths))
        self.mean_s = self._cumulative[-1] / _GRID

    def residual(self, u: float, v: float) -> float:
        """Return the rest of the interval, from two independent uniforms."""
        index = bisect_left(self._cumulative, u * self._cumulative[-1], hi=_GRID - 1)
        return v * self._lengths[index]


class Calendar:
    """The next change of every client: sorted columns for the first ones, a heap for the others."""

    def __init__(self, instants: NDArray[np.float64]) -> None:
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


class Availability:
    """Which clients are there. Owns the calendar; tells its listener of every change."""

    def __init__(self, scenario: Scenario) -> None:
        clients, seed = scenario.fleet.clients, scenario.seed
        spec, lifetime = scenario.fleet.availability, scenario.fleet.failure.lifetime
        self._on_draws = Stream(seed, "availability.on")
        self._off_draws = Stream(seed, "availability.off")
        self._sessions = spec if isinstance(spec, Sessions) else None
        self._leaves = (
            np.full(clients, math.inf)
            if lifetime is None
            else lifetime.column(Stream(seed, "availability.lifetime").uniforms(clients))
        )
        self._changes = np.zeros(clients, dtype=np.int32)
        self.there = np.ones(clients, dtype=np.bool_)
        first = np.full(clients, math.inf)
        if self._sessions is not None:
            self.there, first = _stationary_start(self._sessions, clients, seed)
        self._calendar = Calendar(np.minimum(first, self._leaves))

    def next_change(self) -> float:
        """Return when the next client comes or goes; infinite if none ever will."""
        return self._calendar.first()

    def process(
        self, env: Environment, changed: Callable[[int, bool], None], over: Callable[[], None]
    ) -> Generator[Event, None, None]:
        """Walk through the calendar; call `changed(client, is_there)` for every change.

        Calls `over()` when no client will ever come or go again.
        """
        while (instant := self._calendar.first()) < math.inf:
            due = Signal(env)
            due.fire(delay_until(env.now, instant), priority=HAPPEN)
            yield due
            for client in self._calendar.due(env.now):
                self._change(client, env.now, changed)
        over()

    def _change(self, client: int, now: float, changed: Callable[[int, bool], None]) -> None:
        leaves = self._leaves.item(client)
        was_there = bool(self.there[client])
        gone = now >= leaves
        if gone and not was_there:
            return
        self.there[client] = not was_there
        if not gone and self._sessions is not None:
            number = self._changes.item(client)
            self._changes[client] = number + 1
            draws, law = (
                (self._off_draws, self._sessions.off) if was_there else (self._on_draws, self._sessions.on)
            )
            self._calendar.add(min(now + law.quantile(draws.uniform(client, number)), leaves), client)
        changed(client, not was_there)


def _stationary_start(
    sessions: Sessions, clients: int, seed: int
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return who is there at time zero, and when each client's state first changes."""
    on, off = Equilibrium(sessions.on), Equilibrium(sessions.off)
    share_on = on.mean_s / (on.mean_s + off.mean_s)
    there = Stream(seed, "availability.start").uniforms(clients) < share_on
    which = Stream(seed, "availability.start.interval").uniforms(clients).tolist()
    moment = Stream(seed, "availability.start.moment").uniforms(clients).tolist()
    residuals = (
        (on if is_there else off).residual(u, v)
        for is_there, u, v in zip(there.tolist(), which, moment, strict=True)
    )
    return there, np.fromiter(residuals, np.float64, clients)
