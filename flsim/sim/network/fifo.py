"""First come, first served: the server's link carries one transfer at a time."""

from collections import deque
from collections.abc import Generator
from typing import Any

from simpy import Event, Interrupt

from flsim.sim.clock import HAPPEN, Signal
from flsim.sim.network.shared import SharedLink, SharedTransfer


class FifoLink(SharedLink[SharedTransfer]):
    """A queue and the process that serves it. Each transfer is served at its own rate."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._queue: deque[SharedTransfer] = deque()
        self._serving: SharedTransfer | None = None
        self._serving_since_s = 0.0
        self._arrival = Signal(self.env)
        self._process = self.env.process(self._serve())

    def new_transfer(self, client: int, size_bytes: int) -> SharedTransfer:
        return SharedTransfer(self.env, size_bytes, self, self.rate_bps(client))

    def join(self, transfer: SharedTransfer) -> None:
        self._queue.append(transfer)
        self._arrival.fire(priority=HAPPEN)

    def withdraw(self, transfer: SharedTransfer) -> float:
        if transfer is not self._serving:
            return 0.0  # the queue finds it closed when its turn comes
        self._serving = None
        self._process.interrupt()
        return (self.env.now - self._serving_since_s) * transfer.rate_bps

    def _serve(self) -> Generator[Event, None, None]:
        while True:
            while not self._queue:
                self._arrival = Signal(self.env)
                yield self._arrival
            transfer = self._queue.popleft()
            if transfer.done.triggered:
                continue
            self._serving, self._serving_since_s = transfer, self.env.now
            try:
                yield self.env.timeout(transfer.size_bits / transfer.rate_bps)
            except Interrupt:
                continue
            self._serving = None
            transfer.finish()
