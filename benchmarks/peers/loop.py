"""Federated averaging as a hand-written torch loop: one model, one client after the other.

python -m benchmarks.peers.loop --images images.npz --variant mlp --threads 1
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from benchmarks.peers.common import (
    BATCH,
    CLIENTS,
    COHORT,
    EPOCHS,
    LEARNING_RATE,
    accuracy,
    asked,
    network,
    read_images,
)


def descend(module: nn.Module, x: Tensor, y: Tensor) -> None:
    """Train a module on a client's samples, as every framework's own examples do."""
    module.train()
    optimizer = torch.optim.SGD(module.parameters(), lr=LEARNING_RATE)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(y)).split(BATCH):
            optimizer.zero_grad()
            cross_entropy(module(x[batch]), y[batch]).backward()
            optimizer.step()


def trained(module: nn.Module, start: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return what local training makes of the weights `start`: [parameters]."""
    vector_to_parameters(start.clone(), module.parameters())
    descend(module, x, y)
    return parameters_to_vector(module.parameters()).detach()


def main() -> None:
    asking = asked(__doc__, threads=1)
    images = read_images(asking.images)
    module = network(asking.variant)
    weights = parameters_to_vector(module.parameters()).detach()
    for _ in range(asking.rounds):
        cohort = torch.randperm(CLIENTS)[:COHORT].tolist()
        weights = torch.stack([trained(module, weights, *images.of(client)) for client in cohort]).mean(0)
        vector_to_parameters(weights.clone(), module.parameters())
        asking.report.round_over(accuracy(module, images))
    asking.report.print()


if __name__ == "__main__":
    main()
