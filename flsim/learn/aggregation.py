"""How updates become one: found from the spec's type."""

from collections.abc import Sequence
from functools import singledispatch

import torch
from torch import Tensor

from flsim.scenario.server import Aggregation, Mean


@singledispatch
def combine(spec: Aggregation, updates: Sequence[Tensor], weights: Tensor) -> Tensor:
    """Return the one update [parameters] that stands for `updates`, each [parameters].

    `weights`: [tasks], the strategy's own; their sum is the size of the step.
    """
    raise TypeError(f"no such aggregation: {type(spec).__name__}")


@combine.register
def _(spec: Mean, updates: Sequence[Tensor], weights: Tensor) -> Tensor:
    total = torch.zeros_like(updates[0])
    for update, weight in zip(updates, weights.tolist(), strict=True):
        total.add_(update, alpha=weight)  # one after the other: a thousand updates are never stacked
    return total
