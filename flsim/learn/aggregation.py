"""How updates become one: found from the spec's type."""

from functools import singledispatch

from torch import Tensor

from flsim.scenario.server import Aggregation, Mean


@singledispatch
def combine(spec: Aggregation, updates: Tensor, weights: Tensor) -> Tensor:
    """Return the one update [parameters] that stands for `updates` [tasks, parameters].

    `weights`: [tasks], the strategy's own; their sum is the size of the step.
    """
    raise TypeError(f"no such aggregation: {type(spec).__name__}")


@combine.register
def _(spec: Mean, updates: Tensor, weights: Tensor) -> Tensor:
    return weights @ updates
