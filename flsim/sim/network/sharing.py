"""When rates are allocated anew."""

from collections.abc import Callable

from simpy import Environment, Event

from flsim.sim.clock import SHARE, Signal


class Reallocation:
    """A re-allocation that happens once per instant at most, after everything else that happens in it."""

    def __init__(self, env: Environment, reallocate: Callable[[Event], None]) -> None:
        self._env = env
        self._reallocate = reallocate
        self._signal = Signal(env)

    def ask(self) -> None:
        """Let it happen at the end of this instant."""
        if self._signal.processed or not self._signal.triggered:
            self._signal = Signal(self._env)
            self._signal.callbacks.append(self._reallocate)
            self._signal.fire(priority=SHARE)
