"""What the asynchronous strategies share: a constant number of tasks in flight, and a cut-off."""

from typing import Annotated

from pydantic import Field

from flsim.policy.staleness import AnyStaleness, Staleness, UniformStaleness
from flsim.policy.strategy import Strategy
from flsim.policy.view import Decision, Discard, Dispatch, View, Wait


class ConcurrentStrategy(Strategy):
    """Keeps `concurrency` tasks in flight, and discards updates staler than `max_staleness`."""

    concurrency: Annotated[int, Field(ge=1)] = 10
    staleness: AnyStaleness = UniformStaleness()
    max_staleness: Annotated[int, Field(ge=0)] | None = None

    @property
    def clients_needed(self) -> int:
        return self.concurrency

    def factor_of(self, base_version: int, version: int) -> float:
        """Return the staleness factor of an update made from `base_version`."""
        staleness: Staleness = self.staleness
        return staleness.factor(version - base_version)

    def discard_stale(self, view: View) -> Discard | None:
        """Return the updates beyond the cut-off, if there are any."""
        if self.max_staleness is None:
            return None
        oldest = view.version - self.max_staleness
        stale = tuple(arrival.task for arrival in view.inbox if arrival.task.base_version < oldest)
        return Discard(stale) if stale else None

    def refill(self, view: View, until_s: float | None = None) -> Decision:
        """Fill the free slots with idle clients, or wait."""
        free = self.concurrency - view.in_flight
        if free > 0 and view.idle > 0:
            return Dispatch(view.select(free))
        return Wait(until_s, for_clients=free > 0)
