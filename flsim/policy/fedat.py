"""FedAT: synchronous rounds within tiers of clients, and tiers that do not wait for one another.

Reference: Chai et al., "FedAT: A High-Performance and Communication-Efficient Federated Learning System
with Asynchronous Tiers", SC 2021.
"""

from typing import Annotated, Literal

from pydantic import Field

from flsim.policy.strategy import Strategy
from flsim.policy.view import Aggregate, Decision, Dispatch, View, Wait
from flsim.policy.weighting import Weighting, shares
from flsim.tasks import Task


class FedAT(Strategy):
    """Every tier of clients of about the same speed has rounds of its own; all of them go on at once.

    Clients are divided into `tiers` of equal size by how long a lone task takes them, the fastest first. A
    round asks `cohort` of its tier's idle clients, or all of them if they are fewer, and ends when none of
    its tasks is under way any more: what has arrived makes a server update of its own. When a round is
    over, also one that nothing came of, the tier's next one starts as soon as one of its clients is idle.
    The paper's way to put the tiers' models together is `aggregation: fedat`; with another rule, the
    updates of each round are added to the model. The paper's clients have `objective: fedprox`.

    `weighting`: updates count by their clients' samples, or all the same. `tiers`: how many there are.
    `cohort`: how many clients of a tier a round asks.
    """

    kind: Literal["fedat"] = "fedat"
    tiers: Annotated[int, Field(ge=1)] = 5
    cohort: Annotated[int, Field(ge=1)] = 10
    weighting: Weighting = "samples"

    @property
    def groups(self) -> int:
        return self.tiers

    @property
    def may_discard(self) -> bool:
        return False

    @property
    def clients_needed(self) -> int:
        return self.tiers

    def decide(self, view: View) -> Decision:
        """Costs O(tasks under way), and where a round can start, O(clients)."""
        tier_of = view.known.tiers(self.tiers)
        busy = {int(tier_of[task.client]) for task in view.outstanding()}
        answers: dict[int, list[Task]] = {}
        for arrival in view.inbox:
            answers.setdefault(int(tier_of[arrival.task.client]), []).append(arrival.task)
        for tier, tasks in answers.items():
            if tier not in busy:
                return Aggregate(tuple(tasks), shares(tasks, self.weighting), group=tier)
        resting = [tier for tier in range(self.tiers) if tier not in busy]
        if view.idle:
            for tier in resting:
                if clients := view.select(self.cohort, tier_of == tier):
                    return Dispatch(clients)
        return Wait(for_clients=bool(resting))
