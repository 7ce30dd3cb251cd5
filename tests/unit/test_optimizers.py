"""The client optimisers against torch's own."""

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from flsim.learn.optimizers import State, step
from flsim.scenario.training import Adam, Optimizer, Sgd

SGDS = [
    Sgd(lr=0.1, momentum=momentum, nesterov=nesterov, weight_decay=decay)
    for momentum, nesterov, decay in itertools.product([0.0, 0.9], [False, True], [0.0, 0.01])
]
ADAMS = [Adam(), Adam(lr=0.05, beta1=0.5, beta2=0.9, epsilon=1e-3), Adam(lr=0.01, weight_decay=0.1)]


def reference(spec: Optimizer, parameters: list[Tensor]) -> torch.optim.Optimizer:
    if isinstance(spec, Sgd):
        nesterov = spec.nesterov and spec.momentum > 0  # torch refuses one without the other
        return torch.optim.SGD(
            parameters, spec.lr, spec.momentum, weight_decay=spec.weight_decay, nesterov=nesterov
        )
    assert isinstance(spec, Adam)
    return torch.optim.Adam(
        parameters, spec.lr, (spec.beta1, spec.beta2), spec.epsilon, weight_decay=spec.weight_decay
    )


def described(spec: Any) -> str:
    return "-".join(str(value) for value in spec.model_dump().values())


@pytest.mark.parametrize("spec", [*SGDS, *ADAMS], ids=described)
def test_ten_steps_are_torchs(spec: Optimizer) -> None:
    generator = torch.Generator().manual_seed(1)
    ours = [torch.randn(5, 3, generator=generator), torch.randn(7, generator=generator)]
    theirs = [parameter.clone().requires_grad_() for parameter in ours]
    optimizer, state = reference(spec, theirs), State()
    for _ in range(10):
        gradients = [torch.randn(parameter.shape, generator=generator) for parameter in ours]
        for parameter, gradient in zip(theirs, gradients, strict=True):
            parameter.grad = gradient.clone()
        optimizer.step()
        step(spec, ours, gradients, state)
        for mine, parameter in zip(ours, theirs, strict=True):
            torch.testing.assert_close(mine, parameter.detach(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("spec", [SGDS[-1], ADAMS[-1]], ids=described)
def test_a_leading_dimension_of_clients_changes_nothing(spec: Optimizer) -> None:
    """Four clients at once are four clients one after the other, to the last bit."""
    generator = torch.Generator().manual_seed(2)
    start = torch.randn(4, 5, 3, generator=generator)
    gradients = torch.randn(6, 4, 5, 3, generator=generator)
    together, state = start.clone(), State()
    for gradient in gradients:
        step(spec, [together], [gradient.clone()], state)
    for client in range(4):
        alone, state = start[client].clone(), State()
        for gradient in gradients:
            step(spec, [alone], [gradient[client].clone()], state)
        assert torch.equal(together[client], alone)


@pytest.mark.parametrize("spec", [SGDS[-1], ADAMS[0]], ids=described)
def test_parameters_move_in_place(spec: Optimizer) -> None:
    parameter = torch.ones(3)
    alias = parameter.view(3)
    step(spec, [parameter], [torch.ones(3)], State())
    assert (alias < 1).all()


def test_an_unknown_optimiser() -> None:
    with pytest.raises(TypeError, match="no such optimiser: Optimizer"):
        step(Optimizer(kind="mine"), [], [], State())
