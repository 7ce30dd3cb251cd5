"""Server optimisers: how the aggregated update moves the model, and what they remember."""

from functools import singledispatch

import torch
from torch import Tensor

from flsim.scenario.server import ServerOptimizer, ServerSgd

Memory = dict[str, Tensor]


@singledispatch
def move(spec: ServerOptimizer, model: Tensor, update: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
    """Return the next model [parameters] and the next memory. Arguments stay as they are."""
    raise TypeError(f"no such server optimiser: {type(spec).__name__}")


@move.register
def _(spec: ServerSgd, model: Tensor, update: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
    if not spec.momentum:
        return torch.add(model, update, alpha=spec.lr), memory
    velocity = memory["velocity"] * spec.momentum + update if memory else update
    return torch.add(model, velocity, alpha=spec.lr), {"velocity": velocity}
