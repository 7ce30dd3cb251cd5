"""What a scenario's fleet looks like before anything runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flsim.calibrate import calibrate
from flsim.holdings import Holdings
from flsim.observe.canvas import save
from flsim.observe.plots.fleet import FleetPicture, figure_of_fleet
from flsim.records import Devices
from flsim.scenario import Scenario
from flsim.scenario.hierarchy import Edge, edges_of
from flsim.sim.world import World, build_world
from flsim.tasks import TaskCosts
from flsim.units import TIME
from flsim.workload import prepare_workload

_CLIENTS = 20_000  # a sample of the fleet that is large enough to describe it
_DAY_S = 86_400.0
_LOOKS = 96  # at who is there, over a day

Column = NDArray[np.float64]


@dataclass(frozen=True)
class Description:
    """A fleet in figures. Columns have one value per client described; the first `clients` ones."""

    clients: int
    devices: Devices
    costs: TaskCosts
    task_s: Column  # a client's first task when it is alone on the network
    share_there: Column  # of the clients, at `_LOOKS` moments of a day
    edges: Sequence[Edge] = ()  # in a hierarchy: tasks go from and to these
    attack: str | None = None  # who attacks, and when, in words
    holdings: Holdings | None = None  # what all clients train on at first, if they do
    drift_s: tuple[float, ...] = ()  # when that changes

    @property
    def class_counts(self) -> list[tuple[str, int]]:
        """How many clients are of each device class."""
        counts = np.bincount(self.devices.device_class, minlength=len(self.devices.class_names))
        return list(zip(self.devices.class_names, counts.tolist(), strict=True))

    def draw(self, path: Path) -> Path:
        """Draw the description, in the format of the path. Raises RunError if it cannot be written."""
        picture = FleetPicture(self.devices, self.task_s, self.share_there, _DAY_S)
        return save(figure_of_fleet(picture), path)


def describe(scenario: Scenario) -> Description:
    """Draw the fleet's devices and let its availability run through a day, without any task.

    Devices and tasks are those of at most the first 20,000 clients, which stand for the others; who is
    there is counted over the whole fleet. Raises ScenarioError.
    """
    clients = min(scenario.fleet.clients, _CLIENTS)
    scenario = calibrate(scenario)
    costs, _, holdings = prepare_workload(scenario, timing_only=True)
    world = build_world(scenario, costs)
    return Description(
        clients=clients,
        devices=_first(world.devices, clients),
        costs=costs,
        task_s=world.lone_task_s(clients),
        share_there=_day(world),
        edges=edges_of(scenario),
        attack=_attack(scenario),
        holdings=holdings,
        drift_s=tuple(load.start_s for load in costs.later),
    )


def _attack(scenario: Scenario) -> str | None:
    attack, clients = scenario.attack, scenario.fleet.clients
    if attack is None:
        return None
    attackers = len(attack.campaign(clients, scenario.seed).clients)
    until = "on" if attack.end is None else f"to {TIME.format(attack.end)}"
    tasks = f"in tasks dispatched from {TIME.format(attack.start)} {until}"
    return f"{attack.kind} by {attackers:,} of {clients:,} clients, {tasks}"


def _first(devices: Devices, clients: int) -> Devices:
    return Devices(
        class_names=devices.class_names,
        device_class=devices.device_class[:clients],
        speed_flops=devices.speed_flops[:clients],
        downlink_bps=devices.downlink_bps[:clients],
        uplink_bps=devices.uplink_bps[:clients],
        latency_s=devices.latency_s[:clients],
    )


def _day(world: World) -> Column:
    """Return the share of clients there at the middle of each quarter of an hour of the first day."""
    world.presence.listen(_ignore, _nothing)
    shares = []
    for look in range(_LOOKS):
        world.env.run(until=(look + 0.5) * _DAY_S / _LOOKS)
        shares.append(float(world.presence.there.mean()))
    return np.array(shares)


def _ignore(client: int, is_there: bool) -> None:
    """Nobody has to know."""


def _nothing() -> None:
    """Nothing to do."""


def quantiles(column: Sequence[float] | Column) -> list[float]:
    """Return the 5 %, 50 % and 95 % quantiles; empty where there are no numbers."""
    values = np.asarray(column)
    values = values[~np.isnan(values)]
    return np.quantile(values, [0.05, 0.5, 0.95]).tolist() if len(values) else []
