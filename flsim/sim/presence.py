"""Who is there: every schedule walked by one process, and the count of reasons to be away."""

import math
from collections.abc import Callable, Generator, Sequence

import numpy as np
from numpy.typing import NDArray
from simpy import Environment, Event

from flsim.sim.clock import HAPPEN, Signal, call_at, delay_until
from flsim.sim.schedules.schedule import Calendar, Flags, Schedule

Changed = Callable[[int, bool], None]
"""Told a client and whether it is there, whenever that changes."""


class Presence:
    """Owns how many reasons each client has to be away. It is there when it has none."""

    def __init__(self, env: Environment, clients: int, schedules: Sequence[Schedule]) -> None:
        self._env = env
        self._reasons = bytearray(clients)
        self._walks = [_Walk(schedule) for schedule in schedules]
        self._gone = bytearray(clients)  # who is away for good
        self._still_here = clients
        self._returns = 0  # clients sent away that will come back at a time of their own
        self._changed: Changed = _nobody
        self._over: Callable[[], None] = _nothing
        away = np.zeros(clients, dtype=np.uint8)
        for walk in self._walks:
            away += walk.away
            for client in np.flatnonzero(walk.away_for_good).tolist():
                self._goes_for_good(client)
        self._reasons[:] = away.tobytes()

    @property
    def there(self) -> NDArray[np.bool_]:
        """Return who is there now: [clients]."""
        reasons = np.frombuffer(self._reasons, dtype=np.uint8)
        return np.equal(reasons, 0)

    def listen(self, changed: Changed, over: Callable[[], None]) -> None:
        """Start the schedules; `over` is called when no client will ever come or go again."""
        self._changed, self._over = changed, over
        for walk in self._walks:
            self._env.process(self._follow(walk))

    def next_change(self) -> float:
        """Return when a client comes or goes next, as far as the schedules go; infinite for never."""
        if not self._still_here:
            return math.inf
        if self._returns:
            return self._env.now
        return min((walk.calendar.first() for walk in self._walks), default=math.inf)

    def gone(self, client: int) -> bool:
        """Return whether a client is away for good."""
        return bool(self._gone[client])

    def send_away(self, client: int, seconds: float) -> None:
        """Keep a client away for some time, whatever the schedules say."""
        self._returns += 1
        self._set(client, away=True)
        call_at(self._env, self._env.now + seconds, lambda _: self._return(client))

    def _return(self, client: int) -> None:
        self._returns -= 1
        self._set(client, away=False)
        self._check_over()

    def _follow(self, walk: "_Walk") -> Generator[Event, None, None]:
        while (instant := walk.calendar.first()) < math.inf:
            due = Signal(self._env)
            due.fire(delay_until(self._env.now, instant), HAPPEN)
            yield due
            for client in walk.calendar.due(self._env.now):
                if not self._gone[client]:
                    self._step(walk, client)
        self._check_over()

    def _step(self, walk: "_Walk", client: int) -> None:
        self._set(client, away=walk.step(client, self._env.now))
        if walk.away_for_good[client]:
            self._goes_for_good(client)
            self._check_over()

    def _goes_for_good(self, client: int) -> None:
        """No schedule needs to be followed any longer for a client that one of them never lets back."""
        self._still_here -= not self._gone[client]
        self._gone[client] = 1

    def _check_over(self) -> None:
        if self.next_change() == math.inf:
            self._over()

    def _set(self, client: int, *, away: bool) -> None:
        before = self._reasons[client]
        self._reasons[client] = before + 1 if away else before - 1
        if away and before == 0:
            self._changed(client, False)
        elif not away and before == 1:
            self._changed(client, True)


class _Walk:
    """A schedule with its calendar and each client's state in it."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self.away: Flags
        self.away, first = schedule.start()
        self.away_for_good: Flags = self.away & np.isposinf(first)
        self.calendar = Calendar(first)

    def step(self, client: int, now: float) -> bool:
        """Change a client's state; return whether it is away now."""
        away = not self.away[client]
        self.away[client] = away
        instant = self._schedule.after(client, now, away)
        self.away_for_good[client] = away and instant == math.inf
        self.calendar.add(instant, client)
        return away


def _nobody(client: int, is_there: bool) -> None:
    """Nobody listens yet."""


def _nothing() -> None:
    """Nothing to do."""
