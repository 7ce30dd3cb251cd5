"""What stands between the clients' updates and the model: a bound on each, and noise on their sum."""

from collections.abc import Sequence
from functools import singledispatch
from typing import Protocol

import torch
from torch import Tensor

from flsim.draws import Stream
from flsim.learn.state import Stateful
from flsim.scenario import Scenario
from flsim.scenario.privacy import Privacy
from flsim.tasks import Task


class Guard(Stateful, Protocol):
    """Bounds updates, and adds noise to what they become. Updates are measured against their own bases."""

    @property
    def clip(self) -> float:
        """The norm that updates are bounded to at present."""

    def bounded(self, update: Tensor) -> tuple[Tensor, bool]:
        """Return an update [parameters] within the bound, and whether it was longer."""

    def noise(
        self, tasks: Sequence[Task], weights: Sequence[float], longer: int, version: int, like: Tensor
    ) -> Tensor:
        """Return the noise [parameters] on the weighted sum that leads to a version.

        `longer`: how many of the tasks' updates were longer than the bound, which may follow them.
        `weights`: those of the bounded updates in the sum. `like` has the shape and the device.
        """


@singledispatch
def guard_of(spec: Privacy, scenario: Scenario) -> Guard | None:
    """Return the guard of a scenario's privacy, if it is the server that adds noise."""
    return None


def bounded(update: Tensor, clip: float) -> tuple[Tensor, bool]:
    """Return an update [parameters], scaled to the norm `clip` if it is longer, and whether it is.

    The norm is of float64: that of an update of huge numbers would overflow.
    """
    norm = float(torch.linalg.vector_norm(update, dtype=torch.float64))
    return (update, False) if norm <= clip else (update * (clip / norm), True)


def normal(draws: Stream, first: int, second: int, like: Tensor) -> Tensor:
    """Return standard normal draws [parameters], keyed by two numbers, the same on any device."""
    generator = torch.Generator().manual_seed(draws.integer(first, second))
    return torch.randn(like.shape, generator=generator, dtype=like.dtype).to(like.device)
