"""The world: builds everything that a scenario describes, and lets virtual time pass."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray
from simpy import Environment

from flsim.messages import Program
from flsim.protocols import (
    HierarchyJournal,
    Journal,
    Learner,
    MessageJournal,
    PresenceJournal,
    SecureJournal,
    Trunk,
)
from flsim.records import Devices
from flsim.scenario import Scenario
from flsim.scenario.flower import FlowerWorkload
from flsim.scenario.metadata import Metadata
from flsim.scenario.secure_aggregation import PairwiseMasking
from flsim.scenario.secure_buffer import LightSecAgg
from flsim.scenario.workload import TorchWorkload
from flsim.sim.absences import Absences
from flsim.sim.agenda import Agenda
from flsim.sim.collector import calm_collector
from flsim.sim.devices import ComputeTimes, draw_devices
from flsim.sim.dispatcher import Dispatcher
from flsim.sim.edges import build_edges
from flsim.sim.energy import EnergyMeter
from flsim.sim.fleet import FleetState
from flsim.sim.history import ClientHistory, KnownClients
from flsim.sim.messages import MessageServer
from flsim.sim.network import (
    Direction,
    Network,
    build_access_network,
    build_backbone,
    build_network,
)
from flsim.sim.presence import Changed, Presence
from flsim.sim.reports import ClientReports
from flsim.sim.schedules.build import build_schedules
from flsim.sim.server import Server
from flsim.sim.sessions import BufferedServer, SecureFlight, SecureServer
from flsim.sim.stopping import Ending
from flsim.sim.surroundings import Moment, Surroundings, Watch
from flsim.tasks import Task, TaskCosts


@dataclass(frozen=True)
class Simulated:
    """How a simulation ended, when, and on which devices; what was spent of privacy, if any is kept."""

    ending: Ending
    virtual_time_s: float
    devices: Devices
    epsilon: float | None = None


@dataclass(frozen=True)
class World:
    """A fleet and a network at time zero. It runs once."""

    scenario: Scenario
    costs: TaskCosts
    env: Environment
    devices: Devices
    presence: Presence
    network: Network
    backbone: Network | None = None  # between edge servers and server, in a hierarchy

    def compute_times(self) -> ComputeTimes:
        """Return how long training takes on this fleet's devices."""
        return ComputeTimes(self.scenario, self.devices, self.costs)

    def lone_task_s(self, clients: int) -> NDArray[np.float64]:
        """Return the seconds of the first task of each of the first clients when it is alone: [clients]."""
        costs, network, compute = self.costs, self.network, self.compute_times()
        tasks = (Task(0, client, 0, 0, 0.0, costs.samples[client]) for client in range(clients))
        sized = ((task, *costs.first_bytes(task.client)) for task in tasks)
        seconds = (
            network.uncontended_s(Direction.DOWN, task, down)
            + compute.seconds(task.client, 0)
            + network.uncontended_s(Direction.UP, task, up)
            for task, down, up in sized
        )
        return np.fromiter(seconds, np.float64, clients)

    def surroundings(self, learner: Learner, journal: Journal, watch: Watch) -> Surroundings:
        """Return what a server of this world acts on."""
        scenario = self.scenario
        clients, selection = scenario.fleet.clients, scenario.selection
        history = None
        if selection.needs_history or scenario.strategy.needs_history:
            history = ClientHistory(clients, keeps_tests=selection.needs_client_tests)
        profile = functools.partial(self.lone_task_s, clients)
        return Surroundings(
            env=self.env,
            fleet=FleetState(self.presence.there),
            presence=self.presence,
            network=self.network,
            compute=self.compute_times(),
            energy=EnergyMeter(scenario.fleet, self.devices),
            costs=self.costs,
            known=KnownClients(self.costs, self.devices, profile, history),
            history=history,
            reports=ClientReports(_metadata(scenario), journal, history),
            learner=learner,
            journal=journal,
            watch=watch,
        )

    def run(self, learner: Learner, journal: Journal, watch: Watch) -> Simulated:
        """Let virtual time pass until the run is over.

        Every task's row and every version's row has reached the journal when this returns. Raises
        RunError when the strategy breaks its contract or time stands still.
        """
        scenario = self.scenario
        surroundings = self.surroundings(learner, journal, watch)
        if self.backbone is None:
            server = _server(scenario, surroundings, learner, journal)
            return self._run(server, server.client_changed, server.wake, journal)
        if not (isinstance(learner, Trunk) and isinstance(journal, HierarchyJournal)):
            raise TypeError("a hierarchy needs a learner that has branches, and a journal that knows edges")
        servers = build_edges(scenario, surroundings, self.devices, self.backbone, learner, journal)
        changed, over = servers.client_changed, servers.nobody_comes
        simulated = self._run(servers.central, changed, over, journal)
        servers.close()
        return simulated

    def _run(
        self, server: Dispatcher, changed: Changed, over: Callable[[], None], journal: Journal
    ) -> Simulated:
        """`changed`: told who comes and goes. `over`: told when nobody can come back any more."""
        absences = None
        if self.scenario.output.absences and isinstance(journal, PresenceJournal):
            absences = Absences(self.env, self.presence.there, journal, changed)
        self.presence.listen(changed if absences is None else absences.changed, over)
        process = self.env.process(server.run())
        with calm_collector():
            self.env.run(until=process)
        if absences is not None:
            absences.close()
        return Simulated(cast(Ending, process.value), self.env.now, self.devices, server.epsilon)


