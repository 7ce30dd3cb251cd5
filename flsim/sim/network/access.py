"""The clients' own links: what limits a transfer whatever the others do."""

import math
from statistics import NormalDist

from flsim.draws import Stream
from flsim.records import Devices, Task
from flsim.sim.network.transfer import Direction

_STANDARD_NORMAL = NormalDist()


class Access:
    """Rates and latencies of the clients' own links, in both directions.

    A transfer's rate is its client's, times a log-normal factor with mean 1 whose coefficient of variation
    is `variation`. It is drawn for every task and direction: a transfer that starts again keeps it.
    """

    def __init__(self, devices: Devices, variation: float, seed: int) -> None:
        self._down_bps = devices.downlink_bps.data
        self._up_bps = devices.uplink_bps.data
        self._latency_s = devices.latency_s.data
        self._down_draws = Stream(seed, "transfer.downlink")
        self._up_draws = Stream(seed, "transfer.uplink")
        variance = math.log1p(variation * variation)  # of the logarithm
        self._sigma, self._mu = math.sqrt(variance), -variance / 2

    def limit_bps(self, direction: Direction, task: Task) -> float:
        """Return the most that the client's own link carries of a transfer, in bit/s."""
        downwards = direction is Direction.DOWN
        rate: float = self._down_bps[task.client] if downwards else self._up_bps[task.client]
        if self._sigma:
            draws = self._down_draws if downwards else self._up_draws
            u = draws.uniform(task.client, task.ordinal)
            rate *= math.exp(self._mu + self._sigma * _STANDARD_NORMAL.inv_cdf(u))
        return rate

    def latency_s(self, task: Task) -> float:
        """Return the latency of the client's own link."""
        return self._latency_s[task.client]
