"""Bits that need not share: they flow at the limit, or at what the narrowest link carries just then."""

import math
from collections.abc import Iterator, Sequence

from simpy import Environment

from flsim.sim.clock import delay_until
from flsim.sim.series import Series

_DUST = 1e-12  # of the bits: rounding, which is not left waiting where nothing flows


class LoneFlow:
    """The bits of one transfer, alone on every link of its way. Exact from change to change."""

    def __init__(self, env: Environment, bits: float, limit_bps: float, links: Sequence[Series]) -> None:
        self._env = env
        self._bits = bits
        self._remaining = bits
        self._limit_bps = limit_bps
        self._links = [link for link in links if link.lowest < limit_bps]  # the others never matter
        self._rate_bps = 0.0
        self._since_s = env.now

    def waits(self) -> Iterator[float]:
        """Yield, from now on, the seconds to wait until the rate changes; at last, until the end."""
        while True:
            now = self._env.now
            self._since_s = now
            self._rate_bps = min((link.at(now) for link in self._links), default=self._limit_bps)
            self._rate_bps = min(self._rate_bps, self._limit_bps)
            change_s = min((link.next_change(now) for link in self._links), default=math.inf)
            if self._rate_bps > 0:
                seconds = self._remaining / self._rate_bps
            else:
                seconds = 0.0 if self._remaining <= _DUST * self._bits else math.inf
            if now + seconds <= change_s:
                yield seconds
                return
            yield delay_until(now, change_s)
            self._remaining = max(0.0, self._remaining - self._since_change())

    def carried_bits(self) -> float:
        """Return how many bits have passed. To be asked while they flow."""
        return self._bits - self._remaining + self._since_change()

    def _since_change(self) -> float:
        return (self._env.now - self._since_s) * self._rate_bps
