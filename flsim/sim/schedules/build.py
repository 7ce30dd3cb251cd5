"""A scenario's fleet section to the schedules of its clients."""

from functools import singledispatch

from flsim.draws import Stream
from flsim.errors import ScenarioError
from flsim.scenario import Scenario
from flsim.scenario.availability import Always, Availability, Sessions
from flsim.sim.schedules.once import Leaving
from flsim.sim.schedules.renewal import Renewal
from flsim.sim.schedules.schedule import Schedule


def build_schedules(scenario: Scenario) -> list[Schedule]:
    """Return everything that keeps clients away in this scenario."""
    fleet, seed = scenario.fleet, scenario.seed
    schedules = schedules_of(fleet.availability, fleet.clients, seed)
    if fleet.failure.lifetime is not None:
        uniforms = Stream(seed, "availability.lifetime").uniforms(fleet.clients)
        schedules.append(Leaving(fleet.failure.lifetime.column(uniforms)))
    return schedules


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
