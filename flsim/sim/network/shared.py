"""What the sharing links have in common: a transfer waits out its latency and then joins the link."""

import functools
from abc import abstractmethod
from typing import Any, Generic, TypeVar

from simpy import Environment, Event

from flsim.sim.clock import HAPPEN
from flsim.sim.network.link import Link
from flsim.sim.network.transfer import Transfer


class SharedTransfer(Transfer):
    """A transfer whose end depends on the others. Its link keeps the rest of its state."""

    def __init__(
        self, env: Environment, size_bytes: int, link: "SharedLink[Any]", limit_bps: float
    ) -> None:
        super().__init__(env, size_bytes)
        self.link = link
        self.limit_bps = limit_bps  # the most that this transfer can use
        self.joined = False

    @property
    def size_bits(self) -> float:
        """The bits to carry."""
        return 8.0 * self.size_bytes

    def finish(self) -> None:
        """The last bit has arrived."""
        self.joined = False
        self.fire(priority=HAPPEN)

    def cancel(self) -> int:
        if self.triggered:
            return self.size_bytes
        bits = self.link.withdraw(self) if self.joined else 0.0
        self.fire(priority=HAPPEN)  # so that a pending latency finds it closed
        return self.whole_bytes(bits)


Shared = TypeVar("Shared", bound=SharedTransfer)


class SharedLink(Link, Generic[Shared]):
    """A link on which transfers meet."""

    def start(self, size_bytes: int, limit_bps: float, latency_s: float) -> Shared:
        transfer = self.new_transfer(size_bytes, self.within(limit_bps))
        if latency_s > 0:
            timeout = self.env.timeout(latency_s)
            timeout.callbacks.append(functools.partial(self._latency_over, transfer))
        else:
            self._join(transfer)
        return transfer

    def _latency_over(self, transfer: Shared, _: Event) -> None:
        if not transfer.triggered:
            self._join(transfer)

    def _join(self, transfer: Shared) -> None:
        transfer.joined = True
        self.join(transfer)

    @abstractmethod
    def new_transfer(self, size_bytes: int, limit_bps: float) -> Shared:
        """Return a transfer of this link's own kind."""

    @abstractmethod
    def join(self, transfer: Shared) -> None:
        """Let a transfer compete for the link."""

    @abstractmethod
    def withdraw(self, transfer: Shared) -> float:
        """Take a joined, unfinished transfer off the link; return how many bits have passed."""
