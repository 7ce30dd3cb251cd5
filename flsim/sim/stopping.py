"""When a run ends: by its stop rules, or because nothing can come of going on."""

import math
from dataclasses import dataclass
from typing import Literal

from flsim.errors import RunError
from flsim.records import VersionRecord
from flsim.scenario.server import Stop

Reason = Literal[
    "updates",
    "time",
    "accuracy",
    "plateau",
    "converged",
    "privacy",
    "no clients",
    "stalled",
    "interrupted",
    "finished",
]


@dataclass(frozen=True)
class Ending:
    """Why a run ended: a word for programs, and a sentence for people."""

    reason: Reason
    detail: str


class Stopping:
    """Watches a run and says when it is over. Owns the counts that this takes."""

    def __init__(self, stop: Stop, clients: int) -> None:
        self._updates = stop.updates  # a plain attribute is read faster than a field of a section
        self._time_s = stop.time
        self._accuracy = stop.accuracy
        self._plateau = stop.plateau
        self._share_converged = stop.converged
        self._converged = 0  # clients, as of the last server update
        self._tested_version = -1
        self._best_loss = math.inf
        self._vain_tests = 0  # in a row that were no better than the best before
        self._clients = clients
        self._most_in_flight = 0
        self._failures = 0  # tasks in a row that came to nothing
        self._discards = 0  # tasks that the strategy discarded since the last server update
        self._vain_wakes = 0  # clients that came while the strategy waited for more, in a row
        self._vain_timers = 0  # times that the strategy waited for, in a row, while nothing else happened
        self._most_vain_timers = 100_000 if stop.time is None else 1_000_000
        self._instant_s = -math.inf
        self._decisions = 0  # at this instant
        self._most_decisions = 10_000 + 10 * clients

    def aim(self, updates: int) -> None:
        """Let it be over with this version."""
        self._updates = updates

    def dispatched(self, in_flight: int) -> None:
        """Tasks were sent out; `in_flight` are out now."""
        if in_flight > self._most_in_flight:
            self._most_in_flight = in_flight
        self._vain_wakes = self._vain_timers = 0

    def arrived(self) -> None:
        """An update arrived."""
        self._failures = self._vain_timers = 0

    def failed(self) -> None:
        """A task ended without an update."""
        self._failures += 1
        self._vain_timers = 0

    def discarded(self) -> None:
        """The strategy discarded a task."""
        self._discards += 1

    def updated(self, converged: int) -> None:
        """A server update was made; now so many clients have converged."""
        self._discards = self._vain_timers = 0
        self._converged = converged

    def client_came(self) -> None:
        """The server woke up because a client came."""
        self._vain_wakes += 1

    def timer_over(self) -> None:
        """A time has come for which the strategy waited."""
        self._vain_timers += 1

    def tested(self, row: VersionRecord) -> None:
        """The current version's row, with its test if it has one."""
        if self._plateau is None or row.loss is None or row.version == self._tested_version:
            return
        self._tested_version = row.version
        if row.loss < self._best_loss - self._plateau.min_delta:
            self._best_loss, self._vain_tests = row.loss, 0
        else:
            self._vain_tests += 1

    def ending(self, version: int, accuracy: float | None) -> Ending | None:
        """Return why the run is over, if it is, before the server decides anything more."""
        if self._updates is not None and version >= self._updates:
            return Ending("updates", f"{self._updates} server updates were made")
        if self._accuracy is not None and accuracy is not None and accuracy >= self._accuracy:
            return Ending(
                "accuracy", f"the accuracy reached {accuracy:.4f}; the target was {self._accuracy}"
            )
        if self._plateau is not None and self._vain_tests >= self._plateau.patience:
            why = f"{self._vain_tests} tests in a row were no better than a loss of {self._best_loss:.4f}"
            return Ending("plateau", why)
        if self._share_converged is not None and self._converged / self._clients >= self._share_converged:
            why = f"{self._converged} of {self._clients} clients have converged"
            return Ending("converged", f"{why}; the target was a share of {self._share_converged}")
        if not (self._failures or self._discards or self._vain_wakes or self._vain_timers):
            return None  # nearly always
        limit = 1000 + 10 * self._most_in_flight
        if self._failures >= limit:
            return Ending("stalled", f"{self._failures} tasks in a row ended without an update")
        if self._discards >= limit and self._time_s is None:
            why = f"the strategy discarded {self._discards} tasks in a row and made no server update"
            return Ending("stalled", why)
        if self._vain_timers >= self._most_vain_timers:
            why = f"the strategy let {self._vain_timers:,} times that it waited for pass, and did nothing"
            return Ending("stalled", why)
        if self._vain_wakes >= 1000 + 100 * self._clients:
            why = f"clients came {self._vain_wakes} times, but never enough of them to be asked"
            return Ending("stalled", why)
        return None

    def nothing_to_come(self, idle: int, for_clients: bool) -> Ending:
        """Return the ending of a run that waits although nothing is under way."""
        if not idle:
            return Ending("no clients", "no client is there, and none will come back")
        if for_clients:
            why = f"the strategy waits for more than the {idle} idle clients, and no other will come"
            return Ending("no clients", why)
        return Ending("stalled", f"the strategy waits with {idle} idle clients and nothing under way")

    def decides(self, now: float) -> Ending | None:
        """The server decides at `now`. Return the ending of a run whose virtual time is over.

        Then it may still make a server update, and nothing else. Raises RunError when time no longer moves.
        """
        if now > self._instant_s:
            self._instant_s = now
            self._decisions = 1
        else:
            self._decisions += 1
        if self._decisions > self._most_decisions:
            raise RunError(
                f"virtual time stands still at {now:g} s: the strategy has decided {self._decisions} times "
                "at this instant. Do the tasks take any time at all? Give the fleet a compute time, or "
                "the network a latency"
            )
        if self._time_s is not None and now >= self._time_s:
            return Ending("time", f"{self._time_s:g} s of virtual time have passed")
        return None
