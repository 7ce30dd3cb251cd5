"""Client optimisers as functions on lists of tensors, so that one definition serves any executor.

Elementwise arithmetic only: the tensors may carry a leading dimension of clients.
"""

from dataclasses import dataclass, field
from functools import singledispatch

import torch
from torch import Tensor

from flsim.scenario.training import Adam, Optimizer, Sgd


@dataclass
class State:
    """What an optimiser remembers between the steps of one task."""

    steps: int = 0
    first: list[Tensor] = field(default_factory=list)
    second: list[Tensor] = field(default_factory=list)


@singledispatch
def step(spec: Optimizer, parameters: list[Tensor], gradients: list[Tensor], state: State) -> None:
    """Move the parameters in place by one step. The gradients may be overwritten."""
    raise TypeError(f"no such optimiser: {type(spec).__name__}")


@step.register
def _(spec: Sgd, parameters: list[Tensor], gradients: list[Tensor], state: State) -> None:
    if spec.weight_decay:
        torch._foreach_add_(gradients, parameters, alpha=spec.weight_decay)
    state.steps += 1
    if spec.momentum:
        if state.steps == 1:
            state.first = [gradient.clone() for gradient in gradients]
        else:
            torch._foreach_mul_(state.first, spec.momentum)
            torch._foreach_add_(state.first, gradients)
        if spec.nesterov:
            torch._foreach_add_(gradients, state.first, alpha=spec.momentum)
        else:
            gradients = state.first
    torch._foreach_add_(parameters, gradients, alpha=-spec.lr)


@step.register
def _(spec: Adam, parameters: list[Tensor], gradients: list[Tensor], state: State) -> None:
    if spec.weight_decay:
        torch._foreach_add_(gradients, parameters, alpha=spec.weight_decay)
    if state.steps == 0:
        state.first = [torch.zeros_like(parameter) for parameter in parameters]
        state.second = [torch.zeros_like(parameter) for parameter in parameters]
    state.steps += 1
    torch._foreach_mul_(state.first, spec.beta1)
    torch._foreach_add_(state.first, gradients, alpha=1 - spec.beta1)
    torch._foreach_mul_(state.second, spec.beta2)
    torch._foreach_addcmul_(state.second, gradients, gradients, value=1 - spec.beta2)
    deviation = list(torch._foreach_sqrt(state.second))
    torch._foreach_div_(deviation, (1 - spec.beta2**state.steps) ** 0.5)
    torch._foreach_add_(deviation, spec.epsilon)
    torch._foreach_addcdiv_(
        parameters, state.first, deviation, value=-spec.lr / (1 - spec.beta1**state.steps)
    )
