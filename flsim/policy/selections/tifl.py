"""TiFL: clients of one speed together.

Reference: Chai et al., "TiFL: A Tier-based Federated Learning System", HPDC 2020.
"""

import math
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from flsim.component import misfit
from flsim.draws import Stream
from flsim.policy.known import History, Known
from flsim.policy.selection import Selection
from flsim.policy.selections.columns import Column, Ids, clients_of, first_by, in_order, luck, sampled
from flsim.policy.selections.tifl_adaptive import Adaptive
from flsim.policy.tiers import tiers_of


class TiflSelection(Selection):
    """Clients of one tier, by how long their last tasks took; the tier is drawn for every selection.

    The clients of the fleet whose tasks were measured are sorted by duration, and divided into `tiers` of
    equal size, the fastest first; a tier is drawn with its probability (`probabilities`, or all the same),
    and its idle clients are equally likely. If it has too few, the rest come from another tier, drawn
    likewise. Clients that were not measured yet are profiled first: they are asked before all others, up
    to `profiles` times each; whoever never answered then counts as slowest.

    With `adaptive`, tiers are by how long a lone task takes, as profiled before the training, and the
    probabilities are new after every `every` selections, unless the tier in use has become more accurate
    since: the least accurate of n tiers with credits has n shares of them, the next one n - 1, and so on.
    A draw costs its tier one of its `credits`; without any it is drawn no more, unless no tier has any, and
    may only help out. Accuracies are those of the clients' own tests. Costs O(clients). Chai et al., "TiFL:
    A Tier-based Federated Learning System", HPDC 2020.
    """

    kind: Literal["tifl"] = "tifl"
    tiers: Annotated[int, Field(ge=1)] = 5
    probabilities: tuple[Annotated[float, Field(ge=0)], ...] | None = None
    profiles: Annotated[int, Field(ge=1)] = 3
    adaptive: Adaptive | None = None
    needs_history: ClassVar[bool] = True

    @model_validator(mode="after")
    def _one_probability_each(self) -> Self:
        given = self.probabilities
        if given is not None and (len(given) != self.tiers or abs(math.fsum(given) - 1) > 1e-9):
            why = f"give one probability for each of the {self.tiers} tiers; they sum to 1"
            raise misfit(("probabilities",), list(given), why)
        return self

    @model_validator(mode="after")
    def _credits_for_each(self) -> Self:
        credits = None if self.adaptive is None else self.adaptive.credits
        if isinstance(credits, tuple) and len(credits) != self.tiers:
            why = f"give one number for all tiers, or one for each of the {self.tiers}"
            raise misfit(("adaptive", "credits"), list(credits), why)
        return self

    @property
    def needs_client_tests(self) -> bool:
        return self.adaptive is not None

    def select(
        self, idle: Sequence[int], count: int, draws: Stream, decision: int, known: Known
    ) -> tuple[int, ...]:
        ids, history = in_order(idle), known.history
        if self.adaptive is None:
            tiers, weights = self.tier_of(history), self._start()
            new = np.isnan(history.durations_s[ids]) & (history.tasks[ids] < self.profiles)
        else:
            tiers, new = known.tiers(self.tiers), np.zeros(len(ids), dtype=np.bool_)
            weights = self.adaptive.weights(decision, self._start(), tiers, history)
        profiled = first_by(ids[new], count, luck(ids[new], draws, decision))
        rest = ids[~new]
        order = self._order(weights, draws, decision)[tiers[rest]]
        others = first_by(rest, count - len(profiled), order, luck(rest, draws, decision))
        return clients_of(np.concatenate([profiled, others]))

    def tier_of(self, history: History) -> Ids:
        """Return every client's tier, from 0 on; that of clients who were not measured is the last."""
        return tiers_of(history.durations_s, self.tiers)

    def _start(self) -> Column:
        """Return the tiers' probabilities as they are given, in proportion: [tiers]."""
        return np.ones(self.tiers) if self.probabilities is None else np.array(self.probabilities)

    def _order(self, weights: Column, draws: Stream, decision: int) -> Column:
        """Return when each tier's turn is: tiers are drawn one by one in proportion to their weights."""
        numbers = np.arange(self.tiers)
        drawn = sampled(numbers, weights, self.tiers, luck(numbers, draws, decision, 1))
        return np.argsort(drawn).astype(np.float64)
