"""Piecewise-constant values over time: what the value is now, and when it changes next."""

import bisect
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class Series(ABC):
    """A value that holds from one change to the next, from time zero on."""

    lowest: float
    highest: float

    @abstractmethod
    def at(self, now_s: float) -> float:
        """Return the value at an instant; at a change, the new one."""

    @abstractmethod
    def next_change(self, now_s: float) -> float:
        """Return the first instant after `now_s` at which the value may change; infinite if none."""


class Steady(Series):
    """Always the same value."""

    def __init__(self, value: float) -> None:
        self.lowest = self.highest = value

    def at(self, now_s: float) -> float:
        return self.highest

    def next_change(self, now_s: float) -> float:
        return math.inf


class Steps(Series):
    """Values from given times on, the first of which is zero; with a period, over and over."""

    def __init__(
        self, times_s: NDArray[np.float64], values: NDArray[np.float64], period_s: float | None
    ) -> None:
        """`times_s`, `values`: [steps], the times strictly increasing, and below the period."""
        changes = np.concatenate(([True], values[1:] != values[:-1]))
        times: Sequence[float] = times_s[changes].tolist()
        self._times = times
        self._values: Sequence[float] = values[changes].tolist()
        self._period_s = period_s
        self.lowest = min(self._values)
        self.highest = max(self._values)

    def at(self, now_s: float) -> float:
        return self._values[self._place(now_s)[1]]

    def next_change(self, now_s: float) -> float:
        cycle, step = self._place(now_s)
        if step + 1 < len(self._times):
            return self._change_s(cycle, step + 1)
        return math.inf if self._period_s is None else self._change_s(cycle + 1, 0)

    def _change_s(self, cycle: int, step: int) -> float:
        """Return when a step of a cycle begins. Changes are where this rounds to, and nowhere else."""
        return self._times[step] if self._period_s is None else cycle * self._period_s + self._times[step]

    def _place(self, now_s: float) -> tuple[int, int]:
        """Return the cycle and the step of the latest change that is not after `now_s`."""
        cycle = 0
        if self._period_s is not None:
            cycle = int(now_s // self._period_s)
            while self._change_s(cycle, 0) > now_s:  # the division may have rounded across a change
                cycle -= 1
            while self._change_s(cycle + 1, 0) <= now_s:
                cycle += 1
        step = bisect.bisect_right(self._times, now_s - self._change_s(cycle, 0)) - 1
        while step + 1 < len(self._times) and self._change_s(cycle, step + 1) <= now_s:
            step += 1  # the change has been rounded down; the subtraction is exact
        return cycle, step


def steps(times_s: NDArray[np.float64], values: NDArray[np.float64], period_s: float | None) -> Series:
    """Return the series of these values from these times on, steady if there is no change among them.

    >>> three = steps(np.array([0.0, 1.0, 5.0]), np.array([7.0, 8.0, 9.0]), period_s=10.0)
    >>> three.at(1.0), three.next_change(1.0), three.at(12.0), three.next_change(16.0)
    (8.0, 5.0, 8.0, 20.0)
    """
    if (values == values[0]).all():
        return Steady(float(values[0]))
    return Steps(times_s, values, period_s)
