"""No sharing: every transfer runs as if it were alone."""

from simpy import Environment

from flsim.sim.network.link import Link
from flsim.sim.network.transfer import Transfer


class PrivateTransfer(Transfer):
    """A transfer whose end is known at its start."""

    __slots__ = ("_flows_from_s", "_rate_bps")

    def __init__(self, env: Environment, size_bytes: int, latency_s: float, rate_bps: float) -> None:
        super().__init__(env, size_bytes)
        self._flows_from_s = self.started_s + latency_s
        self._rate_bps = rate_bps
        self.done = env.timeout(latency_s + 8 * size_bytes / rate_bps)

    def cancel(self) -> int:
        bits = (self.env.now - self._flows_from_s) * self._rate_bps
        return min(max(0, int(bits / 8)), self.size_bytes)


class PrivateLink(Link):
    """Each transfer gets its client's whole link, up to the server's capacity."""

    def start(self, client: int, size_bytes: int) -> PrivateTransfer:
        return PrivateTransfer(self.env, size_bytes, self._latency_s[client], self.rate_bps(client))
