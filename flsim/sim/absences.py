"""When clients were away: one row for each stretch, written when the client is back."""

import math
from array import array

import numpy as np
from numpy.typing import NDArray
from simpy import Environment

from flsim.protocols import PresenceJournal
from flsim.records import AbsenceRecord
from flsim.sim.presence import Changed

_THERE = math.nan  # in place of the second since which a client is away


class Absences:
    """Stands between the presence and whoever listens to it. Owns since when each client is away.

    there: who is there at time zero, [clients].
    """

    def __init__(
        self, env: Environment, there: NDArray[np.bool_], journal: PresenceJournal, changed: Changed
    ) -> None:
        self._env = env
        self._journal = journal
        self._changed = changed
        self._since_s = array("d", np.where(there, _THERE, 0.0).tobytes())

    def changed(self, client: int, is_there: bool) -> None:
        """Note that a client has come or gone, and pass it on."""
        since_s, now = self._since_s[client], self._env.now
        if not is_there:
            if math.isnan(since_s):  # one that is away can be said to be away once more
                self._since_s[client] = now
        elif not math.isnan(since_s):
            self._since_s[client] = _THERE
            self._journal.absence(AbsenceRecord(client, since_s, now))
        self._changed(client, is_there)

    def close(self) -> None:
        """The run is over: write the rows of those who are still away, in the order of their ids."""
        since_s = np.frombuffer(self._since_s, dtype=np.float64)
        for client in np.flatnonzero(~np.isnan(since_s)).tolist():
            self._journal.absence(AbsenceRecord(client, self._since_s[client], None))
