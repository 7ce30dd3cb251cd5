"""The generators that an app draws from: Python's, numpy's and torch's."""

from contextlib import AbstractContextManager
from functools import cache

import torch

from flsim.generators import NUMPY, PYTHON, Generators, Source, kept_apart


def app_generators(seed: int) -> Generators:
    """Return generators that an app can draw from without a trace. `seed`: 64 bits."""
    return Generators(seed, _SOURCES)


def apps_draws_apart() -> AbstractContextManager[None]:
    """Return a block in which apps can draw without a trace."""
    return kept_apart(_SOURCES)


def seed_generators(seed: int) -> None:
    """Seed all generators that an app can draw from. `seed`: 64 bits."""
    for source in _SOURCES:
        source.seed(seed)


def _seed_torch(seed: int) -> None:
    """Seed as torch.manual_seed does, which takes half a millisecond to remember it for absent devices."""
    if _has_accelerator():
        torch.manual_seed(seed % 2**63)
    else:
        torch.default_generator.manual_seed(seed % 2**63)


@cache
def _has_accelerator() -> bool:
    return any(device.is_available() for device in (torch.cuda, torch.backends.mps, torch.xpu))


_TORCH = Source(torch.get_rng_state, torch.set_rng_state, _seed_torch)
_SOURCES = PYTHON, NUMPY, _TORCH
