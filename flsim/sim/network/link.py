"""One direction of the star: every client's own link, and the server's link where they meet."""

import math
from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray
from simpy import Environment

from flsim.sim.network.transfer import Transfer


class Link(ABC):
    """The way between clients and server in one direction."""

    def __init__(
        self,
        env: Environment,
        client_bps: NDArray[np.float64],
        latency_s: NDArray[np.float64],
        capacity_bps: float | None,
    ) -> None:
        """`client_bps`, `latency_s`: [clients]; `capacity_bps`: the server's link, None for no limit."""
        self.env = env
        self.capacity_bps = math.inf if capacity_bps is None else capacity_bps
        self._client_bps = client_bps.data
        self._latency_s = latency_s.data

    @abstractmethod
    def start(self, client: int, size_bytes: int) -> Transfer:
        """Start a transfer of `size_bytes` over a client's link."""

    def rate_bps(self, client: int) -> float:
        """Return the highest rate that a client can have."""
        rate: float = self._client_bps[client]
        return rate if rate < self.capacity_bps else self.capacity_bps

    def latency_s(self, client: int) -> float:
        """Return a client's latency."""
        return self._latency_s[client]

    def uncontended_s(self, client: int, size_bytes: int) -> float:
        """Return the seconds that a lone transfer takes."""
        return self._latency_s[client] + 8 * size_bytes / self.rate_bps(client)
