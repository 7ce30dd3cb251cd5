"""A dataset that a function of the user's own makes."""

import importlib

from flsim.errors import ScenarioError
from flsim.learn.datasets.arrays import samples_of
from flsim.learn.datasets.samples import Samples, load
from flsim.scenario.own_data import ModuleData


@load.register
def load_module(dataset: ModuleData, test_share: float, seed: int) -> Samples:
    """Return the samples of the arrays that the function gives. See `load` and `samples_of`."""
    module_name, _, name = dataset.path.partition(":")
    try:
        made = getattr(importlib.import_module(module_name), name)(**dataset.arguments)
    except (
        Exception,
        SystemExit,
    ) as error:  # the user's code may raise anything
        why = f"cannot be imported and called with {dataset.arguments}: {error}"
        raise ScenarioError(f"dataset.path: {dataset.path} {why}") from error
    return samples_of(made, dataset.path, test_share, seed)
