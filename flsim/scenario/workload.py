"""`workload`: what a task consists of, and so what it costs."""

from typing import Annotated, Literal

from pydantic import Field

from flsim.component import Component, Kinds
from flsim.quantities import Size
from flsim.scenario.data import Data
from flsim.scenario.distributions import Constant, VaryingWork
from flsim.scenario.lora import Lora
from flsim.scenario.metadata import AnyMetadata
from flsim.scenario.model import (
    CifarCnn,
    Cnn,
    FemnistCnn,
    Logistic,
    Lstm,
    Mlp,
    MnistCnn,
    MobileNetV3,
    Model,
    Module,
    ResNet,
    Transformer,
)
from flsim.scenario.training import Training

AnyModel = Annotated[
    Model,
    Kinds(
        *(Model, Logistic, Mlp, Cnn),
        *(FemnistCnn, MnistCnn, CifarCnn, ResNet, MobileNetV3),
        *(Lstm, Transformer, Lora),
        Module,
    ),
]


class Workload(Component):
    """What a client downloads, computes and uploads."""


class TorchWorkload(Workload):
    """Real training: sizes and FLOPs follow from the model, the data and the training.

    `data`: the samples, and whose they are. `model`: what is trained. `training`: what a client does with a
    model that it is sent. `metadata`: what clients report beside their updates; none means nothing.
    """

    kind: Literal["torch"] = "torch"
    data: Data
    model: AnyModel
    training: Training = Training()
    metadata: AnyMetadata | None = None


class SyntheticWorkload(Workload):
    """Timing only: a task is a download, an amount of compute and an upload; nothing is trained.

    `download`: what a client is sent. `upload`: what it sends. `compute`: the work of a task. `samples`: of
    each client, where they weigh updates.
    """

    kind: Literal["synthetic"] = "synthetic"
    download: Size = 1e6
    upload: Size = 1e6
    compute: VaryingWork = Constant(value=1e9)
    samples: Annotated[int, Field(ge=1)] = 1
