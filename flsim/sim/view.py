"""The server's state as a strategy may see it: references, no copies, nothing to change it with."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from simpy import Environment

from flsim.policy.known import Known
from flsim.policy.view import Arrival, Choice
from flsim.sim.flight import Flight
from flsim.sim.selecting import Selecting
from flsim.tasks import Task

if TYPE_CHECKING:
    from flsim.sim.server import Server


class ServerView:
    """Implements `flsim.policy.view.View`."""

    def __init__(
        self,
        env: Environment,
        server: "Server",
        idle: Sequence[int],
        flights: Mapping[int, Flight],
        inbox: Sequence[Arrival],
        known: Known,
        selecting: Selecting,
        draws_rounds: bool,
    ) -> None:
        self._env = env
        self._server = server
        self._idle = idle
        self._flights = flights
        self._select = selecting.select
        self._choose = selecting.choose
        self.inbox = inbox
        self.known = known
        self.draws_rounds = draws_rounds

    @property
    def now(self) -> float:
        return self._env.now

    @property
    def version(self) -> int:
        return self._server.version

    @property
    def last_dispatch_s(self) -> float:
        return self._server.last_dispatch_s

    @property
    def last_dispatch_version(self) -> int:
        return self._server.last_dispatch_version

    @property
    def idle(self) -> int:
        return len(self._idle)

    @property
    def in_flight(self) -> int:
        return len(self._flights)

    def select(self, count: int, among: NDArray[np.bool_] | None = None) -> tuple[int, ...]:
        return self._select(count, among)

    def choose(self, choice: Choice) -> tuple[int, ...]:
        return self._choose(choice)

    def outstanding(self) -> Sequence[Task]:
        return [flight.task for flight in self._flights.values()]
