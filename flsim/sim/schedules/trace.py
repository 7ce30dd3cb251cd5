"""Recorded intervals, replayed."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flsim.sim.schedules.schedule import Flags, Instants, Outlook, later


class Intervals(NamedTuple):
    """When the clients of a trace are there, as flat columns, ascending and apart for each client.

    Client k of the trace is there from `on_s[i]` on and before `off_s[i]`, for every i from
    `first[k]` on and before `first[k + 1]`; there is at least one.
    """

    first: NDArray[np.int64]  # [clients of the trace + 1]
    on_s: Instants
    off_s: Instants


class Replay:
    """Clients that follow a trace: client i of the fleet follows client i modulo those of the trace.

    With a `period_s` the trace repeats, and no interval reaches beyond it. An interval up to the period's
    end and one from its beginning are then one.
    """

    def __init__(self, intervals: Intervals, clients: int, period_s: float | None) -> None:
        self._intervals = intervals
        self._period_s = period_s
        self._follows = np.arange(clients) % (len(intervals.first) - 1)
        self._number = np.zeros(
            clients, dtype=np.int64
        )  # of the next interval, counted through all periods
        first, on_s, off_s = intervals
        begins, last = on_s[first[:-1]], first[1:] - 1
        self._joined: Flags = np.zeros(len(begins), dtype=np.bool_)
        if period_s is not None:
            self._joined = (begins == 0) & (off_s[last] == period_s)
        self._always: Flags = self._joined & (off_s[first[:-1]] == period_s)

    def start(self) -> tuple[Flags, Instants]:
        first, on_s, off_s = self._intervals
        begins, ends = on_s[first[:-1]], off_s[first[:-1]]
        away = begins > 0
        change = np.where(away, begins, np.where(self._always, math.inf, ends))
        self._number[~away[self._follows]] = 1  # the interval that it is in has been taken
        return away[self._follows], change[self._follows]

    def after(self, client: int, now: float, away: bool) -> float:
        number = self._number.item(client)
        trace_client = self._follows.item(client)
        if away:
            return later(now, self._instant(self._intervals.on_s, trace_client, number))
        if self._joined[trace_client] and (number + 1) % self._count(trace_client) == 0:
            number += 1  # it ends with the interval that follows at once, in the next period
        self._number[client] = number + 1
        return later(now, self._instant(self._intervals.off_s, trace_client, number))

    def outlook(self) -> Outlook:
        first, on_s, off_s = self._intervals
        last = first[1:] - 1
        last_return = np.where(on_s[last] > 0, on_s[last], -math.inf)
        gone = off_s[last]
        if self._period_s is not None:
            last_return = np.where(self._always, -math.inf, math.inf)
            gone = np.full(len(last), math.inf)
        return Outlook(last_return[self._follows], gone[self._follows])

    def _count(self, trace_client: int) -> int:
        first = self._intervals.first
        return first.item(trace_client + 1) - first.item(trace_client)

    def _instant(self, column: Instants, trace_client: int, number: int) -> float:
        """Return an end of a client's interval; infinite if the trace has no interval of that number."""
        period, index = divmod(number, self._count(trace_client))
        if self._period_s is None:
            if period:
                return math.inf
            return column.item(self._intervals.first.item(trace_client) + index)
        return period * self._period_s + column.item(self._intervals.first.item(trace_client) + index)
