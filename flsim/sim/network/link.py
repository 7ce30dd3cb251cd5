"""A way for transfers: one link, or several in a row."""

from abc import ABC, abstractmethod

from simpy import Environment

from flsim.sim.network.transfer import Transfer


class Link(ABC):
    """Carries transfers, each of which has a rate limit and a latency of its own."""

    def __init__(self, env: Environment, highest_bps: float) -> None:
        """`highest_bps`: the most that a lone transfer can ever have here; infinite for no limit."""
        self.env = env
        self.highest_bps = highest_bps

    @abstractmethod
    def start(self, size_bytes: int, limit_bps: float, latency_s: float) -> Transfer:
        """Start a transfer: it waits out its latency, and then its bits flow, at `limit_bps` at most."""

    def within(self, limit_bps: float) -> float:
        """Return the most that a lone transfer with this limit can ever have here."""
        return limit_bps if limit_bps < self.highest_bps else self.highest_bps

    def uncontended_s(self, size_bytes: int, limit_bps: float, latency_s: float) -> float:
        """Return the seconds that a lone transfer takes, where capacities are at their highest."""
        return latency_s + 8 * size_bytes / self.within(limit_bps)
