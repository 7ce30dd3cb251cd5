"""The generators that an app draws from: Python's, numpy's and torch's."""

from functools import cache

import torch

from flsim.generators import NUMPY, PYTHON, Generators, Source


def app_generators(seed: int) -> Generators:
    """Return generators that an app can draw from without a trace. `seed`: 64 bits."""
    return Generators(seed, (PYTHON, NUMPY, _TORCH))


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
