"""The workload that every framework carries out, and the line that reports how it went.

100 clients with 40 MNIST images each, 10 of them in every round, 5 epochs of plain SGD in batches of 10,
and a central test on 1,000 images after every round.
"""

import argparse
import json
import math
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

CLIENTS = 100
COHORT = 10
EPOCHS = 5
BATCH = 10
LEARNING_RATE = 0.1
CLASSES = 10
HIDDEN = 200
CHANNELS = (16, 32)
GROUPS = 4
SEED = 1
VARIANTS = ("mlp", "logistic", "cnn")


@dataclass(frozen=True)
class Images:
    """x: [samples, 1, 28, 28] float32 in 0..1, y: [samples] int64, the training samples shuffled."""

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor

    def of(self, client: int) -> tuple[Tensor, Tensor]:
        """Return a client's samples and labels."""
        each = len(self.train_y) // CLIENTS
        rows = slice(client * each, (client + 1) * each)
        return self.train_x[rows], self.train_y[rows]


def read_images(path: Path) -> Images:
    with np.load(path) as arrays:
        return Images(*(torch.from_numpy(arrays[f"{part}_{axis}"]) for part in PARTS for axis in "xy"))


PARTS = ("train", "test")


def network(variant: str) -> nn.Module:
    """Return the network that flsim's model kinds build, written out in torch."""
    pixels = 28 * 28
    if variant == "logistic":
        return nn.Sequential(nn.Flatten(), nn.Linear(pixels, CLASSES))
    if variant == "mlp":
        return nn.Sequential(nn.Flatten(), nn.Linear(pixels, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, CLASSES))
    if variant == "cnn":
        first, second = CHANNELS
        return nn.Sequential(
            *(nn.Conv2d(1, first, 3, padding=1), nn.GroupNorm(GROUPS, first), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(first, second, 3, padding=1), nn.GroupNorm(GROUPS, second), nn.ReLU()),
            *(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(second * 7 * 7, CLASSES)),
        )
    raise ValueError(f"no such variant: {variant}; there are {', '.join(VARIANTS)}")


@torch.no_grad()
def accuracy(module: nn.Module, images: Images) -> float:
    module.eval()
    return float((module(images.test_x).argmax(dim=1) == images.test_y).float().mean())


@dataclass
class Report:
    """When each round ended, in seconds since the process was asked for."""

    started: float
    round_ends: list[float] = field(default_factory=list)
    accuracy: float = math.nan

    def round_over(self, tested: float) -> None:
        """Take down that a round has ended, its central test included."""
        self.round_ends.append(time.time() - self.started)
        self.accuracy = tested

    def print(self, **more: Any) -> None:
        """Print the line that benchmarks/engine.py reads. `more` is printed beside the rest."""
        line = {
            "updates": COHORT * len(self.round_ends),
            "round_ends": [round(end, 4) for end in self.round_ends],
            "finished": time.time() - self.started,
            "accuracy": self.accuracy,
            "torch": torch.__version__,
            **more,
        }
        print(json.dumps(line), file=sys.__stdout__, flush=True)


@dataclass(frozen=True)
class Asked:
    """What the command line asks for."""

    variant: str
    rounds: int
    images: Path
    threads: int
    report: Report


def asked(doc: str | None, *, threads: int) -> Asked:
    """Read the command line. `threads`: torch's threads, where it does not say otherwise."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--variant", choices=VARIANTS, default="mlp")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--images", type=Path, required=True, help="what benchmarks.peers.export wrote")
    parser.add_argument("--threads", type=int, default=threads)
    parser.add_argument("--started", type=float, default=time.time(), help="time.time() at the start")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(SEED)
    np.random.seed(SEED)  # pfl draws from it
    return Asked(given.variant, given.rounds, given.images, given.threads, Report(given.started))
