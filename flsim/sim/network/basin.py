"""Transfers that share a level: the water of water-filling.

Below its own limit a transfer runs at the level ("open"); a transfer whose limit is below the level
runs at its limit ("capped"). So time has a second clock here, the *service* that an open transfer has
received, which runs at the level. An open transfer ends at a service that is known when it joins, a
capped one at an instant that is known when it joins, whatever the others do; only transfers whose limit
the level crosses change sides. Starting and ending a transfer costs O(log n), not O(n).
"""

import heapq
import math
from collections.abc import Iterator

from simpy import Environment

from flsim.sim.network.shared import SharedTransfer

SLACK = 1e-12  # relative: a limit this close to the level may be on either side
_MAX_SERVICE = 2.0**40  # bits; beyond it the service clock starts anew, to keep its resolution
_DUST = 1e-12  # of a transfer's bits: rounding, which is not left waiting where nothing flows


class FairTransfer(SharedTransfer):
    """A transfer in a basin: open until `ends_at` bits of service, or capped until an instant."""

    capped: bool
    ends_at: float  # service in bits when open, seconds when capped
    entry: int  # heap entries with another number are out of date


_Heap = list[tuple[float, int, FairTransfer]]


class Basin:
    """The two sides, and the clock of service. Whoever owns it sets the level."""

    def __init__(self, env: Environment) -> None:
        self.env = env
        self.level_bps = math.inf
        self.open = 0
        self.capped = 0
        self.capped_bps = 0.0  # sum of the limits of the capped transfers
        self._service_bits = 0.0
        self._settled_s = env.now
        self._entries = 0
        self._open_ends: _Heap = []  # by service at the end
        self._open_limits: _Heap = []  # by limit, lowest first
        self._capped_ends: _Heap = []  # by instant of the end
        self._capped_limits: _Heap = []  # by limit, highest first

    def rate_of(self, transfer: FairTransfer) -> float:
        """Return the present rate of a transfer, in bits per second."""
        return transfer.limit_bps if transfer.capped else self.level_bps

    def advance(self) -> None:
        """Bring the clock of service up to now. To be called before the level or a side changes."""
        elapsed_s = self.env.now - self._settled_s
        # No time passes between a join and its re-allocation, when the level is out of date.
        if self.open and elapsed_s > 0:
            self._service_bits += self.level_bps * elapsed_s
        self._settled_s = self.env.now

    def remaining(self, transfer: FairTransfer) -> float:
        """Return the bits that a transfer still has to carry."""
        if transfer.capped:
            return max(0.0, transfer.ends_at - self.env.now) * transfer.limit_bps
        return max(0.0, transfer.ends_at - self._service_bits)

    def open_up(self, transfer: FairTransfer, bits: float) -> None:
        """Take in a transfer with so many bits to carry, on the open side."""
        transfer.capped = False
        transfer.ends_at = self._service_bits + bits
        self.open += 1
        self._enter(transfer)
        _push(self._open_ends, transfer.ends_at, transfer, self.open)
        _push(self._open_limits, transfer.limit_bps, transfer, self.open)

    def cap(self, transfer: FairTransfer) -> None:
        """Move an open transfer to the capped side."""
        remaining = self.remaining(transfer)
        self.remove(transfer)
        transfer.capped = True
        transfer.ends_at = self.env.now + remaining / transfer.limit_bps
        self.capped += 1
        self.capped_bps += transfer.limit_bps
        self._enter(transfer)
        _push(self._capped_ends, transfer.ends_at, transfer, self.capped)
        _push(self._capped_limits, -transfer.limit_bps, transfer, self.capped)

    def uncap(self, transfer: FairTransfer) -> None:
        """Move a capped transfer to the open side."""
        remaining = self.remaining(transfer)
        self.remove(transfer)
        self.open_up(transfer, remaining)

    def remove(self, transfer: FairTransfer) -> None:
        """Take a transfer off its side. Its heap entries stay, out of date."""
        transfer.entry = 0
        if transfer.capped:
            self.capped -= 1
            self.capped_bps = self.capped_bps - transfer.limit_bps if self.capped else 0.0
        else:
            self.open -= 1

    def too_low_to_be_open(self) -> FairTransfer | None:
        """Return the open transfer with the lowest limit, if that is below the level."""
        transfer = _top(self._open_limits)
        return transfer if transfer and transfer.limit_bps < self.level_bps * (1 - SLACK) else None

    def too_high_to_be_capped(self) -> FairTransfer | None:
        """Return the capped transfer with the highest limit, if that is above the level."""
        transfer = self.highest_capped()
        return transfer if transfer and transfer.limit_bps > self.level_bps * (1 + SLACK) else None

    def highest_capped(self) -> FairTransfer | None:
        """Return the capped transfer with the highest limit."""
        return _top(self._capped_limits)

    def set_level(self, level_bps: float) -> None:
        """Change the level, and the sides of the transfers whose limits it crosses."""
        self.level_bps = level_bps
        while transfer := self.too_high_to_be_capped():
            self.uncap(transfer)
        while transfer := self.too_low_to_be_open():
            self.cap(transfer)
        self.rest()

    def rest(self) -> None:
        """Start the clock of service anew where it has no use, or too little resolution."""
        if self._service_bits > _MAX_SERVICE or not self.open:
            self._restart_service()

    def _restart_service(self) -> None:
        """Set the clock of service to zero, and what refers to it accordingly."""
        _compact(self._open_ends)
        for position, (ends_at, entry, transfer) in enumerate(self._open_ends):
            transfer.ends_at = ends_at - self._service_bits
            self._open_ends[position] = (transfer.ends_at, entry, transfer)  # all less, so still a heap
        self._service_bits = 0.0

    def next_end_s(self) -> float:
        """Return the instant of the next end at this level; infinite if there is none."""
        ends = math.inf
        if (transfer := _top(self._capped_ends)) is not None:
            ends = transfer.ends_at
        if (transfer := _top(self._open_ends)) is not None:
            remaining = self.remaining(transfer)
            if self.level_bps > 0:
                ends = min(ends, self.env.now + remaining / self.level_bps)
            elif remaining <= _DUST * transfer.size_bits:
                ends = self.env.now
        return ends

    def take_ended(self) -> Iterator[FairTransfer]:
        """Take out and yield, one by one, the transfers that end now."""
        now = self.env.now
        while (transfer := _top(self._capped_ends)) is not None and transfer.ends_at <= now:
            self.remove(transfer)
            yield transfer
        while (transfer := _top(self._open_ends)) is not None and self._has_ended(transfer):
            self.remove(transfer)
            yield transfer

    def _has_ended(self, transfer: FairTransfer) -> bool:
        """Whether an open transfer is within rounding of its end: it could not be woken up later.

        The level says nothing yet of a transfer that has joined at this very instant; its limit does.
        """
        rate, remaining = min(self.level_bps, transfer.limit_bps), self.remaining(transfer)
        if rate == 0:
            return remaining <= _DUST * transfer.size_bits
        return self.env.now + remaining / rate <= math.nextafter(self.env.now, math.inf)

    def _enter(self, transfer: FairTransfer) -> None:
        self._entries += 1
        transfer.entry = self._entries


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
