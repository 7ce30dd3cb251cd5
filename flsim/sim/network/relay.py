"""Store and forward: links in a row, each with a queue of its own. All of a transfer goes on at a time."""

from collections.abc import Sequence
from typing import NamedTuple

from simpy import Environment, Event

from flsim.sim.clock import HAPPEN
from flsim.sim.network.fifo import FifoLink
from flsim.sim.network.link import Link
from flsim.sim.network.transfer import Transfer


class Station(NamedTuple):
    """A queue on the way, and the latency before it."""

    link: FifoLink
    latency_s: float


class _Leg(NamedTuple):
    """What a transfer meets at one station: the limit and the latency are the client's next to it."""

    link: FifoLink
    limit_bps: float
    latency_s: float


class RelayedTransfer(Transfer):
    """A transfer on its way from queue to queue."""

    def __init__(self, env: Environment, size_bytes: int, legs: Sequence[_Leg], at_client: int) -> None:
        super().__init__(env, size_bytes)
        self._legs = legs
        self._at_client = at_client
        self._leg = 0
        self._part = self._start_leg()

    def _start_leg(self) -> Transfer:
        link, limit_bps, latency_s = self._legs[self._leg]
        part = link.start(self.size_bytes, limit_bps, latency_s)
        part.callbacks.append(self._go_on)
        return part

    def _go_on(self, _: Event) -> None:
        if self.triggered:
            return  # cancelled
        if self._leg + 1 == len(self._legs):
            self.fire(priority=HAPPEN)
        else:
            self._leg += 1
            self._part = self._start_leg()

    def cancel(self) -> int:
        """Stop the transfer; what has passed is what has passed the client's own link."""
        if self.triggered:
            return self.size_bytes
        moved = self._part.cancel()
        self.fire(priority=HAPPEN)
        if self._leg == self._at_client:
            return moved
        return self.size_bytes if self._leg > self._at_client else 0


class Relay(Link):
    """The queues on a way. The client's own link limits the service of the queue next to it."""

    def __init__(self, env: Environment, stations: Sequence[Station], at_client: int) -> None:
        """`stations`: in the order of travel; `at_client`: the place of the one next to the client."""
        super().__init__(env, min(station.link.highest_bps for station in stations))
        self._stations = stations
        self._at_client = at_client

    def start(self, size_bytes: int, limit_bps: float, latency_s: float) -> Transfer:
        return RelayedTransfer(self.env, size_bytes, self._legs(limit_bps, latency_s), self._at_client)

    def uncontended_s(self, size_bytes: int, limit_bps: float, latency_s: float) -> float:
        legs = self._legs(limit_bps, latency_s)
        return sum(leg.link.uncontended_s(size_bytes, leg.limit_bps, leg.latency_s) for leg in legs)

    def _legs(self, limit_bps: float, latency_s: float) -> list[_Leg]:
        return [
            _Leg(station.link, limit_bps, station.latency_s + latency_s)
            if place == self._at_client
            else _Leg(station.link, station.link.highest_bps, station.latency_s)
            for place, station in enumerate(self._stations)
        ]
