"""`server_optimizer`: how the aggregated update moves the model. D is that update, x the model."""

from typing import Annotated, Literal

from pydantic import Field

from flsim.component import Component, Kinds

_Rate = Annotated[float, Field(gt=0)]
_Decay = Annotated[float, Field(ge=0, lt=1)]


class ServerOptimizer(Component):
    """How the aggregated update moves the model."""


class ServerSgd(ServerOptimizer):
    """x <- x + lr m, with m <- momentum m + D.

    `lr`: of the server. `momentum`: the share of m that stays.
    """

    kind: Literal["sgd"] = "sgd"
    lr: _Rate = 1.0
    momentum: _Decay = 0.0


class FedAvgM(ServerOptimizer):
    """`sgd` with momentum: x <- x + lr m, with m <- momentum m + D.

    Hsu, Qi, Brown, "Measuring the Effects of Non-Identical Data Distribution for Federated Visual
    Classification", 2019.

    `lr`: of the server. `momentum`: the share of m that stays.
    """

    kind: Literal["fedavgm"] = "fedavgm"
    lr: _Rate = 1.0
    momentum: _Decay = 0.9


class FedAdagrad(ServerOptimizer):
    """x <- x + lr D / (sqrt(v) + tau), with v <- v + D^2.

    v starts at tau^2, the least that the paper allows; nothing corrects its bias. Reddi et al., "Adaptive
    Federated Optimization", ICLR 2021.

    `lr`: of the server. `tau`: the degree of adaptivity; the smaller, the more adaptive.
    """

    kind: Literal["fedadagrad"] = "fedadagrad"
    lr: _Rate = 0.1
    tau: _Rate = 1e-3


class FedAdam(ServerOptimizer):
    """x <- x + lr m / (sqrt(v) + tau), with m, v the decaying means of D and D^2.

    m <- beta1 m + (1 - beta1) D from zero, v <- beta2 v + (1 - beta2) D^2 from tau^2, the least that the
    paper allows; nothing corrects their bias. Reddi et al., "Adaptive Federated Optimization", ICLR 2021.

    `lr`: of the server. `beta1`: the share of m that stays. `beta2`: the share of v that stays. `tau`: the
    degree of adaptivity; the smaller, the more adaptive.
    """

    kind: Literal["fedadam"] = "fedadam"
    lr: _Rate = 0.01
    beta1: _Decay = 0.9
    beta2: _Decay = 0.99
    tau: _Rate = 1e-3


class FedYogi(ServerOptimizer):
    """As `fedadam`, but v <- v - (1 - beta2) D^2 sign(v - D^2): it moves by D^2, however large v is.

    m starts at zero and v at tau^2, the least that the paper allows; nothing corrects their bias. Reddi et
    al., "Adaptive Federated Optimization", ICLR 2021.

    `lr`: of the server. `beta1`: the share of m that stays. `beta2`: how slowly v moves. `tau`: the degree
    of adaptivity; the smaller, the more adaptive.
    """

    kind: Literal["fedyogi"] = "fedyogi"
    lr: _Rate = 0.01
    beta1: _Decay = 0.9
    beta2: _Decay = 0.99
    tau: _Rate = 1e-3


AnyServerOptimizer = Annotated[
    ServerOptimizer, Kinds(ServerOptimizer, ServerSgd, FedAvgM, FedAdagrad, FedAdam, FedYogi)
]
