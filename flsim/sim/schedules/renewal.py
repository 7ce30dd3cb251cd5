"""Sessions: clients come and go in alternating intervals, drawn anew each time."""

import math

import numpy as np

from flsim.draws import Stream
from flsim.scenario.distributions import Distribution
from flsim.sim.schedules.lengths import Lengths
from flsim.sim.schedules.schedule import Flags, Instants, Outlook, later


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
        on_s, off_s = self._on.expectation, self._off.expectation
        away = self._uniforms("start") >= on_s / (on_s + off_s)
        which, moment = self._uniforms("start.interval"), self._uniforms("start.moment")
        first = np.empty(self._clients)
        for law, members in ((self._off, away), (self._on, ~away)):
            first[members] = Lengths(law).remaining(which[members], moment[members])
        return away, first

    def after(self, client: int, now: float, away: bool) -> float:
        number = self._intervals.item(client)
        self._intervals[client] = number + 1
        law, draws = (self._off, self._off_draws) if away else (self._on, self._on_draws)
        return later(now, now + law.quantile(draws.uniform(client, number)))

    def outlook(self) -> Outlook:
        endless = np.full(self._clients, math.inf)
        return Outlook(endless, endless)

    def _uniforms(self, what: str) -> Instants:
        return Stream(self._seed, f"{self._purpose}.{what}").uniforms(self._clients)
