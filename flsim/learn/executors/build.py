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


@build_executor.register
def _(spec: specs.Vmap, recipe: Recipe) -> Executor:
    """Raises CannotStack if the model cannot be trained for many clients at once."""
    from flsim.learn.executors.chain import chain
    from flsim.learn.executors.stacked import StackedExecutor
    from flsim.learn.executors.vectorised import Vectorised

    return StackedExecutor(recipe, chain(recipe) or Vectorised(recipe), spec.chunk, spec.threads)


@build_executor.register
def _(spec: specs.Compile, recipe: Recipe) -> Executor:
    """Raises CannotStack if the model cannot be trained for many clients at once."""
    from flsim.learn.executors.compiled import Compiled
    from flsim.learn.executors.stacked import StackedExecutor

    return StackedExecutor(recipe, Compiled(recipe), spec.chunk, spec.threads)


@build_executor.register
def _(spec: specs.Processes, recipe: Recipe) -> Executor:
    from flsim.learn.executors.processes import ProcessesExecutor

    return ProcessesExecutor(recipe, spec.workers)


@build_executor.register
def _(spec: specs.Ray, recipe: Recipe) -> Executor:
    from flsim.learn.executors.rays import RayExecutor

    return RayExecutor(recipe, spec.address, spec.workers)
