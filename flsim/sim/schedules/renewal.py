"""Sessions: clients come and go in alternating intervals, drawn anew each time."""

from bisect import bisect_left
from itertools import accumulate

import numpy as np

from flsim.draws import Stream
from flsim.scenario.distributions import Distribution
from flsim.sim.schedules.schedule import Flags, Instants

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


class Renewal:
    """A schedule of alternating times there (`on`) and away (`off`), started at a random moment.

    `purpose` keys its draws, so that two such schedules of one client are independent.
    """

    def __init__(self, on: Distribution, off: Distribution, clients: int, seed: int, purpose: str) -> None:
        self._on = on
        self._off = off
        self._clients = clients
        self._seed = seed
        self._purpose = purpose
        self._on_draws = Stream(seed, f"{purpose}.on")
        self._off_draws = Stream(seed, f"{purpose}.off")
        self._intervals = np.zeros(clients, dtype=np.int32)  # how many were drawn, per client

    def start(self) -> tuple[Flags, Instants]:
        on, off = Equilibrium(self._on), Equilibrium(self._off)
        away = self._uniforms("start") >= on.mean_s / (on.mean_s + off.mean_s)
        which = self._uniforms("start.interval").tolist()
        moment = self._uniforms("start.moment").tolist()
        residuals = (
            (off if is_away else on).residual(u, v)
            for is_away, u, v in zip(away.tolist(), which, moment, strict=True)
        )
        return away, np.fromiter(residuals, np.float64, self._clients)

    def after(self, client: int, now: float, away: bool) -> float:
        number = self._intervals.item(client)
        self._intervals[client] = number + 1
        if away:
            return now + self._off.quantile(self._off_draws.uniform(client, number))
        return now + self._on.quantile(self._on_draws.uniform(client, number))

    def _uniforms(self, what: str) -> Instants:
        return Stream(self._seed, f"{self._purpose}.{what}").uniforms(self._clients)
