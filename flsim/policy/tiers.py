"""Tiers: clients of about the same speed together.

References: Chai et al., "TiFL: A Tier-based Federated Learning System", HPDC 2020; Chai et al., "FedAT: A
High-Performance and Communication-Efficient Federated Learning System with Asynchronous Tiers", SC 2021.
"""

import numpy as np
from numpy.typing import NDArray


def tiers_of(durations_s: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Return the tier of each client, from 0 on, by how long its tasks take: [clients].

    Those with a duration are sorted by it, equal ones by their ids, and divided into `count` tiers of equal
    size (to one client), the fastest first. Whoever has none (NaN) is of the last tier.

    >>> tiers_of(np.array([3.0, 9.0, 1.0, 2.0]), 2).tolist()
    [1, 1, 0, 0]
    """
    tiers = np.full(len(durations_s), count - 1, dtype=np.int64)
    measured = np.flatnonzero(~np.isnan(durations_s))
    by_duration = measured[np.argsort(durations_s[measured], kind="stable")]
    tiers[by_duration] = np.arange(len(measured)) * count // len(measured)  # of nobody: an empty column
    return tiers
