"""The contract of a strategy: when to ask clients, when to aggregate, when to wait."""

from abc import abstractmethod
from typing import ClassVar

from flsim.component import Component
from flsim.policy.view import Decision, View


class Strategy(Component):
    """Decides, purely: the same view gives the same decision, and deciding changes nothing.

    The server asks again after every decision until the answer is `Wait`.
    """

    needs_history: ClassVar[bool] = False
    """Whether it looks at `view.known.history`, which is not kept otherwise."""

    ends_by_itself: ClassVar[bool] = False
    """Whether it comes to an end, so that the run need not be told when to stop."""

    @abstractmethod
    def decide(self, view: View) -> Decision:
        """Return what the server does next."""

    @property
    def may_discard(self) -> bool:
        """Whether it may end a task without using its update. If not, training need not wait to see."""
        return True

    @property
    def groups(self) -> int:
        """How many groups its updates are of, if it tells them apart: see `Aggregate.group`."""
        return 1

    @property
    def full_weight(self) -> float | None:
        """The largest weight of an update in a server update as it is meant to be, where all count equally.

        None if it depends on how many come.
        """
        return None

    @property
    def fewest_updates(self) -> int:
        """The smallest number of updates that it makes a version of."""
        return 1

    @property
    @abstractmethod
    def clients_needed(self) -> int:
        """The smallest fleet that this strategy can run on."""
