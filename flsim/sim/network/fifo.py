"""First come, first served: a link that carries one transfer at a time."""

from collections import deque
from collections.abc import Generator

from simpy import Environment, Event, Interrupt

from flsim.sim.clock import HAPPEN, Signal
from flsim.sim.network.lone import LoneFlow
from flsim.sim.network.shared import SharedLink, SharedTransfer
from flsim.sim.series import Series


class FifoLink(SharedLink[SharedTransfer]):
    """A queue and the process that serves it. Each transfer is served at its own rate."""

    def __init__(self, env: Environment, capacity: Series) -> None:
        super().__init__(env, capacity.highest)
        self._capacity = capacity
        self._queue: deque[SharedTransfer] = deque()
        self._serving: SharedTransfer | None = None
        self._flow: LoneFlow | None = None  # of the transfer in service
        self._arrival = Signal(env)
        self._process = env.process(self._serve())

    def new_transfer(self, size_bytes: int, limit_bps: float) -> SharedTransfer:
        return SharedTransfer(self.env, size_bytes, self, limit_bps)

    def join(self, transfer: SharedTransfer) -> None:
        self._queue.append(transfer)
        self._arrival.fire(priority=HAPPEN)

    def withdraw(self, transfer: SharedTransfer) -> float:
        if transfer is not self._serving or self._flow is None:
            return 0.0  # the queue finds it closed when its turn comes
        self._serving = None
        self._process.interrupt()
        return self._flow.carried_bits()

    def _serve(self) -> Generator[Event, None, None]:
        while True:
            while not self._queue:
                self._arrival = Signal(self.env)
                yield self._arrival
            transfer = self._queue.popleft()
            if transfer.triggered:
                continue
            self._serving = transfer
            self._flow = LoneFlow(self.env, transfer.size_bits, transfer.limit_bps, (self._capacity,))
            try:
                for seconds in self._flow.waits():
                    yield self.env.timeout(seconds)
            except Interrupt:
                continue
            self._serving = None
            transfer.finish()
