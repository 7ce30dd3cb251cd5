"""Selecting: hands the selection what it may know, and numbers its draws."""

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from flsim.draws import Stream
from flsim.policy.view import Choice
from flsim.scenario import Scenario
from flsim.scenario.hierarchy import Edge
from flsim.sim.history import ClientHistory, KnownClients


class Selecting:
    """Owns the number of selections so far."""

    def __init__(
        self,
        scenario: Scenario,
        idle: Sequence[int],
        busy: Collection[int],
        known: KnownClients,
        history: ClientHistory | None,
        edge: Edge | None = None,
    ) -> None:
        """`idle`, `busy`: who is, now and at any later moment; `history`: None if nobody looks at it.

        `edge`: whose clients they are, if they are an edge's; `idle` numbers those from 0.
        """
        self._choose = scenario.selection.select  # to look it up takes longer in a section
        self._draws = Stream(scenario.seed, "selection" if edge is None else f"selection.{edge.name}")
        self._first = 0 if edge is None else edge.clients.start
        self._idle = idle
        self._busy = busy
        self._known = known
        self._history = history
        self._selections = 0

    def select(self, count: int, among: NDArray[np.bool_] | None) -> tuple[int, ...]:
        """Draw up to `count` idle clients; `among`: [clients], who may be drawn, if not everybody."""
        idle = self._idle
        if among is not None:
            ids = np.asarray(idle[:], dtype=np.int64)
            idle = ids[among[ids]].tolist()
            if not idle:
                return ()
        self._begin()
        return self._known_as(self._choose(idle, count, self._draws, self._selections, self._known))

    def choose(self, choice: Choice) -> tuple[int, ...]:
        """Let a strategy choose among the idle clients in the place of the scenario's selection."""
        self._begin()
        return self._known_as(choice(self._idle, self._draws, self._selections))

    def _begin(self) -> None:
        """Count one more selection, and note who can be chosen."""
        self._selections += 1
        if self._history is not None:
            self._history.seen(self._selections, self._idle, self._busy)

    def _known_as(self, chosen: tuple[int, ...]) -> tuple[int, ...]:
        """Return clients as the world knows them."""
        return tuple(self._first + client for client in chosen) if self._first else chosen
