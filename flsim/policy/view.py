"""What a strategy sees, and what it can decide. Nothing here moves time or touches weights."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from flsim.draws import Stream
from flsim.policy.known import Known
from flsim.tasks import Anchor, Task

Choice = Callable[[Sequence[int], Stream, int], tuple[int, ...]]
"""Chooses among the idle clients, in no meaningful order, with draws, in the run's n-th selection."""


class View(Protocol):
    """The server's state, read-only and uncopied: reading any part costs O(1)."""

    @property
    def now(self) -> float:
        """Virtual time in seconds."""

    @property
    def version(self) -> int:
        """The current model version; 0 before the first server update."""

    @property
    def idle(self) -> int:
        """How many clients are available and not busy."""

    @property
    def in_flight(self) -> int:
        """How many tasks are out with clients."""

    @property
    def last_dispatch_s(self) -> float:
        """When clients were last asked; 0 before the first time."""

    @property
    def last_dispatch_version(self) -> int:
        """Which version clients were last sent; -1 before the first time."""

    @property
    def inbox(self) -> Sequence["Arrival"]:
        """The updates that arrived and are neither aggregated nor discarded, in order of arrival.

        Those that arrived at the same instant stand in the order of their task ids.
        """

    @property
    def known(self) -> Known:
        """What the server knows of its clients."""

    def select(self, count: int, among: NDArray[np.bool_] | None = None) -> tuple[int, ...]:
        """Draw up to `count` idle clients with the scenario's selection.

        `among`: [clients], true for those who may be drawn; finding the idle ones among them costs O(idle).
        If there is none, nobody is drawn, and that is no selection.
        """

    def choose(self, choice: Choice) -> tuple[int, ...]:
        """Return whom a strategy that selects by itself chooses. It counts as a selection."""

    @property
    def draws_rounds(self) -> bool:
        """Whether whoever the scenario's selection draws is the round, even if that is nobody."""

    def outstanding(self) -> Sequence[Task]:
        """Return the tasks that are out with clients, in order of dispatch. Costs O(in_flight)."""


class Arrival(NamedTuple):
    """An update that has reached the server."""

    task: Task
    arrived_s: float


class Dispatch(NamedTuple):
    """Send the current version to these idle clients."""

    clients: tuple[int, ...]


class Aggregate(NamedTuple):
    """Make the next version from these arrived tasks; `discard` ends other tasks, arrived or not.

    The weights are final: the learner adds the weighted sum of the updates, without normalising. Without
    tasks it is a server update in which nobody took part, for selections that draw rounds. `group`: which
    of the strategy's groups these updates are of, for rules that keep something for each.
    """

    tasks: tuple[Task, ...]
    weights: tuple[float, ...]
    anchor: Anchor = Anchor.BASE
    discard: tuple[Task, ...] = ()
    group: int = 0


class Discard(NamedTuple):
    """End these tasks without an update. Those still out with clients are called off."""

    tasks: tuple[Task, ...]


class Wait(NamedTuple):
    """Do nothing until an update arrives or a task dies; or until a time; or until a client comes."""

    until_s: float | None = None
    for_clients: bool = False


Decision = Dispatch | Aggregate | Discard | Wait
