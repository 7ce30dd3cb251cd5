"""Max-min fair sharing of one link among transfers that each have a rate limit of their own.

Max-min fairness on one link is water-filling: there is a level such that a transfer whose limit is
below the level runs at its limit, and the others all run at the level.
"""

import math

from simpy import Environment, Event

from flsim.sim.network.basin import Basin, FairTransfer
from flsim.sim.network.shared import SharedLink
from flsim.sim.network.sharing import Alarm, Reallocation
from flsim.sim.series import Series


class FairLink(SharedLink[FairTransfer]):
    """The link and its level. Re-allocates once per instant at most."""

    def __init__(self, env: Environment, capacity: Series) -> None:
        super().__init__(env, capacity.highest)
        self._capacity = capacity
        self._capacity_bps = capacity.at(env.now)
        self._basin = Basin(env)
        self._reallocation = Reallocation(env, self._reallocate)
        self._alarm = Alarm(env, self._woken)

    def rate_of(self, transfer: FairTransfer) -> float:
        """Return the present rate of a transfer on this link, in bits per second."""
        return self._basin.rate_of(transfer)

    def new_transfer(self, size_bytes: int, limit_bps: float) -> FairTransfer:
        return FairTransfer(self.env, size_bytes, self, limit_bps)

    def join(self, transfer: FairTransfer) -> None:
        self._basin.advance()
        self._basin.open_up(transfer, transfer.size_bits)
        self._reallocation.ask()

    def withdraw(self, transfer: FairTransfer) -> float:
        self._basin.advance()
        remaining = self._basin.remaining(transfer)
        self._basin.remove(transfer)
        self._reallocation.ask()
        return transfer.size_bits - remaining

    def _reallocate(self, _: Event) -> None:
        basin = self._basin  # its clock is up to now: whoever asked for this has seen to that
        self._follow_capacity()
        basin.level_bps = self._level()
        while self._cross():
            basin.level_bps = self._level()
        basin.rest()
        self._plan()

    def _follow_capacity(self) -> None:
        """Take the present capacity. Where it can no longer carry the capped transfers, one opens."""
        capacity_bps = self._capacity.at(self.env.now)
        if capacity_bps < self._capacity_bps and not self._basin.open:
            transfer = self._basin.highest_capped()
            if transfer is not None and self._basin.capped_bps > capacity_bps:
                self._basin.uncap(transfer)
        self._capacity_bps = capacity_bps

    def _cross(self) -> bool:
        """Move a transfer whose limit is on the wrong side of the level; return whether there was one.

        Every move raises the level, so a transfer that was capped stays capped. Opening one may raise
        the level above the limit of another that was rightly open before.
        """
        if (transfer := self._basin.too_low_to_be_open()) is not None:
            self._basin.cap(transfer)
            return True
        if (transfer := self._basin.too_high_to_be_capped()) is not None:
            self._basin.uncap(transfer)
            return True
        return False

    def _level(self) -> float:
        basin = self._basin
        if not basin.open:
            return math.inf
        return max(0.0, self._capacity_bps - basin.capped_bps) / basin.open

    def _plan(self) -> None:
        """Wake up when the next transfer ends, or the capacity changes under those that are left."""
        wakes = self._basin.next_end_s()
        if self._basin.open or self._basin.capped:
            wakes = min(wakes, self._capacity.next_change(self.env.now))
        self._alarm.set(wakes)

    def _woken(self) -> None:
        self._basin.advance()
        for transfer in self._basin.take_ended():
            transfer.finish()
        self._reallocation.ask()
