"""`workload.model`: what is trained."""

from math import gcd
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from flsim.component import Component, misfit

if TYPE_CHECKING:
    from flsim.scenario.scenario import Scenario

Width = Annotated[int, Field(ge=1)]
Dropout = Annotated[float, Field(ge=0, lt=1)]
Argument = bool | int | float | str | list[int] | list[float] | list[str] | None


class Model(Component):
    """A network from the dataset's inputs to its classes, at each place of a text, or to a number."""

    def check(self, scenario: "Scenario") -> None:
        """Raise a misfit if the model cannot be in a scenario."""


class Logistic(Model):
    """Softmax regression: one linear layer."""

    kind: Literal["logistic"] = "logistic"


class Mlp(Model):
    """Fully connected layers with ReLU between them, and `dropout` behind each ReLU.

    `hidden`: the units of each layer but the last. `dropout`: the probability with which a unit is left out
    of a training step.
    """

    kind: Literal["mlp"] = "mlp"
    hidden: Annotated[tuple[Width, ...], Field(min_length=1)] = (64,)
    dropout: Dropout = 0.0


class Cnn(Model):
    """3x3 convolutions, each with group normalisation, ReLU and 2x2 pooling, then one linear layer.

    Group normalisation, because the batch statistics of one client say nothing about another's
    (Hsieh et al., ICML 2020).

    `channels`: of each convolution. `groups`: of the normalisation; they divide the channels.
    """

    kind: Literal["cnn"] = "cnn"
    channels: Annotated[tuple[Width, ...], Field(min_length=1)] = (16, 32)
    groups: Width = 4


class FemnistCnn(Model):
    """Two 5x5 convolutions (32, 64) and 2048 units: that for FEMNIST of LEAF (Caldas et al., 2018)."""

    kind: Literal["femnist_cnn"] = "femnist_cnn"


class MnistCnn(Model):
    """Two 5x5 convolutions (32, 64) and 512 units: that for MNIST of McMahan et al., 2017."""

    kind: Literal["mnist_cnn"] = "mnist_cnn"


class CifarCnn(Model):
    """Two 5x5 convolutions (64, 64), 384 and 192 units: that for CIFAR-10 of McMahan et al., 2017."""

    kind: Literal["cifar_cnn"] = "cifar_cnn"


class ResNet(Model):
    """A residual network for small images, 8 or 18 `layers` deep, group-normalised (He et al., 2016).

    With 8 layers it has 16, 32 and 64 channels in one block each; with 18, 64 to 512 in two blocks each.

    `groups`: of the normalisation. `layers`: how deep it is.
    """

    kind: Literal["resnet"] = "resnet"
    layers: Literal[8, 18] = 8
    groups: Width = 8

    @property
    def widths(self) -> tuple[int, ...]:
        """The channels of each stage."""
        return (16, 32, 64) if self.layers == 8 else (64, 128, 256, 512)

    @property
    def blocks(self) -> int:
        """The residual blocks in a stage."""
        return 1 if self.layers == 8 else 2

    @model_validator(mode="after")
    def _groups_divide_the_channels(self) -> Self:
        if gcd(*self.widths) % self.groups:
            why = f"must divide {gcd(*self.widths)}, the channels of the first stage"
            raise misfit(("groups",), self.groups, why)
        return self


class MobileNetV3(Model):
    """MobileNetV3 as in torchvision, but with group normalisation (Howard et al., 2019).

    For images with a side of less than 64, the first convolution keeps their size.

    `size`: which of the paper's two networks. `groups`: of the normalisation. `dropout`: in front of the
    last layer.
    """

    kind: Literal["mobilenet_v3"] = "mobilenet_v3"
    size: Literal["small", "large"] = "small"
    groups: Literal[1, 2, 4, 8] = 8
    dropout: Dropout = 0.2


class Lstm(Model):
    """Layers of LSTM that read a text token by token: by default, LEAF's network for Shakespeare.

    `embedding`: numbers for a token. `hidden`: the width of a layer. `layers`: how many there are.
    """

    kind: Literal["lstm"] = "lstm"
    embedding: Width = 8
    hidden: Width = 256
    layers: Width = 2


class Transformer(Model):
    """A small transformer in which a token sees itself and those before it (Vaswani et al., 2017).

    Normalisation comes before attention and before the two fully connected layers, which are four times
    as wide. Places are learned, as in GPT-2 (Radford et al., 2019).

    `width`: numbers for a token. `layers`: blocks. `heads`: of attention; they divide the width.
    """

    kind: Literal["transformer"] = "transformer"
    width: Width = 64
    layers: Width = 2
    heads: Width = 4

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        if self.width % self.heads:
            raise misfit(("heads",), self.heads, f"must divide the width, {self.width}")
        return self


class Module(Model):
    """A torch.nn.Module of your own, by import path.

    It is called with `arguments` and gives logits [samples, classes] for inputs [samples, ...]. Its layers
    draw their first weights by `reset_parameters`, as torch's own do.

    `path`: the module and its class, such as `package.module:Class`.
    """

    kind: Literal["module"] = "module"
    path: Annotated[str, Field(pattern=r"^[\w.]+:\w+$")]
    arguments: dict[str, Argument] = Field(default_factory=dict)
