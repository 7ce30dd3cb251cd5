"""What the selections share that look at every idle client: ids in order, one draw each, and rankings.

They cost O(n log n) for n idle clients. As the ids are put in order and every client has a draw of its
own, the order in which the clients are idle makes no difference; and whether others are idle does not
change a client's draw.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flsim.draws import Stream

Ids = NDArray[np.int64]
Column = NDArray[np.float64]

_COLUMNS = 8  # how many columns of draws one selection may have


def in_order(idle: Sequence[int]) -> Ids:
    """Return the idle clients by id."""
    return np.sort(np.asarray(idle[:], dtype=np.int64))


def luck(ids: Ids, draws: Stream, decision: int, column: int = 0) -> Column:
    """Return a uniform draw in (0, 1) for each of the clients, keyed by the decision and the client."""
    return draws.uniforms_for(_COLUMNS * decision + column, ids)


def chance(draws: Stream, decision: int) -> float:
    """Return one uniform draw in (0, 1) for the decision itself. It is in column 0."""
    return draws.uniform(_COLUMNS * decision)


def first_by(ids: Ids, count: int, *keys: Column) -> Ids:
    """Return the `count` clients that come first by the first key; where that is equal, by the next."""
    return ids[np.lexsort(keys[::-1])[:count]]


def sampled(ids: Ids, weights: Column, count: int, uniforms: Column) -> Ids:
    """Return `count` of the clients, drawn one by one with probabilities in proportion to their weights.

    Nobody is drawn twice. Clients of weight zero come last, all as likely. Exponential keys: the order of
    -log(u) / w is that of u ** (1 / w), of Efraimidis and Spirakis, "Weighted random sampling with a
    reservoir", Information Processing Letters 97, 2006.
    """
    logarithms = np.fromiter(map(math.log, uniforms.tolist()), np.float64, len(uniforms))
    keys = np.full(len(ids), math.inf)
    np.divide(-logarithms, weights, out=keys, where=weights > 0)
    return first_by(ids, count, keys, uniforms)


def clients_of(ids: Ids) -> tuple[int, ...]:
    """Return ids as the plain numbers that a selection returns."""
    return tuple(ids.tolist())
