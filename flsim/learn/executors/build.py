"""A scenario's executor section to an executor: found from the spec's type."""

from functools import singledispatch

from flsim.learn.executors.executor import Executor, Recipe
from flsim.learn.executors.serial import SerialExecutor
from flsim.scenario import executor as specs


@singledispatch
def build_executor(spec: specs.Executor, recipe: Recipe) -> Executor:
    """Return the executor that a scenario asks for. Modules that it needs are imported only then."""
    raise TypeError(f"no such executor: {type(spec).__name__}")


@build_executor.register
def _(spec: specs.Serial, recipe: Recipe) -> Executor:
    return SerialExecutor(recipe)
