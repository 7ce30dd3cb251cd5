"""A strategy that does what it is told, for tests that decide themselves."""

from collections import deque
from typing import ClassVar, Literal

from flsim.policy import Strategy
from flsim.policy.view import Decision, Discard, View, Wait

HORIZON_S = 100_000.0


class Scripted(Strategy):
    """Decides what stands in `orders`, one after the other; at `deadline`, discards what is in flight."""

    kind: Literal["tests.property.scripted:Scripted"] = "tests.property.scripted:Scripted"

    orders: ClassVar[deque[Decision]] = deque()
    deadline: ClassVar[list[float]] = []  # none or one

    def decide(self, view: View) -> Decision:
        if self.deadline and view.now >= self.deadline[0]:
            self.deadline.clear()
            if tasks := tuple(view.outstanding()):
                return Discard(tasks)
        if self.orders:
            return self.orders.popleft()
        return Wait(until_s=self.deadline[0] if self.deadline else HORIZON_S)

    @property
    def clients_needed(self) -> int:
        return 1
