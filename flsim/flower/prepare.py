"""A scenario's Flower app to its costs and its program."""

import numpy as np
import torch

from flsim.errors import ScenarioError
from flsim.flower.app import read_app
from flsim.flower.program import FlowerProgram
from flsim.scenario import Scenario
from flsim.scenario.flower import FlowerWorkload
from flsim.tasks import TaskCosts


def prepare(
    scenario: Scenario, workload: FlowerWorkload, *, timing_only: bool
) -> tuple[TaskCosts, FlowerProgram]:
    """Return what is known of the costs before the app has run, and the app's program.

    Every message has its own size and work; the costs are of none. Their samples are filled in as answers
    tell of them. Raises ScenarioError if there is no such app, or nothing may be trained.
    """
    if timing_only:
        why = "what a Flower app sends, and to whom, is known only when it runs and learns"
        raise ScenarioError(f"workload flower: {why}")
    torch.set_num_threads(1)  # how many there are changes bits
    clients = scenario.fleet.clients
    samples = np.zeros(clients, np.int64)
    costs = TaskCosts(0, 0, samples.data, np.zeros(clients).data)
    return costs, FlowerProgram(scenario, read_app(workload), samples)
