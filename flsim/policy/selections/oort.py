"""Oort: clients whose data is useful and whose devices are fast, with exploration.

Reference: Lai et al., "Oort: Efficient Federated Learning via Guided Participant Selection", OSDI 2021,
Algorithm 1. Where the paper leaves a choice, the docstrings say which one is made.
"""

import math
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from flsim.draws import Stream
from flsim.policy.known import History, Known
from flsim.policy.selection import Selection
from flsim.policy.selections.columns import Column, Ids, chance, clients_of, in_order, luck, sampled

Share = Annotated[float, Field(ge=0, le=1)]

_CONFIDENCE = 0.1  # of the paper's bonus sqrt(0.1 log R / L)


class OortSelection(Selection):
    """Clients with useful data and fast devices, and a share of new ones to explore.

    A client's utility is its samples x its last training loss, clipped at the quantile `clip` and scaled
    so that the largest is 1, plus sqrt(0.1 log R / L) for selection number R, L being the number of the
    one that asked it last; times (T / t) ** `penalty` if its last task took t > T. T is the quantile
    `pace` of the measured durations; whenever the utility of the last `window` server updates is less
    than that of the `window` before, it rises by `pace_step`. Of those asked, a share of `exploration` x
    `decay` ** (R - 1), and `exploration_floor` at least, are new, drawn by speed or uniformly
    (`explore_by`); the others are drawn in proportion to their utility, among those with at least
    `cut_off` x the utility of the last one who would have a place. Clients that took part more than
    `blacklist_after` times are asked only when there is nobody else. A loss that is not known counts as 1,
    so a run that trains nothing sees the samples. Costs O(clients). Lai et al., "Oort: Efficient Federated
    Learning via Guided Participant Selection", OSDI 2021.
    """

    kind: Literal["oort"] = "oort"
    exploration: Share = 0.9
    decay: Share = 0.98
    exploration_floor: Share = 0.2
    explore_by: Literal["speed", "uniform"] = "speed"
    penalty: Annotated[float, Field(ge=0)] = 2.0
    pace: Share = 0.3
    pace_step: Share = 0.1
    window: Annotated[int, Field(ge=1)] = 20
    clip: Share = 0.95
    cut_off: Share = 0.95
    blacklist_after: Annotated[int, Field(ge=1)] | None = 10
    needs_history: ClassVar[bool] = True
    reads_losses: ClassVar[bool] = True

    def select(
        self, idle: Sequence[int], count: int, draws: Stream, decision: int, known: Known
    ) -> tuple[int, ...]:
        ids, history = in_order(idle), known.history
        count = min(count, len(ids))
        took_part = history.aggregated[ids]
        new = took_part == 0
        worn = np.zeros(len(ids), dtype=np.bool_)
        if self.blacklist_after is not None:
            worn = took_part > self.blacklist_after
        fresh, known_ones = ids[new], ids[~new & ~worn]
        wanted = math.floor(count * self.share_of_new(decision) + chance(draws, decision))
        number_new = min(max(wanted, count - len(known_ones)), len(fresh), count)
        explored = self._explore(fresh, number_new, draws, decision, known)
        exploited = self._exploit(known_ones, count - number_new, draws, decision, known)
        short = count - len(explored) - len(exploited)
        tired = self._exploit(ids[worn], short, draws, decision, known)
        return clients_of(np.concatenate([exploited, explored, tired]))

    def share_of_new(self, decision: int) -> float:
        """Return the share of new clients in selection number `decision`, counted from 1.

        >>> [round(OortSelection().share_of_new(number), 3) for number in (1, 2, 1000)]
        [0.9, 0.882, 0.2]
        """
        return max(self.exploration_floor, self.exploration * self.decay ** (decision - 1))

    def pace_after(self, utility_sums: Sequence[float]) -> float:
        """Return the quantile of durations that is preferred after these server updates: the pacer.

        utility_sums: as in `History`. At the end of every window but the first, the utility of the window
        is compared with that of the one before.
        """
        rises = 0
        window = self.window
        for end in range(2 * window, len(utility_sums), window):
            now = utility_sums[end] - utility_sums[end - window]
            before = utility_sums[end - window] - utility_sums[end - 2 * window]
            rises += before > now
        return min(1.0, self.pace + rises * self.pace_step)

    def preferred_s(self, history: History) -> float:
        """Return T, the duration above which a client is penalised; infinite if nothing was measured."""
        durations_s = np.sort(history.durations_s[~np.isnan(history.durations_s)])
        return _quantile(durations_s, self.pace_after(history.utility_sums), math.inf)

    def utilities(self, ids: Ids, decision: int, known: Known) -> Column:
        """Return the utilities of clients that have taken part."""
        history = known.history
        losses = history.losses[ids]
        useful = known.samples[ids] * np.where(np.isnan(losses), 1.0, losses)
        useful = np.minimum(useful, _quantile(np.sort(useful), self.clip, 0.0))
        largest = useful.max(initial=0.0)
        scaled = useful / largest if largest > 0 else np.ones(len(ids))
        bonus = np.sqrt(_CONFIDENCE * math.log(decision) / history.last_selection[ids])
        return (scaled + bonus) * self._system_utility(history.durations_s[ids], self.preferred_s(history))

    def _system_utility(self, durations_s: Column, preferred_s: float) -> Column:
        """Return (T / t) ** penalty for those who are slower than T, and 1 for the others.

        Powers are taken one by one, by the C library: numpy's differ in the last bit between processors.
        """
        factors = np.ones(len(durations_s))
        for place in np.flatnonzero(durations_s > preferred_s).tolist():
            factors[place] = (preferred_s / float(durations_s[place])) ** self.penalty
        return factors

    def _exploit(self, ids: Ids, count: int, draws: Stream, decision: int, known: Known) -> Ids:
        """Draw by utility among those who come close to having a place."""
        if count <= 0 or not len(ids):
            return ids[:0]
        utilities = self.utilities(ids, decision, known)
        last = np.sort(utilities)[::-1][min(count, len(ids)) - 1]
        close = utilities >= self.cut_off * last
        chances = luck(ids[close], draws, decision, 1)
        return sampled(ids[close], utilities[close], count, chances)

    def _explore(self, ids: Ids, count: int, draws: Stream, decision: int, known: Known) -> Ids:
        """Draw new clients, by the speed that their devices are known to have.

        A device whose speed is not known counts as the mean of those that are.
        """
        weights = np.ones(len(ids))
        if self.explore_by == "speed":
            speeds = known.speeds_flops[ids]
            missing = np.isnan(speeds)
            told = speeds[~missing].tolist()
            if told:
                weights = np.where(missing, math.fsum(told) / len(told), speeds)
        return sampled(ids, weights, count, luck(ids, draws, decision, 2))


def _quantile(ascending: Column, share: float, if_none: float) -> float:
    """Return the value below which a share of the values lies, one of them; no value is made up."""
    if not len(ascending):
        return if_none
    return float(ascending[min(int(share * len(ascending)), len(ascending) - 1)])
