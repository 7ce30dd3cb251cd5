"""What the module `time` tells an app: virtual time, in the threads in which the app runs.

The module's functions are replaced before the app is imported, since an app may import them by name. They
tell and wait for real time wherever no virtual clock is set, and so everywhere outside the app.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

_thread = threading.local()


class Clock(NamedTuple):
    """Virtual time: what it is, in seconds, and what to do to wait for some."""

    now: Callable[[], float]
    sleep: Callable[[float], None]


@contextmanager
def reading(clock: Clock | None) -> Iterator[None]:
    """Let this thread read a clock; None: the real one."""
    before: Clock | None = getattr(_thread, "clock", None)
    _thread.clock = clock
    try:
        yield
    finally:
        _thread.clock = before


def _told(real: Callable[[], Any], unit: float) -> Callable[[], Any]:
    def tell() -> Any:
        clock: Clock | None = getattr(_thread, "clock", None)
        if clock is None:
            return real()
        return clock.now() if unit == 1.0 else round(clock.now() * unit)

    return tell


def _waited(real: Callable[[float], None]) -> Callable[[float], None]:
    def wait(seconds: float) -> None:
        clock: Clock | None = getattr(_thread, "clock", None)
        if clock is None:
            return real(seconds)
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        return clock.sleep(seconds)

    return wait


@contextmanager
def replaced_time() -> Iterator[None]:
    """Replace the functions of `time`, so that threads that read a clock are told virtual time."""
    names = ("time", "monotonic", "perf_counter")
    real = {name: getattr(time, name) for name in (*names, *(f"{name}_ns" for name in names), "sleep")}
    try:
        for name in names:
            setattr(time, name, _told(real[name], 1.0))
            setattr(time, f"{name}_ns", _told(real[f"{name}_ns"], 1e9))
        setattr(time, "sleep", _waited(real["sleep"]))  # noqa: B010
        yield
    finally:
        for name, function in real.items():
            setattr(time, name, function)
