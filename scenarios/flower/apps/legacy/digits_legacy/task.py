"""The model, the data of a node, and how both are trained and tested. The same file in every app here."""

from functools import lru_cache

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

CLASSES = 10
TEST_SHARE = 0.2
FEWEST = 20  # samples of a node, however many nodes there are

Samples = tuple[Tensor, Tensor]


class Net(nn.Module):
    """A perceptron for images of 8 x 8 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(64, 64)
        self.output = nn.Linear(64, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        return self.output(torch.relu(self.hidden(images)))


def initial_model(seed: int) -> Net:
    """Return a model whose weights depend on the seed only."""
    torch.manual_seed(seed)
    return Net()


@lru_cache(maxsize=1)
def _digits() -> tuple[Samples, Samples]:
    """Return all samples for training, and those of the central test."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    inputs = torch.tensor(images[order] / 16.0, dtype=torch.float32)
    targets = torch.tensor(labels[order], dtype=torch.int64)
    held_out = round(TEST_SHARE * len(labels))
    return (inputs[held_out:], targets[held_out:]), (inputs[:held_out], targets[:held_out])


def central_test() -> Samples:
    """Return the samples that no node has."""
    return _digits()[1]


@lru_cache(maxsize=2048)
def node_data(partition: int, partitions: int, alpha: float) -> tuple[Samples, Samples]:
    """Return a node's samples for training and for testing; they depend on nothing but the arguments.

    The node's shares of the classes are drawn from Dir(alpha), and its samples by these from one pool: with
    many nodes, two of them may hold the same image. How many it has varies by half around a fair share.
    """
    inputs, targets = _digits()[0]
    rng = np.random.default_rng([2, partition])
    fair = max(FEWEST, len(targets) // partitions)
    count = max(FEWEST // 2, round(fair * rng.uniform(0.5, 1.5)))
    shares = rng.dirichlet([alpha] * CLASSES) + 1e-6
    odds = shares[targets.numpy()]
    chosen = rng.choice(len(targets), size=min(count, len(targets)), replace=False, p=odds / odds.sum())
    held_out = max(1, round(TEST_SHARE * len(chosen)))
    train, test = torch.from_numpy(chosen[held_out:]), torch.from_numpy(chosen[:held_out])
    return (inputs[train], targets[train]), (inputs[test], targets[test])


def shuffling(seed: int, partition: int, server_round: int) -> torch.Generator:
    """Return a generator for one node in one round, so that neither order nor process matters."""
    return torch.Generator().manual_seed((seed * 1_000_003 + partition) * 1_000_003 + server_round)


def train(
    model: Net, data: Samples, epochs: int, lr: float, batch_size: int, generator: torch.Generator
) -> list[float]:
    """Train with SGD; return the mean loss over each epoch's samples."""
    dataset = TensorDataset(*data)
    loader = DataLoader(dataset, batch_size=batch_size, shuffle=True, generator=generator)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    losses = []
    model.train()
    for _ in range(epochs):
        total = 0.0
        for images, labels in loader:
            optimizer.zero_grad()
            loss = cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(labels)
        losses.append(total / len(dataset))
    return losses


@torch.no_grad()
def test(model: Net, data: Samples) -> tuple[float, float]:
    """Return loss and accuracy."""
    model.eval()
    images, labels = data
    scores = model(images)
    correct = int((scores.argmax(dim=1) == labels).sum())
    return cross_entropy(scores, labels).item(), correct / len(labels)
