"""The floor: the same training step written out by hand, one single-threaded worker for every core.

The weights of a few clients lie stacked, a step is a handful of batched products, and the gradient of a
matrix is never stored: `baddbmm_` adds it to the weights at once. No framework, no autograd, nothing
that another model could use. A CNN's floor is the hand-written loop, once per core.

python -m benchmarks.peers.floor --images images.npz --variant mlp
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from benchmarks.peers.common import (
    BATCH,
    CLIENTS,
    COHORT,
    EPOCHS,
    LEARNING_RATE,
    Images,
    asked,
    network,
    read_images,
)
from benchmarks.peers.loop import trained

CHUNK = 5  # clients at a time: their weights stay in the cache


class Floor(Protocol):
    """A model's weights, and what is done with them."""

    def train(self, clients: Sequence[int]) -> None:
        """Train these clients, and keep the sum of what they arrive at."""

    def advance(self) -> None:
        """Make the mean of what the clients of the round arrived at the current weights."""

    def right(self, rows: slice) -> int:
        """Return how many of these test images are classified correctly."""


class Dense:
    """Linear layers with ReLU between them. Weights are [width_in, width_out]."""

    def __init__(self, module: nn.Module, images: Images) -> None:
        linear = [layer for layer in module if isinstance(layer, nn.Linear)]  # type: ignore[attr-defined]
        self._weights = [layer.weight.detach().t().contiguous() for layer in linear]
        self._biases = [layer.bias.detach().clone() for layer in linear]
        self._arrived: list[list[Tensor]] = []
        self._images = images
        clients = [images.of(client) for client in range(CLIENTS)]
        self._x = torch.stack([x.flatten(1) for x, _ in clients])  # [clients, samples, pixels]
        self._y = torch.stack([y for _, y in clients])
        self._test = images.test_x.flatten(1)

    def train(self, clients: Sequence[int]) -> None:
        count = len(clients)
        all_x, all_y = self._x[list(clients)], self._y[list(clients)]
        weights = [weight.expand(count, -1, -1).clone() for weight in self._weights]
        biases = [bias.expand(count, 1, -1).clone() for bias in self._biases]
        samples = all_y.shape[1]
        row = torch.arange(count).unsqueeze(1)
        for _ in range(EPOCHS):
            order = torch.stack([torch.randperm(samples) for _ in clients])
            for batch in order.split(BATCH, dim=1):
                _step(weights, biases, all_x[row, batch], all_y[row, batch])
        self._arrived.append([part.sum(0) for part in (*weights, *biases)])

    def advance(self) -> None:
        parts = [torch.stack(part).sum(0) / COHORT for part in zip(*self._arrived, strict=True)]
        self._weights, biases = parts[: len(self._weights)], parts[len(self._weights) :]
        self._biases = [bias[0] for bias in biases]
        self._arrived = []

    def right(self, rows: slice) -> int:
        h = self._test[rows]
        for layer, (weight, bias) in enumerate(zip(self._weights, self._biases, strict=True)):
            h = torch.addmm(bias, h.relu_() if layer else h, weight)
        return int((h.argmax(dim=1) == self._images.test_y[rows]).sum())


def _step(weights: list[Tensor], biases: list[Tensor], x: Tensor, y: Tensor) -> None:
    """One step of gradient descent, in place. x: [clients, batch, pixels], y: [clients, batch]."""
    inputs = [x]
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        inputs.append(torch.baddbmm(bias, inputs[-1], weight).relu_())
    error = torch.baddbmm(biases[-1], inputs[-1], weights[-1]).softmax(dim=2)
    error.scatter_add_(2, y.unsqueeze(2), torch.full((1, 1, 1), -1.0).expand(*y.shape, 1))
    rate = -LEARNING_RATE / y.shape[1]
    for layer in reversed(range(len(weights))):
        earlier = torch.bmm(error, weights[layer].mT) if layer else error
        weights[layer].baddbmm_(inputs[layer].mT, error, alpha=rate)
        biases[layer].add_(error.sum(dim=1, keepdim=True), alpha=rate)
        error = earlier.mul_(inputs[layer] > 0) if layer else error


class Loop:
    """Any module, by the hand-written loop."""

    def __init__(self, make: Callable[[], nn.Module], images: Images) -> None:
        self._make = make
        self._images = images
        self._weights = parameters_to_vector(make().parameters()).detach()
        self._arrived: list[Tensor] = []

    def train(self, clients: Sequence[int]) -> None:
        module = self._make()
        for client in clients:
            self._arrived.append(trained(module, self._weights, *self._images.of(client)))

    def advance(self) -> None:
        self._weights = torch.stack(self._arrived).mean(0)
        self._arrived = []

    @torch.no_grad()
    def right(self, rows: slice) -> int:
        module = self._make().eval()
        vector_to_parameters(self._weights, module.parameters())
        return int((module(self._images.test_x[rows]).argmax(1) == self._images.test_y[rows]).sum())


def main() -> None:
    asking = asked(__doc__, threads=1)
    images = read_images(asking.images)
    cores = len(os.sched_getaffinity(0))
    floor: Floor
    if asking.variant == "cnn":
        floor = Loop(lambda: network("cnn"), images)
    else:
        floor = Dense(network(asking.variant), images)
    tests = len(images.test_y)
    parts = [slice(tests * core // cores, tests * (core + 1) // cores) for core in range(cores)]
    with ThreadPoolExecutor(cores, initializer=lambda: torch.set_num_threads(1)) as pool:
        for _ in range(asking.rounds):
            cohort = torch.randperm(CLIENTS)[:COHORT].tolist()
            list(pool.map(floor.train, [cohort[at : at + CHUNK] for at in range(0, COHORT, CHUNK)]))
            floor.advance()
            asking.report.round_over(sum(pool.map(floor.right, parts)) / tests)
    asking.report.print()


if __name__ == "__main__":
    main()
