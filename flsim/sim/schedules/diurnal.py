"""Sessions that follow the time of day."""

import math
from functools import cached_property

import numpy as np

from flsim.draws import Stream
from flsim.scenario.availability import Diurnal
from flsim.sim.schedules.daily import DailyEquilibrium
from flsim.sim.schedules.hours import DAY_S, HOUR_S, HourlyRate
from flsim.sim.schedules.lengths import Lengths
from flsim.sim.schedules.schedule import Flags, Instants, Outlook, later


class DiurnalSessions:
    """Clients that come at a rate which depends on the hour of their local day, and stay for a session.

    The run starts as if this had gone on for ever. Zones have equal numbers of clients, up to one, and
    who is in which is drawn. Otherwise a client's history does not depend on the size of the fleet.
    """

    def __init__(self, spec: Diurnal, clients: int, seed: int) -> None:
        self._spec = spec
        self._clients = clients
        self._seed = seed
        self._rate = HourlyRate(spec.profile, spec.off)
        self._ahead_s = [zone * HOUR_S for zone in spec.zones]
        self._on_draws = Stream(seed, "availability.on")
        self._off_draws = Stream(seed, "availability.off")
        self._intervals = np.zeros(clients, dtype=np.int32)  # how many were drawn, per client

    @cached_property
    def zone(self) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
        """[clients], each client's place in the list of zones."""
        zone = np.empty(self._clients, dtype=np.int32)
        order = np.argsort(self._uniforms("zone"), kind="stable")
        zone[order] = np.arange(self._clients) % len(self._ahead_s)
        return zone

    def start(self) -> tuple[Flags, Instants]:
        daily = DailyEquilibrium(Lengths(self._spec.on), self._rate)
        there, which, moment = (self._uniforms(f"start{draw}") for draw in ("", ".interval", ".moment"))
        away = np.empty(self._clients, dtype=np.bool_)
        first = np.empty(self._clients)
        for zone, ahead_s in enumerate(self._ahead_s):
            now = daily.at(ahead_s % DAY_S)
            in_zone = self.zone == zone
            comes = in_zone & (there >= now.share_there)
            stays = in_zone & ~comes
            away[in_zone] = comes[in_zone]
            first[stays] = now.remaining(which[stays], moment[stays])
            waits = (self._next_session(0.0, ahead_s, u) for u in which[comes].tolist())
            first[comes] = np.fromiter(waits, np.float64, int(np.count_nonzero(comes)))
        return away, first

    def after(self, client: int, now: float, away: bool) -> float:
        number = self._intervals.item(client)
        self._intervals[client] = number + 1
        if away:
            ahead_s = self._ahead_s[self.zone.item(client)]
            return self._next_session(now, ahead_s, self._off_draws.uniform(client, number))
        return later(now, now + self._spec.on.quantile(self._on_draws.uniform(client, number)))

    def outlook(self) -> Outlook:
        endless = np.full(self._clients, math.inf)
        return Outlook(endless, endless)

    def _next_session(self, now: float, ahead_s: float, u: float) -> float:
        hazard = -math.log1p(-u)  # exponential: how much of it a wait takes
        return later(now, self._rate.reach(now + ahead_s, hazard) - ahead_s)

    def _uniforms(self, what: str) -> Instants:
        return Stream(self._seed, f"availability.{what}").uniforms(self._clients)
