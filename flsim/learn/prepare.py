"""A torch workload to its costs and its learner."""

from dataclasses import dataclass

import torch

from flsim.learn.client_data import ClientData
from flsim.learn.costs import torch_costs
from flsim.learn.datasets import load
from flsim.learn.evaluation import CentralTest
from flsim.learn.executors import Recipe
from flsim.learn.executors.serial import SerialExecutor
from flsim.learn.learner import TorchLearner
from flsim.learn.models import initialised
from flsim.learn.partitions import partition
from flsim.records import TaskCosts
from flsim.scenario import Scenario
from flsim.scenario.workload import TorchWorkload


@dataclass(frozen=True)
class Prepared:
    """What a run needs to know of the workload, and the learner that will carry it out."""

    costs: TaskCosts
    learner: TorchLearner


def prepare(scenario: Scenario, workload: TorchWorkload) -> Prepared:
    """Load the data, deal it to the clients, build the model and count its costs.

    Raises ScenarioError when data is missing, does not suffice or does not fit the model.
    """
    # One thread: the models of federated clients are small, and the bits then depend on no core count.
    torch.set_num_threads(1)
    samples = load(workload.data.dataset, workload.data.test_share, scenario.seed)
    parts = partition(
        workload.data.partition, samples.train_y.numpy(), scenario.fleet.clients, scenario.seed
    )
    data = ClientData(samples.train_x, samples.train_y, parts)
    shape = tuple(samples.train_x.shape[1:])
    recipe = Recipe(workload.model, shape, samples.classes, workload.training, scenario.seed, data)
    module = initialised(recipe.module(), scenario.seed)
    learner = TorchLearner(
        scenario,
        recipe.layout.flatten(module),
        recipe.layout,
        executor=SerialExecutor(recipe),
        test=CentralTest(module, recipe.layout, samples.test_x, samples.test_y),
    )
    return Prepared(torch_costs(workload, recipe.layout, shape, samples.classes, data.sizes), learner)
