"""Chains of linear layers and ReLU, trained for many clients at once: gradients written out by hand.

Nothing else is as fast on a processor. Autograd would store the gradient of every client's weights,
which takes as much memory traffic as the weights themselves; here plain gradient descent subtracts the
product that is the gradient from the weights in place (`baddbmm_`), and it is never stored.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from flsim.learn.executors.executor import Recipe
from flsim.learn.executors.stacking import of_first
from flsim.learn.optimizers import State, step
from flsim.scenario.training import Optimizer, Sgd


@dataclass(frozen=True)
class _Layer:
    """A linear layer, with ReLU behind it or not."""

    inputs: int
    outputs: int
    bias: bool
    relu: bool


class Chain:
    """A model that is a chain of linear layers and ReLU, applied to the flattened samples."""

    def __init__(self, layers: list[_Layer], recipe: Recipe) -> None:
        """Use `chain`, which knows the layers."""
        self._layers = layers
        self._optimizer = recipe.training.optimizer
        self._low = recipe.precision == "bfloat16"

    def start(self, weights: Tensor) -> "ChainTraining":
        """Return the training of clients with these weights [clients, parameters]."""
        return ChainTraining(self._layers, weights, self._optimizer, self._low)


def chain(recipe: Recipe) -> Chain | None:
    """Return the recipe's model as a chain, or None if it is another kind of network."""
    layers = _layers(recipe.module(), recipe.input_shape)
    return None if layers is None else Chain(layers, recipe)


class ChainTraining:
    """The training of one chunk of clients: their weights, the optimiser's state, the gradient's buffer."""

    def __init__(self, layers: list[_Layer], weights: Tensor, optimizer: Optimizer, low: bool) -> None:
        """`low`: matrix products are computed in bfloat16."""
        self._layers = layers
        self._optimizer = optimizer
        self._low = low
        self._state = State()
        self._weights = weights
        # Plain descent adds -lr times the gradient to the weights; else the gradient is stored.
        self._fused = _plain(optimizer)
        self._gradient = weights if self._fused else torch.empty_like(weights)
        self._beta, self._alpha = (1.0, -optimizer.lr) if self._fused else (0.0, 1.0)
        self._minus_one = weights.new_full((1, 1, 1), -1.0)
        self._narrow(len(weights))

    def step(self, x: Tensor, y: Tensor, shares: Tensor) -> Tensor:
        """Train the first clients one step, each on its own batch: x [clients, batch, ...].

        `shares` [clients, batch]: how much each loss counts. Returns the losses before the step.
        """
        if len(x) < self._active:
            self._narrow(len(x))
        values = self._forward(x.flatten(2))
        logs = torch.log_softmax(values.pop(), -1)
        labels = y.unsqueeze(-1)
        losses = logs.gather(2, labels).squeeze(-1).neg_()
        # The gradient by the logits: shares * (softmax - one-hot).
        gradient = logs.exp_().scatter_add_(2, labels, self._minus_one.expand(labels.shape))
        self._backward(values, gradient.mul_(shares.unsqueeze(-1)))
        if not self._fused:
            step(self._optimizer, [self._weights], [self._gradient], self._state)
        return losses

    def _narrow(self, active: int) -> None:
        """Go on with the first clients only: the others have no steps left."""
        self._active = active
        self._weights, self._gradient = self._weights[:active], self._gradient[:active]
        self._state = of_first(active, self._state)
        self._matrices = _matrices(self._layers, self._weights)
        self._targets = _matrices(self._layers, self._gradient)

    def _forward(self, x: Tensor) -> list[Tensor]:
        """Return what goes into each layer, and the logits."""
        values = [x]
        for layer, (weight, bias) in zip(self._layers, self._matrices, strict=True):
            value = self._product(values[-1], weight.mT, bias)
            values.append(value.relu_() if layer.relu else value)
        return values

    def _backward(self, inputs: list[Tensor], gradient: Tensor) -> None:
        """Go from the gradient by the last layer's outputs back to the first layer."""
        for place in reversed(range(len(self._layers))):
            outputs, weight = gradient, self._matrices[place][0]
            if place:
                # Before the deposit, which may change the weights.
                gradient = self._product(outputs, weight)
                if self._layers[place - 1].relu:
                    gradient = torch.ops.aten.threshold_backward(gradient, inputs[place], 0)
            self._deposit(self._targets[place], inputs[place], outputs)

    def _product(self, a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
        if self._low:
            product = torch.bmm(a.bfloat16(), b.bfloat16()).float()
            return product if bias is None else product.add_(bias)
        return torch.bmm(a, b) if bias is None else torch.baddbmm(bias, a, b)

    def _deposit(self, target: tuple[Tensor, Tensor | None], inputs: Tensor, outputs: Tensor) -> None:
        """Put the gradient of a layer's weights where it belongs, from those of its outputs."""
        weight, bias = target
        if self._low:
            self._put(weight, self._product(outputs.mT, inputs))
        else:
            weight.baddbmm_(outputs.mT, inputs, beta=self._beta, alpha=self._alpha)
        if bias is not None:
            self._put(bias, outputs.sum(1, keepdim=True))

    def _put(self, target: Tensor, gradient: Tensor) -> None:
        if self._fused:
            target.add_(gradient, alpha=self._alpha)
        else:
            target.copy_(gradient)


def _plain(optimizer: Optimizer) -> bool:
    """Tell whether a step is nothing but subtracting the gradient times the learning rate."""
    return type(optimizer) is Sgd and not optimizer.momentum and not optimizer.weight_decay


def _matrices(layers: list[_Layer], flat: Tensor) -> list[tuple[Tensor, Tensor | None]]:
    """Return each layer's weight [clients, outputs, inputs] and bias [clients, 1, outputs], as views."""
    parts, place = [], 0
    for layer in layers:
        size = layer.outputs * layer.inputs
        weight = flat[:, place : place + size].view(-1, layer.outputs, layer.inputs)
        place += size
        bias = flat[:, None, place : place + layer.outputs] if layer.bias else None
        place += layer.outputs if layer.bias else 0
        parts.append((weight, bias))
    return parts


def _layers(module: nn.Module, input_shape: tuple[int, ...]) -> list[_Layer] | None:
    """Return the layers of a chain, or None if the module is something else. Subclasses are."""
    modules = list(module) if type(module) is nn.Sequential else []
    if modules and type(modules[0]) is nn.Flatten and (modules[0].start_dim, modules[0].end_dim) == (1, -1):
        modules = modules[1:]
    elif len(input_shape) != 1:
        return None
    layers: list[_Layer] = []
    for part in modules:
        if type(part) is nn.Linear:
            layers.append(_Layer(part.in_features, part.out_features, part.bias is not None, relu=False))
        elif type(part) is nn.ReLU and layers and not layers[-1].relu:
            layers[-1] = replace(layers[-1], relu=True)
        else:
            return None
    shared = len(set(map(id, modules))) < len(modules)
    return None if shared or not layers or layers[-1].relu else layers