def _server(
    scenario: Scenario, surroundings: Surroundings, learner: Learner, journal: Journal
) -> Dispatcher:
    """Return the server of all clients."""
    if isinstance(scenario.workload, FlowerWorkload):
        if not (isinstance(learner, Program) and isinstance(journal, MessageJournal)):
            raise TypeError("a Flower app is a program, and needs a journal that knows messages")
        return MessageServer(scenario, surroundings, learner, journal, scenario.workload.notice)
    if (secure := scenario.secure_aggregation) is None:
        return Server(scenario, surroundings)
    if not isinstance(journal, SecureJournal):
        raise TypeError("secure aggregation needs a journal that knows sessions")
    if isinstance(secure, LightSecAgg):
        return BufferedServer(scenario, surroundings, secure, journal)
    if isinstance(secure, PairwiseMasking):
        return SecureServer(scenario, replace(surroundings, fly=SecureFlight), secure, journal)
    raise TypeError(f"no server here can aggregate by {type(secure).__name__}")


def _metadata(scenario: Scenario) -> Metadata | None:
    """Return what the scenario's clients report, if they do."""
    workload = scenario.workload
    return workload.metadata if isinstance(workload, TorchWorkload) else None


def build_world(scenario: Scenario, costs: TaskCosts) -> World:
    """Return the world that a scenario describes. Raises ScenarioError if it cannot be built."""
    env = Agenda()
    devices = draw_devices(scenario)
    network, backbone = _networks(env, scenario, devices)
    schedules = build_schedules(scenario, devices, network.region_of)
    return World(
        scenario=scenario,
        costs=costs,
        env=env,
        devices=devices,
        presence=Presence(env, scenario.fleet.clients, schedules),
        network=network,
        backbone=backbone,
    )


def _networks(env: Environment, scenario: Scenario, devices: Devices) -> tuple[Network, Network | None]:
    """Return the clients' network and, in a hierarchy, that of the edge servers."""
    if scenario.hierarchy is None:
        return build_network(env, scenario.network, devices, scenario.seed), None
    access = build_access_network(env, scenario.network, devices, scenario.seed)
    return access, build_backbone(env, scenario.network, scenario.served)


def unwatched(_: Moment) -> bool:
    """Let the run go on."""
    return True


def simulate(
    scenario: Scenario,
    costs: TaskCosts,
    learner: Learner,
    journal: Journal,
    watch: Watch = unwatched,
) -> Simulated:
    """Build the scenario's world and run it."""
    return build_world(scenario, costs).run(learner, journal, watch)
