"""What a learner is made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from flsim.learn.adversary import Adversary
from flsim.learn.aggregations import Population
from flsim.learn.client_test import ClientTest
from flsim.learn.evaluation import CentralTest
from flsim.learn.executors.choice import Chosen
from flsim.learn.leakage import LeakageMeter
from flsim.learn.root_training import RootTraining
from flsim.learn.trainer import Trainer
from flsim.learn.weights import Layout


@dataclass(frozen=True)
class LearnerParts:
    """What a learner is made of, beside the scenario and the weights of version 0.

    `layout`: of the weights. `trainer`: carries tasks out, with the executor that was `chosen`. `test`: the
    central one. `population`: what the aggregation may know of the clients.

    The others are there where the scenario asks for them. `client_test`: the clients' own tests.
    `root_training`: the server's own, on samples of its own. `adversary`: makes up what attackers send.
    `meter`: attacks what can be seen. `entries`: what the module's state has beside weights.
    """

    layout: Layout
    trainer: Trainer
    chosen: Chosen
    test: CentralTest
    population: Population
    client_test: ClientTest | None = None
    root_training: RootTraining | None = None
    adversary: Adversary | None = None
    meter: LeakageMeter | None = None
    entries: Mapping[str, Tensor] = field(default_factory=dict)
