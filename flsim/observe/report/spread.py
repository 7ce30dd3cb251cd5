"""How values are spread: bins, quantiles, and how evenly something is shared out."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
_WHOLE = 2.0**51


class Histogram(NamedTuple):
    """How many values lie in each bin: [bins + 1] edges, [bins] counts."""

    edges: Values
    counts: NDArray[np.int64]


def histogram(values: Values, most_bins: int = 40) -> Histogram:
    """Return the counts in bins of equal, round width. Whole numbers of a small range have a bin each.

    A bin holds its lower edge, and the last one its upper edge as well. Raises ValueError without values.

    >>> histogram(np.array([0.0, 1.0, 1.0, 3.0])).counts.tolist()
    [1, 2, 0, 1]
    """
    low, high = float(values.min()), float(values.max())
    told_apart = -_WHOLE < low <= high < _WHOLE  # whole numbers and halves are
    if told_apart and np.array_equal(values, np.round(values)) and high - low < most_bins:
        edges = np.arange(low - 0.5, high + 1.0)
    else:
        width = _round_width((high - low) / most_bins or abs(high) or 1.0)
        first = math.floor(low / width)
        last = max(math.ceil(high / width - 1e-9), first + 1)
        edges = np.arange(first, last + 1) * width
        edges[-1] = max(edges[-1], high)  # round-off
    return Histogram(edges, np.histogram(values, edges)[0])


def _round_width(width: float) -> float:
    """Return the next larger 1, 2 or 5 times a power of ten.

    >>> _round_width(0.03), _round_width(7.0)
    (0.05, 10.0)
    """
    power = 10.0 ** math.floor(math.log10(width))
    return next(step * power for step in (1.0, 2.0, 5.0, 10.0) if step * power >= width * (1 - 1e-9))


def quantiles(values: Values) -> list[float]:
    """Return the 5 %, 25 %, 50 %, 75 % and 95 % quantiles, interpolated."""
    found: list[float] = np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95]).tolist()
    return found


def gini(amounts: Values) -> float:
    """Return the Gini coefficient of what everybody has: 0 if all have the same, 1 - 1/n if one has it all.

    Also 0 where nobody has anything.

    >>> gini(np.array([1.0, 1.0])), gini(np.array([0.0, 1.0]))
    (0.0, 0.5)
    """
    count, whole = len(amounts), float(amounts.sum())
    if not count or whole <= 0:
        return 0.0
    ranked = float(np.arange(1, count + 1) @ np.sort(amounts))
    return 2 * ranked / (count * whole) - (count + 1) / count


def jain(amounts: Values) -> float:
    """Return Jain's index of fairness: 1 if all have the same, 1/n if one has it all.

    Reference: Jain, Chiu & Hawe, DEC-TR-301, 1984.

    >>> jain(np.array([2.0, 2.0])), jain(np.array([0.0, 3.0]))
    (1.0, 0.5)
    """
    squares = float((amounts**2).sum())
    return float(amounts.sum()) ** 2 / (len(amounts) * squares) if squares > 0 else 1.0


def lorenz(amounts: Values, most_points: int = 200) -> tuple[Values, Values]:
    """Return the Lorenz curve: the share of the poorest clients, and the share that these have together.

    Both from 0 to 1, at most `most_points` + 1 points.
    """
    sums = np.concatenate([np.zeros(1), np.cumsum(np.sort(amounts))])
    places = np.linspace(0, len(amounts), min(len(amounts), most_points) + 1).round().astype(np.int64)
    whole = sums[-1] if sums[-1] > 0 else 1.0
    return places / max(len(amounts), 1), sums[places] / whole
