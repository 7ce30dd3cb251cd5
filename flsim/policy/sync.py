"""Synchronous federated averaging, with over-selection, a deadline and a quorum.

Reference: McMahan et al., AISTATS 2017; over-selection and quorum: Bonawitz et al., MLSys 2019.
"""

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from flsim.component import misfit
from flsim.policy.strategy import Strategy
from flsim.policy.view import Aggregate, Decision, Discard, Dispatch, View, Wait
from flsim.policy.weighting import Weighting, shares
from flsim.quantities import PositiveSeconds


class Sync(Strategy):
    """Ask `cohort` x `over_selection` clients, and aggregate when `cohort` of them have answered.

    With `cohort: all`, a round asks whomever the selection draws of all who are idle, and waits for all
    of them. No round starts before `min_available` clients are there, nor before those it asks are.

    Where the selection draws whole rounds, nobody is a round, too: a server update without updates.

    When the deadline passes, or nobody is left to wait for, the answers so far are aggregated if they
    are a `quorum`; otherwise the round is abandoned and the next one starts. Whoever has not answered
    when a round ends is called off.

    `deadline`: how long a round takes at most, from its start; none means for as long as it takes.
    `weighting`: updates count by their clients' samples, or all the same. `cohort`: how many updates make a
    version; or `all`. `over_selection`: how many clients are asked for each that is needed. `quorum`: the
    fewest updates that make a version when a round has to end. `min_available`: how many clients must be
    there before a round starts.
    """

    kind: Literal["sync"] = "sync"
    cohort: Annotated[int, Field(ge=1)] | Literal["all"] = 10
    over_selection: Annotated[float, Field(ge=1, le=10)] = 1.0
    deadline: PositiveSeconds | None = None
    quorum: Annotated[int, Field(ge=1)] = 1
    weighting: Weighting = "samples"
    min_available: Annotated[int, Field(ge=1)] = 1

    @model_validator(mode="after")
    def _quorum_fits(self) -> Self:
        if self.cohort == "all":
            if self.over_selection > 1:
                why = "with cohort: all there is nobody to ask beyond it; accepted: 1"
                raise misfit(("over_selection",), self.over_selection, why)
        elif self.quorum > self.cohort:
            raise misfit(("quorum",), self.quorum, f"more than the cohort of {self.cohort}")
        return self

    @property
    def selected(self) -> int:
        """How many clients a round asks; with `cohort: all`, how many it needs at least.

        >>> Sync(cohort=10, over_selection=1.3).selected
        13
        """
        if self.cohort == "all":
            return 1
        return math.ceil(round(self.cohort * self.over_selection, 9))

    @property
    def may_discard(self) -> bool:
        over_selects = self.cohort != "all" and self.selected > self.cohort
        return over_selects or self.deadline is not None or self.quorum > 1

    @property
    def full_weight(self) -> float | None:
        return None if self.cohort == "all" else 1 / self.cohort

    @property
    def fewest_updates(self) -> int:
        return self.quorum  # whatever the cohort: who answers nothing may be any of it

    @property
    def clients_needed(self) -> int:
        return max(self.selected, self.min_available)

    def decide(self, view: View) -> Decision:
        answers = len(view.inbox)
        if view.in_flight == 0 and answers == 0:
            in_vain = view.draws_rounds and view.last_dispatch_version == view.version
            return Aggregate((), ()) if in_vain else self._start(view)
        over = view.in_flight == 0 or self._deadline_passed(view)
        enough = self.cohort != "all" and answers >= self.cohort
        if enough or (over and answers >= self.quorum):
            return self._close(view)
        if over:
            return Discard((*(arrival.task for arrival in view.inbox), *view.outstanding()))
        return Wait(None if self.deadline is None else view.last_dispatch_s + self.deadline)

    def _start(self, view: View) -> Decision:
        if view.idle < self.clients_needed:
            return Wait(for_clients=True)
        clients = view.select(view.idle if self.cohort == "all" else self.selected)
        if not clients:
            return Aggregate((), ()) if view.draws_rounds else Wait(for_clients=True)
        return Dispatch(clients)

    def _deadline_passed(self, view: View) -> bool:
        return self.deadline is not None and view.now >= view.last_dispatch_s + self.deadline

    def _close(self, view: View) -> Decision:
        tasks = tuple(arrival.task for arrival in view.inbox)
        size = len(tasks) if self.cohort == "all" else self.cohort
        used, late = tasks[:size], tasks[size:]
        return Aggregate(used, shares(used, self.weighting), discard=(*late, *view.outstanding()))
