"""Selection from lists."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, field_validator

from flsim.component import misfit
from flsim.draws import Stream
from flsim.policy.known import Known
from flsim.policy.selection import Selection
from flsim.policy.strategy import Strategy

ClientId = Annotated[int, Field(ge=0)]


class FixedSelection(Selection):
    """The clients of a list, and of the next list the next time; after the last list comes the first.

    Selection number k takes the list number k. Of a list, those who are idle are asked, in its order, and
    no more than the strategy asks for. A list of whom nobody is idle is passed over for the next one that
    has somebody; if none has, nobody is asked until another client comes.

    `lists`: the ids of clients to ask, from 0.
    """

    kind: Literal["fixed"] = "fixed"
    lists: tuple[Annotated[tuple[ClientId, ...], Field(min_length=1)], ...]

    @field_validator("lists", mode="before")
    @classmethod
    def _inner_tuples(cls, value: object) -> object:
        if not isinstance(value, tuple | list):
            return value
        return tuple(tuple(inner) if isinstance(inner, list) else inner for inner in value)

    @field_validator("lists")
    @classmethod
    def _somebody_and_nobody_twice(cls, lists: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
        if not lists:
            raise misfit((), [], "names nobody: give at least one list of clients")
        for number, clients in enumerate(lists):
            if len(set(clients)) < len(clients):
                raise misfit((number,), list(clients), "names a client twice")
        return lists

    def check(self, strategy: Strategy, clients: int) -> None:
        for number, named in enumerate(self.lists):
            if max(named) >= clients:
                why = f"no such client: the fleet has the clients 0 to {clients - 1}"
                raise misfit(("selection", "lists", number), max(named), why)

    def select(
        self, idle: Sequence[int], count: int, draws: Stream, decision: int, known: Known
    ) -> tuple[int, ...]:
        """Costs O(clients named), if looking a client up in `idle` costs O(1)."""
        for offset in range(len(self.lists)):
            named = self.lists[(decision - 1 + offset) % len(self.lists)]
            if there := [client for client in named if client in idle]:
                return tuple(there[:count])
        return ()
