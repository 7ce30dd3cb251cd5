"""Wall clocks that jump, as they do when somebody sets them."""

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

_CLOCKS = ("time", "monotonic", "perf_counter")


@contextmanager
def jumping(jumps_s: list[float]) -> Iterator[list[int]]:
    """Let Python's clocks be off by these seconds, one after the other, at each reading.

    What is yielded holds how many readings there were.
    """
    offsets, readings = itertools.cycle(jumps_s), [0]

    def off(clock: Callable[[], float]) -> Callable[[], float]:
        def read() -> float:
            readings[0] += 1
            return clock() + next(offsets)

        return read

    with ExitStack() as stack:
        for name in _CLOCKS:
            stack.enter_context(patch.object(time, name, off(getattr(time, name))))
        yield readings
