"""Outages of clients: who is out of reach in each of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import singledispatch

import numpy as np

from flsim.draws import Stream
from flsim.errors import ScenarioError, nearest
from flsim.records import Devices
from flsim.scenario.failure import ClassOutage, Outage, RegionOutage, ServerOutage, ShareOutage
from flsim.sim.schedules.once import OutOfReach
from flsim.sim.schedules.schedule import Clients, Schedule

RegionOf = Callable[[str], Sequence[int] | Clients]
"""Returns the clients behind a node of the network. Raises ScenarioError for an unknown node."""


@dataclass(frozen=True)
class Population:
    """The clients among whom an outage finds those whom it meets."""

    seed: int
    devices: Devices
    region_of: RegionOf

    @property
    def clients(self) -> int:
        """How many there are."""
        return len(self.devices.device_class)


def outages_of(outages: Sequence[Outage], population: Population) -> list[Schedule]:
    """Return a schedule for each outage of clients; the server's outages are the server's own matter."""
    return [
        OutOfReach(
            population.clients,
            members_of(outage, population, number),
            outage.start,
            outage.start + outage.duration,
        )
        for number, outage in enumerate(outages)
        if not isinstance(outage, ServerOutage)
    ]


@singledispatch
def members_of(outage: Outage, population: Population, number: int) -> Clients:
    """Return the ids of the clients that outage `number` of the scenario keeps away."""
    raise ScenarioError(f"fleet.failure.outages: the world cannot do a {type(outage).__name__}")


@members_of.register
def _(outage: ShareOutage, population: Population, number: int) -> Clients:
    count = max(1, round(outage.share * population.clients))
    uniforms = Stream(population.seed, f"availability.outage.{number}").uniforms(population.clients)
    return np.argsort(uniforms, kind="stable")[:count]


@members_of.register
def _(outage: ClassOutage, population: Population, number: int) -> Clients:
    names = population.devices.class_names
    if outage.name not in names:
        raise ScenarioError(
            f"fleet.failure.outages: there is no device class '{outage.name}'; "
            f"classes: {', '.join(names)}{nearest(outage.name, names)}"
        )
    return np.flatnonzero(population.devices.device_class == names.index(outage.name))


@members_of.register
def _(outage: RegionOutage, population: Population, number: int) -> Clients:
    return np.asarray(population.region_of(outage.node), dtype=np.int64)
