"""What the stacked executors ask of a model: steps of many clients at once, each on its own weights."""

from typing import Protocol

from torch import Tensor

from flsim.learn.optimizers import State


class CannotStack(Exception):  # noqa: N818 - it says what is the case, and the caller has a remedy
    """A module cannot be trained for many clients at once. The message is a sentence that says why."""


class StackedTraining(Protocol):
    """The training of one chunk of clients, whose weights [clients, parameters] it moves in place."""

    def step(self, x: Tensor, y: Tensor, shares: Tensor) -> Tensor:
        """Train the first clients one step, each on its own batch: x [clients, batch, ...].

        `shares` [clients, batch] says how much each sample's loss counts. Returns the losses before the
        step [clients, batch]. No call has more clients than the one before it: those who are left out
        are finished.
        """


class StackedModel(Protocol):
    """A model that many clients train at once. Threads share it and start trainings of their own."""

    def start(self, weights: Tensor) -> StackedTraining:
        """Return the training of clients with these weights [clients, parameters]."""


def of_first(clients: int, state: State) -> State:
    """Return an optimiser's state without that of the later clients."""
    return State(
        state.steps,
        [tensor[:clients] for tensor in state.first],
        [tensor[:clients] for tensor in state.second],
    )
