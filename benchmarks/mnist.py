"""The images of benchmarks/peers/export.py as a dataset kind of flsim, given by import path."""

from pathlib import Path
from typing import Literal

import numpy as np
import torch

from flsim.learn.datasets import Samples, load
from flsim.scenario.data import Dataset


class MnistFile(Dataset):
    """What `python -m benchmarks.peers.export PATH` wrote."""

    kind: Literal["benchmarks.mnist:MnistFile"] = "benchmarks.mnist:MnistFile"
    path: str


@load.register
def load_mnist_file(dataset: MnistFile, test_share: float, seed: int) -> Samples:
    """Return the images [n, 1, 28, 28] in 0..1, with their own test set. See `load`."""
    with np.load(Path(dataset.path)) as arrays:
        train_x, train_y, test_x, test_y = (
            torch.from_numpy(arrays[name]) for name in ("train_x", "train_y", "test_x", "test_y")
        )
    return Samples(train_x, train_y, test_x, test_y, classes=10)
