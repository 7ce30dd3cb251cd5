"""A module of the user's own, by import path."""

import importlib
from copy import deepcopy

import torch
from torch import Tensor, nn

from flsim.errors import ScenarioError
from flsim.learn.models.building import build
from flsim.learn.problem import Problem
from flsim.scenario.model import Module


@build.register
@torch.random.fork_rng(devices=[])
def build_module(model: Module, problem: Problem) -> nn.Module:
    """Return a module of the user's own, and see to it that it gives logits. See `build`."""
    made = _imported(model)
    _check_frozen(model, made)
    shape, expected = [2, *problem.input_shape], problem.output_shape(2)
    try:
        with torch.no_grad():
            out = deepcopy(made).eval()(problem.inputs(2, _device_of(made)))
    except Exception as error:  # the user's module may raise anything
        why = f"cannot take inputs of the shape {shape}: {error}"
        raise ScenarioError(f"model.path: {model.path} {why}") from error
    if not isinstance(out, Tensor) or out.shape != expected:
        given = list(out.shape) if isinstance(out, Tensor) else type(out).__name__
        why = f"gives {given} for inputs of the shape {shape}; expected logits {list(expected)}"
        raise ScenarioError(f"model.path: {model.path} {why}")
    return made


def _imported(model: Module) -> nn.Module:
    module_name, _, class_name = model.path.partition(":")
    try:
        cls = getattr(importlib.import_module(module_name), class_name)
        made = cls(**model.arguments)
    except (
        Exception,
        SystemExit,
    ) as error:  # the user's code may raise anything
        why = f"cannot be imported and called with {model.arguments}: {error}"
        raise ScenarioError(f"model.path: {model.path} {why}") from error
    if not isinstance(made, nn.Module):
        raise ScenarioError(
            f"model.path: {model.path} makes a {type(made).__name__}, not a torch.nn.Module"
        )
    return made


def _check_frozen(model: Module, made: nn.Module) -> None:
    """Raise ScenarioError if what is frozen of a module is not the same whenever it is made."""
    frozen = {name: weight for name, weight in made.named_parameters() if not weight.requires_grad}
    if not frozen or _device_of(made) == torch.device("meta"):
        return
    again = dict(_imported(model).named_parameters())
    for name, weight in frozen.items():
        if not torch.equal(weight, again[name]):
            raise ScenarioError(
                f"model.path: {model.path} makes {name}, which requires no gradient, anew each time; "
                "what is frozen stays at every client, and has to be the same for all"
            )


def _device_of(module: nn.Module) -> torch.device | None:
    """Return where a module's parameters are; they are on the meta device where work is counted."""
    return next((parameter.device for parameter in module.parameters()), None)
