"""The lengths that a distribution gives, as a weighted grid; and what remains of one at a random moment."""

from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from flsim.scenario.distributions import Distribution

_CELLS = 4096
_FIRST_OCTAVE, _LAST_OCTAVE = 12, 46  # 2 ** -12 is the last of the even cells; see `_ranks`
_PER_OCTAVE = 16

Column = NDArray[np.float64]


class Lengths:
    """Interval lengths at the middles of many small cells of probability.

    `length` and `weight` [cells]: ascending seconds, and the probabilities of the cells, which sum to 1.
    """

    def __init__(self, distribution: Distribution) -> None:
        ranks, weights = _ranks()
        self.length: Column = np.array([distribution.quantile(rank) for rank in ranks])
        self.weight: Column = np.array(weights)
        self._cumulative: Column = np.array(list(accumulate((self.length * self.weight).tolist())))
        self.mean_s = float(self._cumulative[-1])  # as far as the grid goes

    def remaining(self, u: Column, v: Column) -> Column:
        """Return what remains of an interval at a random moment of an endless sequence of them.

        A random moment falls into an interval with probability proportional to its length, and evenly
        within it. `u`, `v` [n]: independent uniforms. Returns [n] seconds.
        """
        cell = np.searchsorted(self._cumulative, u * self.mean_s)
        length = self.length[np.minimum(cell, len(self.length) - 1)]
        return v * length


def _ranks() -> tuple[list[float], list[float]]:
    """Return the middles and the widths of the cells.

    Even cells, but the last one is halved over and over: a heavy tail keeps much of its mean there.
    """
    widths = [1 / _CELLS] * (_CELLS - 1)
    for octave in range(_FIRST_OCTAVE, _LAST_OCTAVE + 1):
        widths += [2.0 ** -(octave + 1) / _PER_OCTAVE] * _PER_OCTAVE
    widths.append(2.0 ** -(_LAST_OCTAVE + 1))
    ends = list(accumulate(widths))
    return [end - width / 2 for end, width in zip(ends, widths, strict=True)], widths
