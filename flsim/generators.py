"""The generators that all of a process draws from, kept apart: nobody's draws depend on another's."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np


class Source(NamedTuple):
    """One generator of a process: how its state is read and put back, and how it is seeded by 64 bits."""

    state: Callable[[], Any]
    restore: Callable[[Any], object]
    seed: Callable[[int], object]


def _seed_numpy(seed: int) -> None:
    np.random.seed([seed & 0xFFFFFFFF, seed >> 32])


PYTHON = Source(random.getstate, random.setstate, random.seed)
NUMPY = Source(np.random.get_state, np.random.set_state, _seed_numpy)


@contextmanager
def kept_apart(sources: Sequence[Source]) -> Iterator[None]:
    """Put the process's generators back after the block, whatever was drawn or seeded in it."""
    before = [source.state() for source in sources]
    try:
        yield
    finally:
        for source, state in zip(sources, before, strict=True):
            source.restore(state)


class Generators:
    """Owns the states of these generators, as somebody left them."""

    def __init__(self, seed: int, sources: Sequence[Source] = (PYTHON, NUMPY)) -> None:
        """`seed`: 64 bits, where they begin."""
        self._seed = seed
        self._sources = sources
        self._states: list[Any] = []  # none before the first draw

    @contextmanager
    def drawn_from(self) -> Iterator[None]:
        """In the block, the process's generators go on from where the last one left them."""
        with kept_apart(self._sources):
            if self._states:
                for source, state in zip(self._sources, self._states, strict=True):
                    source.restore(state)
            else:
                for source in self._sources:
                    source.seed(self._seed)
            try:
                yield
            finally:
                self._states = [source.state() for source in self._sources]
