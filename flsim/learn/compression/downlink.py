"""What clients hold of the model, where versions go down as differences to it.

The first download of a client is the model. A later one is C(w - h): w is the version, h what the client
holds, and h <- h + C(w - h) what it holds then, and trains from. So what a message does not bring over is
in the next difference again, without further ado.

Reference: Gruntkowska et al., "EF21-P and Friends", ICML 2023, where all clients hold the same.
"""

from torch import Tensor

from flsim.learn.compression.coder import Coder
from flsim.learn.memory import Memory
from flsim.learn.state import State
from flsim.tasks import Task


class Downlink:
    """Owns what every client holds: one model for each that was ever asked.

    What a client will hold is worked out when the task goes out, and taken back if it does not arrive.
    Versions are vectors [parameters].
    """

    def __init__(self, coder: Coder) -> None:
        self._coder = coder
        self._held: dict[int, Memory] = {}
        self._before: dict[int, Memory] = {}  # by open task
        self._bases: dict[int, Tensor] = {}  # by open task: what its training starts from

    def dispatch(self, task: Task, weights: Tensor) -> None:
        """A version goes to a client."""
        held = self._held.get(task.client, {})
        self._before[task.id] = held
        if held:
            message = self._coder.message(task, weights - held["model"], held)
            now = message.memory | {"model": held["model"] + message.vector}
        else:
            now = {"model": weights}
        self._held[task.client] = now
        self._bases[task.id] = now["model"]

    def base(self, task: Task) -> Tensor:
        """Return the weights that the client of an open task has received."""
        return self._bases[task.id]

    def not_received(self, task: Task) -> None:
        """The version has not reached the client, which holds what it held: this was its latest task."""
        if before := self._before[task.id]:
            self._held[task.client] = before
        else:
            del self._held[task.client]

    def state(self) -> State:
        return {"held": self._held, "before": self._before, "bases": self._bases}

    def restore(self, state: State) -> None:
        self._held, self._before, self._bases = state["held"], state["before"], state["bases"]

    def close(self, task: Task) -> None:
        """Nobody will ask for this task any more."""
        del self._bases[task.id], self._before[task.id]
