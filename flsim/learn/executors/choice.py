"""Which executor carries a run's training out, and why.

`auto` follows fixed rules from the model, the work of a task, the device and the number of cores, never a
measurement: the same machine chooses the same, and so gives the same bits.
"""

import logging
import os
from dataclasses import dataclass

from flsim.learn.executors.build import build_executor
from flsim.learn.executors.chain import chain
from flsim.learn.executors.executor import Executor, Recipe
from flsim.learn.executors.stacking import CannotStack
from flsim.scenario import executor as specs

_log = logging.getLogger(__name__)

_WORTH_A_PROCESS_FLOP = 50e6  # below it, handing a task over costs about as much as training it


@dataclass(frozen=True)
class Chosen:
    """An executor, its kind, and a sentence on why it is this one."""

    executor: Executor
    kind: str
    why: str


def choose(spec: specs.Executor, recipe: Recipe, task_flop: float) -> Chosen:
    """Return the executor that a scenario asks for, or the one for the case that it leaves the choice.

    `task_flop`: the work of a mean task. A model that cannot be trained for many clients at once goes to
    worker processes instead, on an accelerator to the serial executor, and the log says so.
    """
    wanted, why = spec, "the scenario asks for it"
    if isinstance(spec, specs.Auto):
        wanted, why = _automatic(recipe, task_flop, os.cpu_count() or 1)
    try:
        return Chosen(build_executor(wanted, recipe), wanted.kind, why)
    except CannotStack as error:
        why = f"executor {wanted.kind} cannot carry this model: {error}"
    instead = specs.Serial() if recipe.data.flat[0].is_cuda else specs.Processes()
    _log.warning("%s It runs as %s.", why, instead.kind)
    return Chosen(build_executor(instead, recipe), instead.kind, why)


def _automatic(recipe: Recipe, task_flop: float, cores: int) -> tuple[specs.Executor, str]:
    if chain(recipe) is not None:
        return specs.Vmap(), "a chain of linear layers and ReLU trains fastest with clients stacked"
    if recipe.data.flat[0].is_cuda:
        return specs.Vmap(), "an accelerator is idle with one client at a time"
    if cores > 1 and task_flop >= _WORTH_A_PROCESS_FLOP:
        return specs.Processes(), f"a task is {task_flop:.2g} FLOP, and there are {cores} cores"
    return specs.Serial(), f"a task is {task_flop:.2g} FLOP, and there is 1 core" if cores == 1 else (
        f"a task is only {task_flop:.2g} FLOP"
    )
