"""FedBuff: updates are gathered in a buffer, and the buffer is aggregated.

Reference: Nguyen et al., "Federated Learning with Buffered Asynchronous Aggregation", AISTATS 2022.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from flsim.component import misfit
from flsim.policy.concurrent import ConcurrentStrategy
from flsim.policy.view import Aggregate, Arrival, Decision, Discard, View
from flsim.policy.weighting import Weighting, discounted, shares
from flsim.quantities import PositiveSeconds


class FedBuff(ConcurrentStrategy):
    """x <- x + sum of share x staleness factor x update, over the buffer.

    A buffer is full with `buffer_size` updates; or it is emptied at every multiple of
    `round_duration`. With equal weighting and without normalising, the update is the paper's mean of
    staleness-weighted deltas.

    `weighting`: updates count by their clients' samples, or all the same. `normalize`: the weights of a
    buffer are scaled back to the sum of 1 after their staleness factors. `buffer_size`: how many updates
    make a version; give this or the next one. `round_duration`: how often the buffer is emptied, whatever
    is in it.
    """

    kind: Literal["fedbuff"] = "fedbuff"
    buffer_size: Annotated[int, Field(ge=1)] | None = None
    round_duration: PositiveSeconds | None = None
    weighting: Weighting = "equal"
    normalize: bool = False

    @model_validator(mode="after")
    def _one_trigger(self) -> Self:
        if (self.buffer_size is None) == (self.round_duration is None):
            raise misfit((), self, "give either buffer_size or round_duration")
        return self

    @property
    def full_weight(self) -> float | None:
        return None if self.buffer_size is None else 1 / self.buffer_size

    @property
    def fewest_updates(self) -> int:
        return self.buffer_size or 1  # a buffer that is emptied by the clock may hold a single one

    def decide(self, view: View) -> Decision:
        inbox, size = view.inbox, self.buffer_size
        if size is not None:
            if len(inbox) < size:
                return self.refill(view)  # nearly always
        elif not inbox:
            return self.refill(view)
        elif self.round_duration is not None:
            due_s = self._round_end_s(inbox[0].arrived_s, self.round_duration)
            if view.now < due_s:
                return self.refill(view, due_s)
        buffer = inbox[:size]
        if stale := self.too_stale(buffer, view.version):
            return Discard(stale)
        return self._aggregate(buffer, view.version)

    @staticmethod
    def _round_end_s(arrived_s: float, duration_s: float) -> float:
        """Return the first multiple of the duration that is not before the arrival.

        The division may round up past a multiple that the arrival is exactly on.
        """
        rounds = math.ceil(arrived_s / duration_s)
        before_s = (rounds - 1) * duration_s
        return before_s if before_s >= arrived_s else rounds * duration_s

    def _aggregate(self, buffer: Sequence[Arrival], version: int) -> Aggregate:
        tasks = tuple(arrival.task for arrival in buffer)
        factor = self.staleness_factor
        factors = [factor(version - task.base_version) for task in tasks]
        weights = discounted(shares(tasks, self.weighting), factors, normalize=self.normalize)
        return Aggregate(tasks, weights)
