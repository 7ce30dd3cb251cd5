"""Image files in a folder for each class."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from flsim.errors import ScenarioError
from flsim.learn.datasets.holdout import hold_out
from flsim.learn.datasets.pixels import image_samples
from flsim.learn.datasets.samples import Samples, load
from flsim.scenario.images import ImageFolder

MOST_IMAGES = 1_000_000
MOST_FILE_BYTES = 64 * 2**20
MOST_BYTES = 8 * 2**30  # of pixels as float32
MOST_PIXELS = 50_000_000  # of one image, before it is brought to size
_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP")


@load.register
def load_image_folder(dataset: ImageFolder, test_share: float, seed: int) -> Samples:
    """Return the images [n, channels, size, size], standardised with the training images. See `load`.

    Classes are numbered in the order of their folders' names.
    """
    root = Path(dataset.path)
    if not root.is_dir():
        raise _refusal(root, "there is no such folder; put the images there, in a folder for each class")
    if (root / "train").is_dir() and (root / "test").is_dir():
        names = _classes(root / "train")
        if _classes(root / "test") != names:
            raise _refusal(root, "train and test have different folders; a class is in both")
        train, test = (_files(root / part, names) for part in ("train", "test"))
        _check_room(root, dataset, len(train[0]) + len(test[0]))
        return image_samples(
            _images(train[0], root, dataset), train[1], _images(test[0], root, dataset), test[1], len(names)
        )
    names = _classes(root)
    files, labels = _files(root, names)
    _check_room(root, dataset, len(files))
    images = _images(files, root, dataset)
    rows = [torch.from_numpy(part) for part in hold_out(labels.numpy(), test_share, seed)]
    one, other = (images[part.numpy()] for part in rows)
    return image_samples(one, labels[rows[0]], other, labels[rows[1]], len(names))


def _refusal(path: Path, why: str) -> ScenarioError:
    return ScenarioError(f"dataset image_folder: {path}: {why}")


def _classes(folder: Path) -> list[str]:
    """Return the names of the folders, in order: two at least."""
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")
    if len(names) < 2:
        raise _refusal(folder, f"has {len(names)} folders; it takes one for each class, two at least")
    return names


def _files(folder: Path, names: Sequence[str]) -> tuple[list[Path], Tensor]:
    """Return the images of all classes, one at least of each, and their labels."""
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(names):
        own = sorted(path for path in (folder / name).iterdir() if path.suffix.lower() in _SUFFIXES)
        if not own:
            raise _refusal(folder / name, f"has no images; read are {', '.join(_SUFFIXES)}")
        files += own
        labels += [label] * len(own)
    return files, torch.tensor(labels, dtype=torch.int64)


def _check_room(root: Path, dataset: ImageFolder, count: int) -> None:
    """Refuse what would not fit, before anything is read."""
    size = count * dataset.size**2 * (1 if dataset.grey else 3) * 4
    if count > MOST_IMAGES or size > MOST_BYTES:
        raise _refusal(
            root,
            f"{count} images of {dataset.size}x{dataset.size} take {size} bytes; at most {MOST_IMAGES} "
            f"images and {MOST_BYTES} bytes are read: take a smaller size, or fewer",
        )


def _images(files: Sequence[Path], root: Path, dataset: ImageFolder) -> NDArray[np.uint8]:
    """Return the images as bytes [n, channels, size, size]."""
    home = root.resolve()
    return np.stack([_image(path, home, dataset) for path in files])


def _image(path: Path, home: Path, dataset: ImageFolder) -> NDArray[np.uint8]:
    if not path.resolve().is_relative_to(home):
        raise _refusal(path, "leads out of the folder of the dataset")
    if path.stat().st_size > MOST_FILE_BYTES:
        raise _refusal(path, f"has {path.stat().st_size} bytes; at most {MOST_FILE_BYTES} are read")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with Image.open(path, formats=_FORMATS) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise _refusal(path, f"has {image.width}x{image.height} pixels; at most {MOST_PIXELS}")
                converted = image.convert("L" if dataset.grey else "RGB")
                sized = converted.resize((dataset.size, dataset.size), Image.Resampling.BILINEAR)
    except (OSError, ValueError, SyntaxError, Warning, Image.DecompressionBombError) as error:
        raise _refusal(path, f"cannot be read as an image: {error}") from error
    pixels = np.asarray(sized, dtype=np.uint8)
    return pixels[np.newaxis] if dataset.grey else np.moveaxis(pixels, -1, 0)
