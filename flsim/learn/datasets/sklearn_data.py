"""The datasets that scikit-learn ships: no network, no files.

scikit-learn is imported when one of them is asked for, because other datasets do without it.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from flsim.learn.datasets.holdout import hold_out
from flsim.learn.datasets.samples import Samples, load
from flsim.scenario.data import BreastCancer, Digits

_DARKEST = 16.0


@load.register
def load_digits(dataset: Digits, test_share: float, seed: int) -> Samples:
    """Return the digits as images [n, 1, 8, 8] in 0..1. See `load`."""
    from sklearn import datasets

    source = datasets.load_digits()
    images = (source.data / _DARKEST).reshape(-1, 1, 8, 8)
    labels = source.target.astype(np.int64)
    train, test = hold_out(labels, test_share, seed)
    return _samples(images, labels, train, test)


@load.register
def load_breast_cancer(dataset: BreastCancer, test_share: float, seed: int) -> Samples:
    """Return the measurements [n, 30], standardised with the training rows' statistics. See `load`."""
    from sklearn import datasets

    source = datasets.load_breast_cancer()
    labels = source.target.astype(np.int64)
    train, test = hold_out(labels, test_share, seed)
    mean = source.data[train].mean(axis=0)
    deviation = source.data[train].std(axis=0)
    # A constant column says nothing; dividing by one leaves it at zero.
    deviation[deviation == 0.0] = 1.0
    return _samples((source.data - mean) / deviation, labels, train, test)


def _samples(
    features: NDArray[np.float64],
    labels: NDArray[np.int64],
    train: NDArray[np.int64],
    test: NDArray[np.int64],
) -> Samples:
    x = torch.from_numpy(features.astype(np.float32))
    y = torch.from_numpy(labels)
    return Samples(x[train], y[train], x[test], y[test], classes=int(labels.max()) + 1)
