"""When rates are allocated anew, and when a link looks next at what flows."""

import math
from collections.abc import Callable

from simpy import Environment, Event

from flsim.sim.clock import HAPPEN, SHARE, Signal, delay_until


class Alarm:
    """Rings at the instant that it was last set to: to set it makes every earlier setting void."""

    def __init__(self, env: Environment, ring: Callable[[], None]) -> None:
        self._env = env
        self._ring = ring
        self._signal: Signal | None = None

    def set(self, instant: float) -> None:
        """Ring at `instant`; never, if that is infinite."""
        self._signal = None
        if instant < math.inf:
            self._signal = Signal(self._env)
            self._signal.callbacks.append(self._rings)
            self._signal.fire(delay_until(self._env.now, instant), HAPPEN)

    def _rings(self, signal: Event) -> None:
        if signal is self._signal:
            self._ring()


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
