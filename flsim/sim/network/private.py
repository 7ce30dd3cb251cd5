"""No sharing: every transfer runs as if it were alone."""

import math
from collections.abc import Iterator, Sequence

from simpy import Environment, Event

from flsim.sim.clock import HAPPEN
from flsim.sim.network.link import Link
from flsim.sim.network.lone import LoneFlow
from flsim.sim.network.transfer import Transfer
from flsim.sim.series import Series


class SteadyTransfer(Transfer):
    """A transfer at one rate: its end is known at its start."""

    def __init__(self, env: Environment, size_bytes: int, rate_bps: float, latency_s: float) -> None:
        # What Transfer and SimPy's Timeout do, written out: there is nothing that a run makes more of.
        self.env = env
        self.callbacks = []
        self.size_bytes = size_bytes
        self.started_s = now = env.now
        self._flows_from_s = now + latency_s
        self._rate_bps = rate_bps
        self._ok, self._value = True, None
        env.schedule(self, HAPPEN, latency_s + 8 * size_bytes / rate_bps)

    def cancel(self) -> int:
        return self.whole_bytes((self.env.now - self._flows_from_s) * self._rate_bps)


class UnsteadyTransfer(Transfer):
    """A transfer whose rate changes with the capacities on its way."""

    def __init__(
        self, env: Environment, size_bytes: int, limit_bps: float, latency_s: float, links: Sequence[Series]
    ) -> None:
        super().__init__(env, size_bytes)
        self._limit_bps = limit_bps
        self._links = links
        self._flow: LoneFlow | None = None
        self._waits: Iterator[float] = iter(())
        env.timeout(latency_s).callbacks.append(self._flows)

    def _flows(self, latency_over: Event) -> None:
        self._flow = LoneFlow(self.env, 8.0 * self.size_bytes, self._limit_bps, self._links)
        self._waits = self._flow.waits()
        self._go_on(latency_over)

    def _go_on(self, _: Event) -> None:
        if self.triggered:
            return  # cancelled
        seconds = next(self._waits, None)
        if seconds is None:
            self.fire(priority=HAPPEN)
        elif seconds < math.inf:
            self.env.timeout(seconds).callbacks.append(self._go_on)

    def cancel(self) -> int:
        if self.triggered:
            return self.size_bytes
        self.fire(priority=HAPPEN)
        return 0 if self._flow is None else self.whole_bytes(self._flow.carried_bits())


class PrivateLink(Link):
    """Each transfer gets all that the links in a row carry, up to its own limit."""

    def __init__(self, env: Environment, *capacities: Series) -> None:
        super().__init__(env, min((capacity.highest for capacity in capacities), default=math.inf))
        self._capacities = capacities
        self._lowest_bps = min((capacity.lowest for capacity in capacities), default=math.inf)

    def start(self, size_bytes: int, limit_bps: float, latency_s: float) -> Transfer:
        rate_bps = limit_bps if limit_bps < self.highest_bps else self.highest_bps
        if rate_bps <= self._lowest_bps:
            return SteadyTransfer(self.env, size_bytes, rate_bps, latency_s)
        return UnsteadyTransfer(self.env, size_bytes, rate_bps, latency_s, self._capacities)
