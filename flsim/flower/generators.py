"""The generators that everybody in a process draws from, kept apart: nobody's draws depend on another's."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import torch


class Generators:
    """Owns the states of Python's, numpy's and torch's generators, as somebody left them."""

    def __init__(self, seed: int) -> None:
        self._seed: int | None = seed
        self._states: tuple[Any, ...] = ()

    @contextmanager
    def drawn_from(self) -> Iterator[None]:
        """In the block, the process's generators go on from where the last one left them."""
        before = _states()
        if self._seed is not None:
            random.seed(self._seed)
            np.random.seed(self._seed % 2**32)
            _seed_torch(self._seed % 2**63)
            self._seed = None
        else:
            _restore(self._states)
        try:
            yield
        finally:
            self._states = _states()
            _restore(before)


def _seed_torch(seed: int) -> None:
    """Seed as torch.manual_seed does, which takes half a millisecond to remember it for absent devices."""
    if _has_accelerator():
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


@cache
def _has_accelerator() -> bool:
    return any(device.is_available() for device in (torch.cuda, torch.backends.mps, torch.xpu))


def _states() -> tuple[Any, ...]:
    return random.getstate(), np.random.get_state(), torch.get_rng_state()


def _restore(states: tuple[Any, ...]) -> None:
    python, arrays, tensors = states
    random.setstate(python)
    np.random.set_state(arrays)
    torch.set_rng_state(tensors)
