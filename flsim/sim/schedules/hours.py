"""A rate that is constant within each hour of the day, and the same every day."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

DAY_S = 86_400.0
HOUR_S = 3_600.0


class HourlyRate:
    """The rate per second of something that happens to those who wait, by the hour of their day."""

    def __init__(self, profile: Sequence[float], mean_wait_s: float) -> None:
        """Scale `profile` (24 numbers) so that its mean is a rate of 1 / `mean_wait_s`."""
        highest = max(profile)  # dividing by it first keeps the sum finite
        relative = [hour / highest for hour in profile]
        scale = len(relative) / math.fsum(relative) / mean_wait_s
        self.per_second = tuple(hour * scale for hour in relative)
        hazards = (rate * HOUR_S for rate in self.per_second)
        self._until = [0.0, *accumulate(hazards)]  # cumulative hazard at each full hour of a day

    def reach(self, local_s: float, hazard: float) -> float:
        """Return the moment at which the hazard accumulated since `local_s` is `hazard`: its inverse.

        `local_s`: seconds since a local midnight. Exact up to rounding, and O(1) however far it is.

        >>> HourlyRate([1.0] + [0.0] * 23, mean_wait_s=24.0).reach(1800.0, 7 * 3600.0 + 60.0)
        606660.0
        """
        day, within_s = divmod(local_s, DAY_S)
        hour = min(int(within_s / HOUR_S), 23)
        already = self._until[hour] + (within_s - hour * HOUR_S) * self.per_second[hour]
        days, rest = divmod(already + hazard, self._until[-1])
        hour = bisect_right(self._until, rest) - 1
        into_s = min((rest - self._until[hour]) / self.per_second[hour], HOUR_S)
        return (day + days) * DAY_S + hour * HOUR_S + into_s
