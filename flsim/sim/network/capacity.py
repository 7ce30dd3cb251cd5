"""Capacities over time: from a scenario's section to a series of bit/s."""

from functools import singledispatch

import numpy as np

from flsim.errors import ScenarioError
from flsim.scenario.network import Capacity, FixedCapacity, RecordedCapacity, SharedWithOthers
from flsim.sim.network.recorded import read_capacity
from flsim.sim.series import Series, Steady, steps


@singledispatch
def capacity_of(spec: Capacity) -> Series:
    """Return the capacity that a section describes. Raises ScenarioError if its file cannot be used."""
    raise ScenarioError(f"network: no link here has a {type(spec).__name__}")


@capacity_of.register
def _(spec: FixedCapacity) -> Series:
    return Steady(spec.rate)


@capacity_of.register
def _(spec: SharedWithOthers) -> Series:
    count = len(spec.shares)
    rates = spec.rate * (1 - np.array(spec.shares, dtype=np.float64))
    return steps(spec.step * np.arange(count, dtype=np.float64), rates, spec.step * count)


@capacity_of.register
def _(spec: RecordedCapacity) -> Series:
    return read_capacity(spec.file, spec.period)
