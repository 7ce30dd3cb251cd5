"""Gaussian clusters: as many samples as anyone likes, from the seed alone."""

import numpy as np
import torch

from flsim.draws import Stream
from flsim.learn.datasets.holdout import hold_out
from flsim.learn.datasets.samples import Samples, load
from flsim.scenario.data import SyntheticData


@load.register
def load_synthetic(dataset: SyntheticData, test_share: float, seed: int) -> Samples:
    """Return samples [n, features] of near-equally frequent classes. See `load`.

    Each class is a normal cluster of unit deviation. Its centre is normal too, at a root-mean-square
    distance of `separation` from the origin, so two centres lie about 1.4 times that apart.
    """
    stream = Stream(seed, "data.synthetic")
    scale = dataset.separation / np.sqrt(dataset.features)
    centres = scale * stream.generator(0).standard_normal((dataset.classes, dataset.features))
    labels = stream.generator(1).permutation(np.arange(dataset.samples, dtype=np.int64) % dataset.classes)
    features = stream.generator(2).standard_normal((dataset.samples, dataset.features), dtype=np.float32)
    features += centres.astype(np.float32)[labels]

    train, test = hold_out(labels, test_share, seed)
    x, y = torch.from_numpy(features), torch.from_numpy(labels)
    return Samples(x[train], y[train], x[test], y[test], classes=dataset.classes)
