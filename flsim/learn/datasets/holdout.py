"""Holding out a test set where the source has none."""

import numpy as np
from numpy.typing import NDArray

from flsim.draws import Stream

Indices = NDArray[np.int64]


def hold_out(labels: Indices, test_share: float, seed: int) -> tuple[Indices, Indices]:
    """Return the ascending indices of the training rows and of the test rows, stratified by class.

    labels: [samples] int64, two samples or more. The test rows are `test_share` of all, rounded, but
    at least one and never all; each class contributes its share, rounded by largest remainder.

    >>> train, test = hold_out(np.array([0, 0, 0, 0, 1, 1]), 0.5, seed=0)
    >>> labels = np.array([0, 0, 0, 0, 1, 1]); labels[test].tolist()
    [0, 0, 1]
    """
    classes, counts = np.unique(labels, return_counts=True)
    wanted = min(max(round(test_share * labels.size), 1), labels.size - 1)
    stream = Stream(seed, "data.split")
    chosen = [
        stream.generator(int(label)).permutation(np.flatnonzero(labels == label))[:quota]
        for label, quota in zip(classes, _quotas(counts, wanted), strict=True)
    ]
    is_test = np.zeros(labels.size, dtype=np.bool_)
    is_test[np.concatenate(chosen)] = True
    return np.flatnonzero(~is_test), np.flatnonzero(is_test)


def _quotas(counts: Indices, wanted: int) -> Indices:
    """Return whole numbers in proportion to `counts`, their sum `wanted`, by largest remainder.

    >>> _quotas(np.array([5, 3, 2]), 4).tolist()
    [2, 1, 1]
    """
    quotas, remainders = np.divmod(counts * wanted, counts.sum())
    missing = wanted - int(quotas.sum())
    quotas[np.argsort(-remainders, kind="stable")[:missing]] += 1
    return np.asarray(quotas, dtype=np.int64)
