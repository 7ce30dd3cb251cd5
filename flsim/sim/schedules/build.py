"""A scenario's fleet section to the schedules of its clients."""

from functools import singledispatch

import numpy as np

from flsim.draws import Stream
from flsim.errors import ScenarioError
from flsim.records import Devices
from flsim.scenario import Scenario
from flsim.scenario.availability import Always, Availability, Conditions, Diurnal, Sessions, Trace
from flsim.scenario.distributions import Distribution
from flsim.scenario.fleet import Fleet
from flsim.sim.schedules.diurnal import DiurnalSessions
from flsim.sim.schedules.once import Joining, Leaving
from flsim.sim.schedules.outages import Population, RegionOf, outages_of
from flsim.sim.schedules.renewal import Renewal
from flsim.sim.schedules.schedule import Instants, Schedule
from flsim.sim.schedules.trace import Replay
from flsim.sim.schedules.trace_file import read_intervals


def build_schedules(scenario: Scenario, devices: Devices, region_of: RegionOf) -> list[Schedule]:
    """Return everything that keeps clients away in this scenario.

    `region_of` returns the clients behind a node of the network. Raises ScenarioError for a trace that
    cannot be used, an unknown device class, and whatever `region_of` refuses.
    """
    fleet, seed = scenario.fleet, scenario.seed
    population = Population(seed, devices, region_of)
    return [
        *schedules_of(fleet.availability, fleet.clients, seed),
        *_comings_and_goings(fleet, seed),
        *outages_of(fleet.failure.outages, population),
    ]


@singledispatch
def schedules_of(spec: Availability, clients: int, seed: int) -> list[Schedule]:
    """Return the schedules of one kind of availability."""
    raise ScenarioError(f"fleet.availability: the world has no schedule for a {type(spec).__name__}")


@schedules_of.register
def _(spec: Always, clients: int, seed: int) -> list[Schedule]:
    return []


@schedules_of.register
def _(spec: Sessions, clients: int, seed: int) -> list[Schedule]:
    return [Renewal(spec.on, spec.off, clients, seed, "availability")]


@schedules_of.register
def _(spec: Conditions, clients: int, seed: int) -> list[Schedule]:
    return [
        Renewal(spec.charging.on, spec.charging.off, clients, seed, "availability.charging"),
        Renewal(spec.wifi.on, spec.wifi.off, clients, seed, "availability.wifi"),
    ]


@schedules_of.register
def _(spec: Diurnal, clients: int, seed: int) -> list[Schedule]:
    return [DiurnalSessions(spec, clients, seed)]


@schedules_of.register
def _(spec: Trace, clients: int, seed: int) -> list[Schedule]:
    return [Replay(read_intervals(spec.file, spec.period), clients, spec.period)]


def _comings_and_goings(fleet: Fleet, seed: int) -> list[Schedule]:
    """Clients join, and leave a lifetime after that."""
    schedules: list[Schedule] = []
    joins = np.zeros(fleet.clients)
    if fleet.join is not None:
        joins = _drawn(fleet.join, fleet.clients, seed, "availability.join")
        schedules.append(Joining(joins))
    if fleet.failure.lifetime is not None:
        lifetimes = _drawn(fleet.failure.lifetime, fleet.clients, seed, "availability.lifetime")
        schedules.append(Leaving(joins + lifetimes))
    return schedules


def _drawn(law: Distribution, clients: int, seed: int, purpose: str) -> Instants:
    return law.column(Stream(seed, purpose).uniforms(clients))
