"""TiFL's adaptive probabilities: tiers that the model does badly on are drawn more often, within credits.

Reference: Chai et al., "TiFL: A Tier-based Federated Learning System", HPDC 2020, Algorithm 2. The paper
leaves open how probabilities follow from accuracies; here they fall linearly with the rank.
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from flsim.component import Section
from flsim.policy.known import ClientTests, History
from flsim.policy.selections.columns import Column, Ids

_Credits = Annotated[int, Field(ge=1)]
_Flags = NDArray[np.bool_]
_NOBODY = -1


class Adaptive(Section):
    """New probabilities after every so many selections, unless the tier in use has become more accurate.

    `credits`: how often a tier may be drawn in a run, the same for all or one number for each.

    `every`: after how many selections the probabilities are set anew.
    """

    every: Annotated[int, Field(ge=1)] = 20
    credits: _Credits | tuple[_Credits, ...] = 100

    def weights(self, decision: int, start: Column, tier_of: Ids, history: History) -> Column:
        """Return how likely each tier is in selection number `decision`, in proportion: [tiers].

        It is zero for tiers without credits. `start`: the probabilities at first; `tier_of`: [clients].
        What Algorithm 2 carries from round to round follows from what was asked and tested so far.
        """
        drawn, tiers = _drawn(tier_of, history)[: decision - 1], len(start)
        probabilities = self._changed(drawn, tiers, tier_of, history.client_tests)
        if probabilities is None:
            probabilities = start
        return np.where(self._have_credits(drawn, tiers), probabilities, 0.0)

    def _changed(self, drawn: Ids, tiers: int, tier_of: Ids, tests: Sequence[ClientTests]) -> Column | None:
        """Return the probabilities since the last change, if there was one. Looks back no further."""
        last = len(drawn) // self.every * self.every
        now = tier_accuracies(last, tiers, tier_of, tests)
        for made in range(last, 0, -self.every) if tests else ():
            in_use = drawn[:made][drawn[:made] != _NOBODY][-1:]
            before = tier_accuracies(made - self.every, tiers, tier_of, tests)
            if (now[in_use] <= before[in_use]).any():
                return by_rank(now, self._have_credits(drawn[:made], tiers))
            now = before
        return None

    def _have_credits(self, drawn: Ids, tiers: int) -> _Flags:
        used = np.bincount(drawn[drawn != _NOBODY], minlength=tiers)
        flags: _Flags = used < np.asarray(self.credits)
        return flags


def tier_accuracies(made: int, tiers: int, tier_of: Ids, tests: Sequence[ClientTests]) -> Column:
    """Return the accuracy on all test samples of each tier's clients: [tiers], NaN where there are none.

    Of the last test that was known when so many selections had been made.
    """
    accuracies: Column = np.full(tiers, np.nan)
    known = bisect_right(tests, made, key=lambda test: test.selections)
    if known:
        results = tests[known - 1].results
        own = tier_of[results.client]
        samples = np.bincount(own, weights=results.samples, minlength=tiers)
        right = np.bincount(own, weights=results.samples * results.accuracy, minlength=tiers)
        np.divide(right, samples, out=accuracies, where=samples > 0)
    return accuracies


def by_rank(accuracies: Column, have_credits: _Flags) -> Column:
    """Return probabilities [tiers] that fall with the accuracy: in proportion n, n - 1, …, 1 of n tiers.

    Those without credits have none. Where accuracies are equal, the faster tier is the more likely one; a
    tier whose accuracy is not known is the least likely.

    >>> by_rank(np.array([0.5, 0.9, 0.1, 0.2]), np.array([True, True, True, False])).round(3).tolist()
    [0.333, 0.167, 0.5, 0.0]
    """
    ascending = np.argsort(accuracies, kind="stable")
    ascending = ascending[have_credits[ascending]]
    probabilities = np.zeros(len(accuracies))
    shares = np.arange(len(ascending), 0, -1)
    probabilities[ascending] = shares / shares.sum()
    return probabilities


def _drawn(tier_of: Ids, history: History) -> Ids:
    """Return the tier of whom each selection asked first, which is the one that was drawn: [selections]."""
    first = np.asarray(history.first_clients, dtype=np.int64)
    return np.where(first == _NOBODY, _NOBODY, tier_of[first])
