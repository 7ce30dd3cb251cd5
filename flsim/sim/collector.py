"""Python's cycle collector, kept out of the way of a run."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_YOUNG_OBJECTS = 500_000


@contextmanager
def calm_collector() -> Iterator[None]:
    """Collect rarely, and never look again at what exists now.

    A run makes millions of small objects and next to no cycles. With the standard thresholds the
    collector would walk over every task in flight again and again: half of a large run's time.
    """
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
