"""Selection: whom to ask, among the clients that are idle."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, Literal

from flsim.component import Component, Kinds
from flsim.draws import Stream


class Selection(Component):
    """Draws clients. Its state is none: what it needs to remember comes with the draw's number."""

    @abstractmethod
    def select(self, idle: Sequence[int], count: int, draws: Stream, decision: int) -> tuple[int, ...]:
        """Return `count` distinct clients of `idle`, or all of them if there are fewer.

        idle: the idle clients in no meaningful order; decision: the number of this draw in the run.
        Costs O(count), never O(len(idle)), unless it must return nearly all.
        """


class UniformSelection(Selection):
    """Every idle client is as likely as any other."""

    kind: Literal["uniform"] = "uniform"

    def select(self, idle: Sequence[int], count: int, draws: Stream, decision: int) -> tuple[int, ...]:
        size = len(idle)
        count = min(count, size)
        if count == 1:  # the most frequent case, and the same draw
            return (idle[draws.integer(decision, 0) % size],)
        # Fisher-Yates over a virtual copy: only the touched positions are stored.
        moved: dict[int, int] = {}
        chosen = []
        for position in range(count):
            other = position + draws.integer(decision, position) % (size - position)
            chosen.append(idle[moved.get(other, other)])
            moved[other] = moved.get(position, position)
        return tuple(chosen)


AnySelection = Annotated[Selection, Kinds(Selection, UniformSelection)]
