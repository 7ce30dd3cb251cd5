"""Port's waiting: a buffer is held back for updates that would become too stale.

Reference: Su and Li, "How Asynchronous can Federated Learning Be?", IWQoS 2022 (Port).
"""

from typing import Annotated, Literal

from pydantic import Field

from flsim.policy.concurrent import ConcurrentStrategy
from flsim.policy.view import Aggregate, Decision, View, Wait
from flsim.policy.weighting import Weighting, discounted, shares


class Port(ConcurrentStrategy):
    """As `fedbuff`, but no update is ever staler than `max_staleness`: the server waits for them.

    When `buffer_size` updates have arrived, they are aggregated, with all that came until then, unless a
    task is under way whose update would be staler than that afterwards. Then the server waits for it, and
    asks nobody meanwhile. Nothing is discarded; with `max_staleness: 0` these are rounds, and without a
    bound it is `fedbuff`. Port weights updates by staleness and by how alike they are, too; here that is
    left to `staleness` and to the aggregation. After Su and Li, "How Asynchronous can Federated Learning
    Be?", IWQoS 2022.

    `weighting`: updates count by their clients' samples, or all the same. `normalize`: the weights of a
    buffer are scaled back to the sum of 1 after their staleness factors. `buffer_size`: how many updates
    make a version, at least. `max_staleness`: the most versions that an update is ever behind; none means
    any number.
    """

    kind: Literal["port"] = "port"
    buffer_size: Annotated[int, Field(ge=1)] = 10
    weighting: Weighting = "equal"
    normalize: bool = False

    @property
    def full_weight(self) -> float | None:
        return 1 / self.buffer_size

    @property
    def fewest_updates(self) -> int:
        return self.buffer_size

    @property
    def may_discard(self) -> bool:
        return False

    def decide(self, view: View) -> Decision:
        inbox, version = view.inbox, view.version
        if len(inbox) < self.buffer_size:
            return self.refill(view)
        if self._would_be_too_stale(view):
            return Wait()
        tasks = tuple(arrival.task for arrival in inbox)
        factor = self.staleness_factor
        factors = [factor(version - task.base_version) for task in tasks]
        return Aggregate(
            tasks, discounted(shares(tasks, self.weighting), factors, normalize=self.normalize)
        )

    def _would_be_too_stale(self, view: View) -> bool:
        """Return whether a task under way would be, were the next version made now."""
        if self.max_staleness is None:
            return False
        oldest = view.version + 1 - self.max_staleness
        return any(task.base_version < oldest for task in view.outstanding())
