"""MNIST, Fashion-MNIST and CIFAR-10, which torchvision reads and fetches.

torchvision is imported when one of them is asked for, because its import takes a second.

MNIST's files are plain arrays. CIFAR-10's are pickles, which can run code when they are read:
torchvision compares their checksums with its own list first, and reads none where one differs.
"""

import io
import socket
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from flsim.errors import ScenarioError
from flsim.learn.datasets.samples import Samples, load
from flsim.scenario.data import Cifar10, FashionMnist, Mnist, TorchvisionData

_CLASSES = 10
_SHADES = 256
_NETWORK_TIMEOUT_S = 30.0
_IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_CIFAR_FILES = (*(f"data_batch_{batch}" for batch in range(1, 6)), "test_batch", "batches.meta")


@dataclass(frozen=True)
class _Source:
    """One of torchvision's classes, and what it expects on disk: files in a folder below the root."""

    name: str
    folder: str
    files: tuple[str, ...]


@load.register
def load_mnist(dataset: Mnist, test_share: float, seed: int) -> Samples:
    """Return the images [n, 1, 28, 28], standardised, with their own test set. See `load`."""
    return _load(dataset, _Source("MNIST", "MNIST/raw", _IDX_FILES))


@load.register
def load_fashion_mnist(dataset: FashionMnist, test_share: float, seed: int) -> Samples:
    """Return the images [n, 1, 28, 28], standardised, with their own test set. See `load`."""
    return _load(dataset, _Source("FashionMNIST", "FashionMNIST/raw", _IDX_FILES))


@load.register
def load_cifar10(dataset: Cifar10, test_share: float, seed: int) -> Samples:
    """Return the images [n, 3, 32, 32], standardised, with their own test set. See `load`."""
    return _load(dataset, _Source("CIFAR10", "cifar-10-batches-py", _CIFAR_FILES))


def _load(dataset: TorchvisionData, source: _Source) -> Samples:
    root = Path(dataset.root).expanduser().absolute()
    _refuse_legacy_pickles(root / source.folder)
    train, test = _read(dataset, source, root)
    train_images, train_labels = _images(train), torch.as_tensor(train.targets, dtype=torch.int64)
    test_images, test_labels = _images(test), torch.as_tensor(test.targets, dtype=torch.int64)
    _check(train_images, train_labels, root / source.folder)
    _check(test_images, test_labels, root / source.folder)
    tables = _tables(train_images)
    return Samples(
        _looked_up(tables, train_images),
        train_labels,
        _looked_up(tables, test_images),
        test_labels,
        classes=_CLASSES,
    )


def _refuse_legacy_pickles(folder: Path) -> None:
    # torchvision prefers these to the raw files, and loads them without a checksum.
    processed = folder.parent / "processed"
    if folder.name == "raw" and (processed / "training.pt").exists():
        raise ScenarioError(
            f"{processed} holds pickled files of an old torchvision, which cannot be checked and are not "
            f"read; move that folder away (the files in {folder} are enough)"
        )


def _read(dataset: TorchvisionData, source: _Source, root: Path) -> tuple[Any, Any]:
    """Return torchvision's training set and test set, or raise a ScenarioError that says what to do."""
    from torchvision import datasets

    reader = getattr(datasets, source.name)
    folder = root / source.folder
    missing = [name for name in source.files if not (folder / name).is_file()]
    if missing:
        if not dataset.download:
            raise ScenarioError(
                f"dataset {dataset.kind}: {folder} lacks {', '.join(missing)}; put the unpacked files "
                f"there (dataset.root is {root}), or set dataset.download: true where there is a network"
            )
        _download(reader, dataset.kind, root, folder)
    try:
        return reader(root, train=True), reader(root, train=False)
    # What torchvision and torch raise for altered and cut-off files.
    except (RuntimeError, OSError, AssertionError, LookupError, TypeError, ValueError) as error:
        raise ScenarioError(
            f"dataset {dataset.kind}: the files in {folder} cannot be used ({_reason(error)}); delete them "
            "and put the original ones there, or set dataset.download: true where there is a network"
        ) from error


def _download(reader: Any, kind: str, root: Path, folder: Path) -> None:
    try:
        with _quiet_network():
            reader(root, train=True, download=True)
    except (RuntimeError, OSError, HTTPException) as error:
        raise ScenarioError(
            f"dataset {kind} could not be downloaded into {folder} ({_reason(error)}); without a network, "
            "put the unpacked files there by hand"
        ) from error


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


@contextmanager
def _quiet_network() -> Iterator[None]:
    """Keep torchvision's progress bars off the terminal, and end a connection that has gone silent."""
    timeout_before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_NETWORK_TIMEOUT_S)
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            yield
    finally:
        socket.setdefaulttimeout(timeout_before)


def _images(part: Any) -> NDArray[np.uint8]:
    """Return the pictures of one of torchvision's datasets as bytes [n, channels, height, width]."""
    pictures = np.asarray(part.data)
    if pictures.ndim == 3:
        return pictures[:, np.newaxis]
    return np.moveaxis(pictures, -1, 1)


def _check(images: NDArray[np.uint8], labels: Tensor, folder: Path) -> None:
    if len(images) == 0 or len(images) != len(labels):
        raise ScenarioError(
            f"{folder}: {len(images)} images and {len(labels)} labels; the files are damaged or do not "
            "belong together, so fetch them again"
        )
    if int(labels.max()) >= _CLASSES:
        raise ScenarioError(
            f"{folder}: a label is {int(labels.max())}, but the classes are 0 to {_CLASSES - 1}; "
            "fetch the files again"
        )


def _tables(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return what each shade becomes, [channels, 256]: scaled to 0..1, then standardised per channel.

    images: [n, channels, height, width]. Counting shades makes the mean and the deviation exact.
    """
    shades = np.arange(_SHADES) / (_SHADES - 1)
    tables = np.empty((images.shape[1], _SHADES), dtype=np.float32)
    for channel, table in enumerate(tables):
        frequencies = np.bincount(images[:, channel].ravel(), minlength=_SHADES) / images[:, channel].size
        mean = frequencies @ shades
        deviation = np.sqrt(frequencies @ (shades - mean) ** 2)
        table[:] = (shades - mean) / (deviation or 1.0)
    return tables


def _looked_up(tables: NDArray[np.float32], images: NDArray[np.uint8]) -> Tensor:
    pixels = np.empty(images.shape, dtype=np.float32)
    for channel, table in enumerate(tables):
        pixels[:, channel] = table[images[:, channel]]
    return torch.from_numpy(pixels)
