"""FedAsync: every update is mixed into the model as it arrives.

Reference: Xie, Koyejo, Gupta, "Asynchronous Federated Optimization", 2019, Algorithm 1.
"""

from typing import Annotated, Literal

from pydantic import Field

from flsim.policy.concurrent import ConcurrentStrategy
from flsim.policy.view import Aggregate, Decision, Discard, View
from flsim.tasks import Anchor


class FedAsync(ConcurrentStrategy):
    """x <- (1 - a) x + a x_local, with a = `mixing` x the staleness factor.

    `mixing`: how much of an update of the current version goes into the model.
    """

    kind: Literal["fedasync"] = "fedasync"
    mixing: Annotated[float, Field(gt=0, le=1)] = 0.6

    @property
    def full_weight(self) -> float | None:
        return self.mixing

    def decide(self, view: View) -> Decision:
        if view.inbox:
            if stale := self.too_stale(view.inbox[:1], view.version):
                return Discard(stale)
            task = view.inbox[0].task
            weight = self.mixing * self.staleness_factor(view.version - task.base_version)
            return Aggregate((task,), (weight,), Anchor.CURRENT)
        return self.refill(view)
