"""How updates become one: found from the spec's type."""

from collections.abc import Sequence
from functools import singledispatch

import torch
from torch import Tensor

from flsim.scenario.server import Aggregation, Mean

_AT_ONCE = 16  # updates that are stacked: with a thousand of them, a copy of all would be the peak of a run


@singledispatch
def combine(spec: Aggregation, updates: Sequence[Tensor], weights: Tensor) -> Tensor:
    """Return the one update [parameters] that stands for `updates`, each [parameters].

    `weights`: [tasks], the strategy's own; their sum is the size of the step.
    """
    raise TypeError(f"no such aggregation: {type(spec).__name__}")


@combine.register
def _(spec: Mean, updates: Sequence[Tensor], weights: Tensor) -> Tensor:
    weights = weights.to(updates[0].device)
    total = torch.zeros_like(updates[0])
    for start in range(0, len(updates), _AT_ONCE):
        stacked = torch.stack(list(updates[start : start + _AT_ONCE]))
        total += weights[start : start + _AT_ONCE] @ stacked
    return total
