"""Max-min fair sharing of one link among transfers that each have a rate limit of their own.

Max-min fairness on one link is water-filling: there is a level such that a transfer whose limit is
below the level runs at its limit ("capped"), and the others all run at the level ("open"). So time on
the link has a second clock, the *service* that an open transfer has received, which runs at the level.
An open transfer ends at a service that is known when it joins, a capped one at an instant that is
known when it joins, whatever the others do; only transfers whose limit the level crosses change sides.
Starting and ending a transfer costs O(log n), not O(n).
"""

import heapq
import math
from typing import Any

from simpy import Environment, Event

from flsim.sim.clock import HAPPEN, SHARE, Signal, delay_until
from flsim.sim.network.shared import SharedLink, SharedTransfer

_SLACK = 1e-12  # relative: a limit this close to the level may be on either side
_MAX_SERVICE = 2.0**40  # bits; beyond it the service clock starts anew, to keep its resolution


class FairTransfer(SharedTransfer):
    """A transfer on a fair link: open until `ends_at` bits of service, or capped until an instant."""

    __slots__ = ("capped", "ends_at", "entry")

    def __init__(self, env: Environment, size_bytes: int, link: "FairLink", rate_bps: float) -> None:
        super().__init__(env, size_bytes, link, rate_bps)
        self.capped = False
        self.ends_at = math.inf  # service in bits when open, seconds when capped
        self.entry = 0  # heap entries with another number are out of date


_Heap = list[tuple[float, int, FairTransfer]]


