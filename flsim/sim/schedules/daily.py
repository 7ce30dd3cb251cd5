"""Sessions that follow the time of day, after they have gone on for ever: where a run starts them.

While away, a client's next session begins at a rate that depends on the hour; sessions have any law of
lengths. The share of clients away then repeats every day, and solves a linear equation: whoever is not
away is in a session that began some time ago and has not ended. It is solved on cells of five minutes.
"""

import math
from itertools import accumulate

import numpy as np

from flsim.sim.schedules.hours import DAY_S, HOUR_S, HourlyRate
from flsim.sim.schedules.lengths import Column, Lengths
from flsim.sim.schedules.linear import solve

_CELL_S = 300.0
_CELLS = round(DAY_S / _CELL_S)
_LEAST_S = 1e-9


class DailyEquilibrium:
    """How many sessions begin at each time of day, per client; and so, who is in one."""

    def __init__(self, lengths: Lengths, rate: HourlyRate) -> None:
        self._lengths = lengths
        hours = [int((cell + 0.5) * _CELL_S / HOUR_S) for cell in range(_CELLS)]
        rates = np.array([rate.per_second[hour] for hour in hours])
        early = np.array([_front_loaded(rate.per_second[hour] * _CELL_S) for hour in hours])
        cells = np.arange(_CELLS)
        distance = (cells[:, None] - cells) % _CELLS
        evenly, at_once = _covered(lengths)
        there = (evenly[distance] * (1 - early) + at_once[distance] * early) * rates
        away = solve(np.eye(_CELLS) + there, np.ones(_CELLS))
        self._begin: Column = np.maximum(away, 0.0) * rates  # sessions per second, by cell
        begun = accumulate((self._begin * _CELL_S).tolist())
        self._begun: Column = np.array([0.0, *begun])  # sessions since midnight, at the ends of the cells

    def at(self, local_s: float) -> "Moment":
        """Return who is in a session, and since when, at one time of day (seconds)."""
        now = self._sessions_until(np.array([local_s]))
        begun = now - self._sessions_until(local_s - self._lengths.length)
        return Moment(self, local_s, self._lengths, now.item(), begun)

    def _sessions_until(self, local_s: Column) -> Column:
        """Return how many sessions begin from midnight until each moment; negative before it."""
        day = np.floor(local_s / DAY_S)
        within_s = local_s - day * DAY_S
        cell = np.minimum(within_s / _CELL_S, _CELLS - 1).astype(np.int64)
        into = self._begin[cell] * (within_s - cell * _CELL_S)
        sessions: Column = day * self._begun[-1] + (self._begun[cell] + into)
        return sessions

    def moment_of(self, sessions: Column) -> Column:
        """Return the moments by which so many sessions have begun since midnight: the inverse."""
        day = np.floor(sessions / self._begun[-1])
        rest = sessions - day * self._begun[-1]
        cell = np.searchsorted(self._begun, rest, side="right") - 1
        cell = np.clip(cell, 0, _CELLS - 1)
        into = np.zeros(len(sessions))
        np.divide(rest - self._begun[cell], self._begin[cell], out=into, where=self._begin[cell] > 0)
        moment: Column = day * DAY_S + (cell * _CELL_S + np.clip(into, 0.0, _CELL_S))
        return moment


class Moment:
    """The equilibrium at one time of day."""

    def __init__(
        self, daily: DailyEquilibrium, local_s: float, lengths: Lengths, now: float, begun: Column
    ) -> None:
        """`begun` [cells of `lengths`]: the sessions that began within each length before `local_s`."""
        self._daily = daily
        self._local_s = local_s
        self._lengths = lengths
        self._now = now
        self._begun = begun
        self._cumulative: Column = np.array(list(accumulate((lengths.weight * begun).tolist())))
        self.share_there = float(self._cumulative[-1])  # the share of clients in a session

    def remaining(self, u: Column, v: Column) -> Column:
        """Return how long sessions go on that are under way now. `u`, `v` [n]: independent uniforms.

        A session of some length is under way if it began within that length before now.
        """
        which = np.searchsorted(self._cumulative, u * self.share_there)
        which = np.minimum(which, len(self._cumulative) - 1)
        length: Column = self._lengths.length[which]
        since_s = self._daily.moment_of(self._now - v * self._begun[which])
        return np.clip(length - (self._local_s - since_s), np.minimum(_LEAST_S, length), length)


def _front_loaded(hazard: float) -> float:
    """Return which share of a cell's sessions to place at its very beginning, and not evenly within it.

    Where few wait longer than a cell, most that were waiting come at once; to place them evenly would
    let the solution swing. This is the exponentially fitted scheme: exact if nobody leaves meanwhile.
    `hazard`: the hazard of one cell. Zero for a small one, one for a large one.

    >>> round(_front_loaded(0.01), 6), round(_front_loaded(1000.0), 3)
    (0.001667, 0.998)
    """
    if hazard < 1e-3:
        return hazard / 6  # the limit; the formula would cancel
    return 2 * (-1 / math.expm1(-hazard) - 1 / hazard) - 1


def _covered(lengths: Lengths) -> tuple[Column, Column]:
    """Return for how long sessions cover the cell that comes so many cells after that of their beginning.

    In seconds per session, averaged over the covered cell, and summed over all days, because sessions
    can be longer than a day; both [cells]. First for sessions that begin evenly within their cell, a
    second difference of H(x), the integral of G from 0 to x; then for those that begin with their cell, a
    first difference of G(x), the mean of min(length, x).
    """
    days = np.floor(lengths.length / DAY_S)
    rest = lengths.length - days * DAY_S
    order = np.argsort(rest, kind="stable")
    rest, weight = rest[order], lengths.weight[order]
    full_days = math.fsum((lengths.weight * days).tolist()) * _CELL_S
    until = [np.array([0.0, *accumulate((weight * rest**power).tolist())]) for power in (0, 1, 2)]
    x = np.arange(_CELLS + 2) * _CELL_S
    shorter = np.searchsorted(rest, x)
    longer = until[0][-1] - until[0][shorter]
    mean = until[1][shorter] + longer * x
    integral = until[1][shorter] * x - until[2][shorter] / 2 + longer * (x * x) / 2
    integral = np.concatenate([[0.0], integral])  # at minus one cell
    evenly = (integral[2:] - 2 * integral[1:-1] + integral[:-2]) / _CELL_S
    evenly[0] += evenly[-1]  # what reaches into the same cell of the next day
    at_once = mean[1:] - mean[:-1]
    return np.maximum(evenly[:-1], 0.0) + full_days, np.maximum(at_once[:-1], 0.0) + full_days
