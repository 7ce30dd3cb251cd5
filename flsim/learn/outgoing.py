"""What a client does to an update before it goes up, step by step, and what it remembers for that."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from torch import Tensor

from flsim.learn.memory import Memory
from flsim.learn.state import State
from flsim.learn.weights import is_finite
from flsim.tasks import Task


class Sent(NamedTuple):
    """What a step made of an update [parameters], and what the client remembers from now on.

    `size_bytes`: what the update takes on the wire, if the step is one that says so.
    """

    update: Tensor
    memory: Memory
    size_bytes: int | None = None


class Outgoing(Protocol):
    """One step on an update's way to the server, such as clipping, noise or compression, in this order."""

    clients_remember: bool
    """Whether a client's next task follows from its last one."""
    sends_anyway: bool
    """Whether a client sends something in the place of an update that is not finite: one of zeros."""

    def send(self, task: Task, update: Tensor, memory: Memory) -> Sent:
        """Return what becomes of a finite update. `memory`: the client's, at first empty; not changed."""


class Departure:
    """All steps in their order. Owns what clients remember of each."""

    def __init__(self, steps: Sequence[Outgoing] = ()) -> None:
        self._steps = steps
        self._clients: dict[int, list[Memory]] = {}
        self.clients_remember = any(step.clients_remember for step in steps)
        self.sends_anyway = any(step.sends_anyway for step in steps)

    def state(self) -> State:
        return self._clients

    def restore(self, state: State) -> None:
        self._clients = state

    def send(self, task: Task, update: Tensor) -> Sent:
        """Return what leaves the client. What is not finite is not worth remembering."""
        before = self._clients.get(task.client) or [{} for _ in self._steps]
        sent, after = Sent(update, {}), []
        for step, memory in zip(self._steps, before, strict=True):
            sent = step.send(task, sent.update, memory)
            after.append(sent.memory)
        if self.clients_remember and is_finite(sent.update):
            self._clients[task.client] = after
        return sent
