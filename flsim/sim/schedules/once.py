"""Schedules that change at most once: joining late, and leaving for good."""

import math

import numpy as np

from flsim.sim.schedules.schedule import Flags, Instants


class Joining:
    """Clients that are away until they join: `joins` [clients] seconds; zero from the start."""

    def __init__(self, joins: Instants) -> None:
        self._joins = joins

    def start(self) -> tuple[Flags, Instants]:
        away = self._joins > 0
        return away, np.where(away, self._joins, math.inf)

    def after(self, client: int, now: float, away: bool) -> float:
        return math.inf


class Leaving:
    """Clients that leave for good: `leaves` [clients] seconds."""

    def __init__(self, leaves: Instants) -> None:
        self._leaves = leaves

    def start(self) -> tuple[Flags, Instants]:
        away = self._leaves <= 0
        return away, np.where(away, math.inf, self._leaves)

    def after(self, client: int, now: float, away: bool) -> float:
        return math.inf
