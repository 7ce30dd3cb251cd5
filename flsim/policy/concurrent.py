"""What the asynchronous strategies share: a constant number of tasks in flight, and a cut-off."""

from collections.abc import Callable, Sequence
from typing import Annotated

from pydantic import Field

from flsim.policy.staleness import AnyStaleness, Staleness, UniformStaleness
from flsim.policy.strategy import Strategy
from flsim.policy.view import Arrival, Decision, Dispatch, View, Wait
from flsim.tasks import Task

_WAIT = Wait()


class ConcurrentStrategy(Strategy):
    """Keeps `concurrency` tasks in flight, and discards updates staler than `max_staleness`.

    Nobody is asked while fewer than `min_available` clients are idle or at work.

    `staleness`: the factor of an update by how many versions it is behind. `concurrency`: how many tasks
    are under way at a time. `max_staleness`: the most versions that an update may be behind; none means any
    number. `min_available`: how many clients must be idle or at work before anybody is asked.
    """

    concurrency: Annotated[int, Field(ge=1)] = 10
    staleness: AnyStaleness = UniformStaleness()
    max_staleness: Annotated[int, Field(ge=0)] | None = None
    min_available: Annotated[int, Field(ge=1)] = 1

    @property
    def clients_needed(self) -> int:
        return max(self.concurrency, self.min_available)

    @property
    def may_discard(self) -> bool:
        return self.max_staleness is not None

    @property
    def staleness_factor(self) -> Callable[[int], float]:
        """The factor of an update as a function of its staleness."""
        staleness: Staleness = self.staleness
        return staleness.factor

    def too_stale(self, arrivals: Sequence[Arrival], version: int) -> tuple[Task, ...]:
        """Return the updates beyond the cut-off."""
        if self.max_staleness is None:
            return ()
        oldest = version - self.max_staleness
        return tuple(arrival.task for arrival in arrivals if arrival.task.base_version < oldest)

    def refill(self, view: View, until_s: float | None = None) -> Decision:
        """Fill the free slots with idle clients, or wait."""
        in_flight = view.in_flight
        free = self.concurrency - in_flight
        if free <= 0:
            return _WAIT if until_s is None else Wait(until_s)
        idle = view.idle
        if idle > 0 and idle + in_flight >= self.min_available and (clients := view.select(free)):
            return Dispatch(clients)
        return Wait(until_s, for_clients=True)