class FairLink(SharedLink[FairTransfer]):
    """The link, its level and its clock of service. Re-allocates once per instant at most."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._level_bps = math.inf
        self._service_bits = 0.0
        self._settled_s = self.env.now
        self._open = 0
        self._capped = 0
        self._capped_bps = 0.0  # sum of the limits of the capped transfers
        self._entries = 0
        self._open_ends: _Heap = []  # by service at the end
        self._open_limits: _Heap = []  # by limit, lowest first
        self._capped_ends: _Heap = []  # by instant of the end
        self._capped_limits: _Heap = []  # by limit, highest first
        self._share = Signal(self.env)
        self._wake: Signal | None = None

    def rate_of(self, transfer: FairTransfer) -> float:
        """Return the present rate of a transfer on this link, in bits per second."""
        return transfer.rate_bps if transfer.capped else self._level_bps

    def new_transfer(self, client: int, size_bytes: int) -> FairTransfer:
        return FairTransfer(self.env, size_bytes, self, self._client_bps[client])

    def join(self, transfer: FairTransfer) -> None:
        self._advance()
        self._open_up(transfer, transfer.size_bits)
        self._share_anew()

    def withdraw(self, transfer: FairTransfer) -> float:
        self._advance()
        remaining = self._remaining(transfer)
        self._remove(transfer)
        self._share_anew()
        return transfer.size_bits - remaining

    def _share_anew(self) -> None:
        """Ask for one re-allocation, after everything else that happens at this instant."""
        if self._share.processed or not self._share.triggered:
            self._share = Signal(self.env)
            self._share.callbacks.append(self._reallocate)
            self._share.fire(priority=SHARE)

    def _advance(self) -> None:
        """Bring the clock of service up to now."""
        elapsed_s = self.env.now - self._settled_s
        # No time passes between a join and its re-allocation, when the level is out of date.
        if self._open and elapsed_s > 0:
            self._service_bits += self._level_bps * elapsed_s
        self._settled_s = self.env.now

    def _reallocate(self, _: Event) -> None:
        self._advance()
        self._level_bps = self._level()
        while self._cross():
            self._level_bps = self._level()
        if self._service_bits > _MAX_SERVICE or not self._open:
            self._restart_service()
        self._plan()

    def _cross(self) -> bool:
        """Move a transfer whose limit is on the wrong side of the level; return whether there was one.

        Every move raises the level, so a transfer that was capped stays capped. Opening one may raise
        the level above the limit of another that was rightly open before.
        """
        if (transfer := self._lowest_open()) and transfer.rate_bps < self._level_bps * (1 - _SLACK):
            self._cap(transfer)
            return True
        if (transfer := self._highest_capped()) and transfer.rate_bps > self._level_bps * (1 + _SLACK):
            remaining = self._remaining(transfer)
            self._remove(transfer)
            self._open_up(transfer, remaining)
            return True
        return False

    def _level(self) -> float:
        if not self._open:
            return math.inf
        return max(0.0, self.capacity_bps - self._capped_bps) / self._open

    def _remaining(self, transfer: FairTransfer) -> float:
        """Return the bits that a transfer still has to carry."""
        if transfer.capped:
            return max(0.0, transfer.ends_at - self.env.now) * transfer.rate_bps
        return max(0.0, transfer.ends_at - self._service_bits)

    def _open_up(self, transfer: FairTransfer, bits: float) -> None:
        transfer.capped = False
        transfer.ends_at = self._service_bits + bits
        self._open += 1
        self._enter(transfer)
        _push(self._open_ends, transfer.ends_at, transfer, self._open)
        _push(self._open_limits, transfer.rate_bps, transfer, self._open)

    def _cap(self, transfer: FairTransfer) -> None:
        remaining = self._remaining(transfer)
        self._remove(transfer)
        transfer.capped = True
        transfer.ends_at = self.env.now + remaining / transfer.rate_bps
        self._capped += 1
        self._capped_bps += transfer.rate_bps
        self._enter(transfer)
        _push(self._capped_ends, transfer.ends_at, transfer, self._capped)
        _push(self._capped_limits, -transfer.rate_bps, transfer, self._capped)

    def _enter(self, transfer: FairTransfer) -> None:
        self._entries += 1
        transfer.entry = self._entries

    def _remove(self, transfer: FairTransfer) -> None:
        """Take a transfer off its side. Its heap entries stay, out of date."""
        transfer.entry = 0
        if transfer.capped:
            self._capped -= 1
            self._capped_bps = self._capped_bps - transfer.rate_bps if self._capped else 0.0
        else:
            self._open -= 1

    def _lowest_open(self) -> FairTransfer | None:
        return _top(self._open_limits)

    def _highest_capped(self) -> FairTransfer | None:
        return _top(self._capped_limits)

    def _restart_service(self) -> None:
        """Set the clock of service to zero, and what refers to it accordingly."""
        _compact(self._open_ends)
        for position, (ends_at, entry, transfer) in enumerate(self._open_ends):
            transfer.ends_at = ends_at - self._service_bits
            self._open_ends[position] = (transfer.ends_at, entry, transfer)
        heapq.heapify(self._open_ends)  # rounding may have made neighbours equal
        self._service_bits = 0.0

    def _plan(self) -> None:
        """Wake up when the next transfer ends."""
        ends = math.inf
        if (transfer := _top(self._capped_ends)) is not None:
            ends = transfer.ends_at
        if (transfer := _top(self._open_ends)) is not None and self._level_bps > 0:
            ends = min(ends, self.env.now + self._remaining(transfer) / self._level_bps)
        self._wake = None
        if ends < math.inf:
            self._wake = Signal(self.env)
            self._wake.callbacks.append(self._finish_due)
            self._wake.fire(delay_until(self.env.now, ends), HAPPEN)

    def _finish_due(self, wake: Event) -> None:
        if wake is not self._wake:
            return  # the links were shared anew since
        self._advance()
        now = self.env.now
        while (transfer := _top(self._capped_ends)) is not None and transfer.ends_at <= now:
            self._remove(transfer)
            transfer.finish()
        while (transfer := _top(self._open_ends)) is not None and self._has_ended(transfer):
            self._remove(transfer)
            transfer.finish()
        self._share_anew()

    def _has_ended(self, transfer: FairTransfer) -> bool:
        """Whether an open transfer is within rounding of its end: it could not be woken up later.

        The level says nothing yet of a transfer that has joined at this very instant; its limit does.
        """
        ends = self.env.now + self._remaining(transfer) / min(self._level_bps, transfer.rate_bps)
        return ends <= math.nextafter(self.env.now, math.inf)


def _push(heap: _Heap, key: float, transfer: FairTransfer, live: int) -> None:
    """Enter a transfer into a heap that has `live` entries up to date, this one included."""
    if len(heap) > 4 * live + 64:
        _compact(heap)
    heapq.heappush(heap, (key, transfer.entry, transfer))


def _compact(heap: _Heap) -> None:
    """Drop the entries that are out of date."""
    heap[:] = [entry for entry in heap if entry[1] == entry[2].entry]
    heapq.heapify(heap)


def _top(heap: _Heap) -> FairTransfer | None:
    """Return the first transfer whose entry is up to date, and drop the entries before it."""
    while heap and heap[0][1] != heap[0][2].entry:
        heapq.heappop(heap)
    return heap[0][2] if heap else None
