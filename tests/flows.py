"""Flows over links, driven directly: no fleet, no server, no strategy."""

from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
from simpy import Environment

from flsim.sim.clock import call_at
from flsim.sim.network.basin import Basin
from flsim.sim.network.link import Link
from flsim.sim.network.mesh import FairMesh, FairRoute
from flsim.sim.network.private import PrivateLink
from flsim.sim.network.transfer import Transfer
from flsim.sim.series import Series, Steady, steps
from tests.rounds import WIDE


class Flow(NamedTuple):
    """A transfer of `size_bytes` at `limit_bps` at most; withdrawn at some time or not."""

    limit_bps: float
    size_bytes: int
    start_s: float = 0.0
    withdraw_s: float | None = None
    latency_s: float = 0.0
    way: int = 0  # which of the driven links carries it


class Carried(NamedTuple):
    """When each flow ended (None where it was withdrawn) and how many whole bytes passed."""

    ends_s: list[float | None]
    moved_bytes: list[int]


Watch = Callable[[Environment, dict[int, Transfer]], None]
Build = Callable[[Environment], Sequence[Link]]


def changing(*changes: tuple[float, float], period_s: float | None = None) -> Series:
    """Return the series of these (time, value), the first of which is at zero."""
    times, values = zip(*changes, strict=True)
    return steps(np.array(times, dtype=np.float64), np.array(values, dtype=np.float64), period_s)


def single(link_class: Any, capacity: float | Series | None) -> Build:
    """Return what builds one link of a class with a capacity in bit/s; without one, nothing is shared."""

    def build(env: Environment) -> Sequence[Link]:
        if capacity is None:
            return [PrivateLink(env)]
        return [link_class(env, capacity if isinstance(capacity, Series) else Steady(capacity))]

    return build


def one_link_of_a_mesh(env: Environment, capacity: Series) -> FairRoute:
    """Return the way over a link of a mesh that is to behave as a link alone does."""
    return FairMesh(env, [Steady(WIDE), capacity]).route([0, 1])


def rate_of(transfer: Transfer) -> float:
    """Return the present rate of a transfer that shares fairly, in bit/s."""
    rate: float = transfer.link.rate_of(transfer)  # type: ignore[attr-defined]
    return rate


class Drive:
    """Starts and withdraws the flows; shows the live transfers when an instant is over."""

    def __init__(self, build: Build, flows: Sequence[Flow]) -> None:
        self.env = Environment()
        self.links = build(self.env)
        self.flows = flows
        self.live: dict[int, Transfer] = {}
        self.ends_s: list[float | None] = [None] * len(flows)
        self.moved_bytes = [0] * len(flows)
        self.order: list[int] = []
        for index, flow in enumerate(flows):
            call_at(self.env, flow.start_s, lambda _, index=index: self._start(index))
            if flow.withdraw_s is not None:
                call_at(self.env, flow.withdraw_s, lambda _, index=index: self._withdraw(index))

    def run(self, watch: Watch | None = None) -> Carried:
        """Run until nothing is left to happen; call `watch` between two instants."""
        while self.env.peek() < float("inf"):
            self.env.step()
            # Instants that only rounding tells apart are one.
            if watch is not None and self.env.peek() > self.env.now * (1 + 1e-12):
                watch(self.env, self.live)
        return Carried(self.ends_s, self.moved_bytes)

    def _start(self, index: int) -> None:
        flow = self.flows[index]
        transfer = self.links[flow.way].start(flow.size_bytes, flow.limit_bps, flow.latency_s)
        self.live[index] = transfer
        transfer.callbacks.append(lambda _: self._done(index))

    def _done(self, index: int) -> None:
        if self.live.pop(index, None) is not None:
            self.ends_s[index] = self.env.now
            self.moved_bytes[index] = self.flows[index].size_bytes
            self.order.append(index)

    def _withdraw(self, index: int) -> None:
        transfer = self.live.pop(index, None)
        if transfer is not None:
            self.moved_bytes[index] = transfer.cancel()


def carry(
    link_class: Any, flows: Sequence[Flow], capacity: float | Series | None, watch: Watch | None = None
) -> Carried:
    """Carry the flows over one link of a class."""
    return Drive(single(link_class, capacity), flows).run(watch)


class Kept:
    """The most entries that a fair link's heaps have had while it was driven, and the most live flows."""

    def __init__(self, drive: Drive) -> None:
        self._basin: Basin = drive.links[0]._basin  # type: ignore[attr-defined]
        self.entries = self.flows = 0

    def see(self, live: Collection[int]) -> None:
        basin = self._basin
        heaps = (basin._open_ends, basin._open_limits, basin._capped_ends, basin._capped_limits)
        self.flows = max(self.flows, len(live))
        self.entries = max(self.entries, *map(len, heaps))
