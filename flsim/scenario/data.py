"""`workload.data`: which samples there are, and which client holds them."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from flsim.component import Kinds, Section, misfit
from flsim.scenario.dataset import Dataset as Dataset
from flsim.scenario.drift import Drift, check_order
from flsim.scenario.images import Cifar100, Emnist, Femnist, ImageFolder, Mnist5k, Svhn, TorchvisionData
from flsim.scenario.own_data import HuggingFace, ModuleData
from flsim.scenario.partition import AnyPartition, Iid
from flsim.scenario.tabular import Csv, Parquet, PaySim
from flsim.scenario.text import PythonTopics, Shakespeare, Text


class Digits(Dataset):
    """8x8 grey images of the ten digits: 1,797 of them, shipped with scikit-learn."""

    kind: Literal["digits"] = "digits"


class BreastCancer(Dataset):
    """Thirty measurements of 569 tumours, two classes, shipped with scikit-learn."""

    kind: Literal["breast_cancer"] = "breast_cancer"


class SyntheticData(Dataset):
    """Gaussian clusters, one for each class, drawn from the scenario's seed.

    `samples`: how many there are, of all clients and the test. `features`: the numbers of a sample.
    `classes`: the clusters. `separation`: how far the clusters' centres lie from the origin, in
    deviations of a cluster.
    """

    kind: Literal["synthetic"] = "synthetic"
    samples: Annotated[int, Field(ge=2)] = 10_000
    features: Annotated[int, Field(ge=1)] = 20
    classes: Annotated[int, Field(ge=2)] = 10
    separation: Annotated[float, Field(gt=0)] = 3.0


class Mnist(TorchvisionData):
    """28x28 grey images of the ten digits: 60,000 to train, 10,000 to test."""

    kind: Literal["mnist"] = "mnist"


class FashionMnist(TorchvisionData):
    """28x28 grey images of ten kinds of clothing: 60,000 to train, 10,000 to test."""

    kind: Literal["fashion_mnist"] = "fashion_mnist"


class Cifar10(TorchvisionData):
    """32x32 colour images of ten kinds of things: 50,000 to train, 10,000 to test."""

    kind: Literal["cifar10"] = "cifar10"


AnyDataset = Annotated[
    Dataset,
    Kinds(
        *(Dataset, Digits, BreastCancer, SyntheticData),
        *(Mnist, FashionMnist, Cifar10, Mnist5k, Emnist, Femnist, Cifar100, Svhn, ImageFolder),
        *(Csv, Parquet, PaySim),
        *(PythonTopics, Text, Shakespeare),
        *(HuggingFace, ModuleData),
    ),
]


class Data(Section):
    """The samples and their owners. `test_share` is held out where a dataset has no test set.

    `client_test_share` of every client's own samples is held out from its training, to test it on them;
    `client_validation_share` likewise, to test it on them while settings or clients are still being chosen.
    `drift`: how the clients' samples change as virtual time goes on.

    `dataset`: the samples. `partition`: which client holds which of them. `test_share`: of the samples, for
    the central test, where the dataset has no test set of its own. `client_test_share`: of every client's
    samples, for its own test. `client_validation_share`: likewise, for tests by which something is chosen.
    """

    dataset: AnyDataset
    partition: AnyPartition = Iid()
    test_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    client_test_share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    client_validation_share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    drift: tuple[Drift, ...] = ()

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.client_test_share + self.client_validation_share >= 1:
            why = "with client_test_share, nothing would be left to train on"
            raise misfit(("client_validation_share",), self.client_validation_share, why)
        check_order(self.drift)
        return self
