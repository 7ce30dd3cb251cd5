"""`workload.model`: what is trained."""

from typing import Annotated, Literal

from pydantic import Field

from flsim.component import Component, Kinds

Width = Annotated[int, Field(ge=1)]


class Model(Component):
    """A network from the dataset's inputs to its classes."""


class Logistic(Model):
    """Softmax regression: one linear layer."""

    kind: Literal["logistic"] = "logistic"


class Mlp(Model):
    """Fully connected layers with ReLU between them."""

    kind: Literal["mlp"] = "mlp"
    hidden: Annotated[tuple[Width, ...], Field(min_length=1)] = (64,)


class Cnn(Model):
    """3x3 convolutions, each with group normalisation, ReLU and 2x2 pooling, then one linear layer.

    Group normalisation, because the batch statistics of one client say nothing about another's
    (Hsieh et al., ICML 2020).
    """

    kind: Literal["cnn"] = "cnn"
    channels: Annotated[tuple[Width, ...], Field(min_length=1)] = (16, 32)
    groups: Width = 4


AnyModel = Annotated[Model, Kinds(Model, Logistic, Mlp, Cnn)]
