"""The fleet while the run goes: who is there, who is busy, and so who is idle."""

from array import array

import numpy as np
from numpy.typing import NDArray

from flsim.sim.idle import IdleSet


class FleetState:
    """Owns every client's state: a bit for busy, a count of its tasks, a place in the idle set."""

    def __init__(self, there: NDArray[np.bool_]) -> None:
        """`there`: [clients], who is there at the start."""
        clients = len(there)
        self.idle = IdleSet(clients)
        self._there = bytearray(there.tobytes())
        self._busy = bytearray(clients)
        self._tasks = array("i", [0]) * clients
        for client in range(clients):
            if self._there[client]:
                self.idle.add(client)

    def occupy(self, client: int) -> int:
        """Make an idle client busy; return how many tasks it had before."""
        self.idle.remove(client)
        self._busy[client] = 1
        ordinal = self._tasks[client]
        self._tasks[client] = ordinal + 1
        return ordinal

    def release(self, client: int) -> None:
        """A busy client has nothing to do any more."""
        self._busy[client] = 0
        if self._there[client]:
            self.idle.add(client)

    def comes(self, client: int) -> None:
        """A client that was away is there again."""
        self._there[client] = 1
        if not self._busy[client]:
            self.idle.add(client)

    def leaves(self, client: int) -> None:
        """A client is away, if it was not already. If it is busy, its task is the server's to see to."""
        if self._there[client] and not self._busy[client]:
            self.idle.remove(client)
        self._there[client] = 0
