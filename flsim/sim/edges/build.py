"""A scenario's hierarchy to its servers."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from flsim.protocols import HierarchyJournal, Trunk
from flsim.records import Devices, EdgeVersionRecord, MetadataRecord, VersionRecord
from flsim.scenario import Scenario
from flsim.scenario.hierarchy import Edge, central_scenario, edge_scenario, edges_of
from flsim.sim.edges.block import BlockFleet, BlockHistory, costs_of, devices_of
from flsim.sim.edges.central import CentralServer, Lookout
from flsim.sim.edges.edge import EdgeFlight, EdgeServer
from flsim.sim.energy import EnergyMeter
from flsim.sim.fleet import FleetState
from flsim.sim.flight import Course, Flight
from flsim.sim.history import ClientHistory, KnownClients
from flsim.sim.network import Network
from flsim.sim.presence import Presence
from flsim.sim.reports import ClientReports
from flsim.sim.surroundings import Surroundings
from flsim.tasks import Task, TaskCosts


@dataclass(frozen=True)
class Servers:
    """The servers of a hierarchy: the central one, and those of the edges in order."""

    central: CentralServer
    edges: Sequence[EdgeServer]
    clients: int

    def client_changed(self, client: int, is_there: bool) -> None:
        """A client has come or gone: its edge takes note."""
        self.edges[client * len(self.edges) // self.clients].client_changed(client, is_there)

    def nobody_comes(self) -> None:
        """No client can come back any more: whoever waits for one, need not."""
        for edge in self.edges:
            edge.wake()

    def close(self) -> None:
        """The run is over: write what the edges still hold."""
        for edge in self.edges:
            edge.close()


def build_edges(
    scenario: Scenario,
    clients: Surroundings,
    devices: Devices,
    backbone: Network,
    trunk: Trunk,
    journal: HierarchyJournal,
) -> Servers:
    """Return the servers of a scenario's hierarchy.

    `clients`: what a server of all clients would act on; `backbone`: the network between edges and server.
    """
    edges = edges_of(scenario)
    lookout = Lookout(clients.watch)
    servers = [_edge_server(scenario, clients, devices, lookout, trunk, journal, edge) for edge in edges]

    def fly(task: Task, _: float, course: Course) -> Flight:
        return EdgeFlight(task, course, servers[task.client])

    of_edges = central_scenario(scenario)
    costs = _costs_of_edges(clients.costs, edges)
    history = ClientHistory(len(edges)) if scenario.selection.needs_history else None
    everybody, rows = range(scenario.fleet.clients), _CentralRows(journal)
    central = CentralServer(
        of_edges,
        replace(
            clients,
            fleet=FleetState(np.ones(len(edges), dtype=np.bool_)),
            presence=Presence(clients.env, len(edges), ()),
            network=backbone,
            compute=EdgeTimes(),
            energy=EnergyMeter(of_edges.fleet, _devices_of_edges(len(edges))),
            costs=costs,
            known=KnownClients(costs, _devices_of_edges(len(edges)), _unknown(len(edges)), history),
            history=history,
            reports=ClientReports(None, rows, history),
            learner=trunk,
            journal=rows,
            watch=lookout.of_central,
            fly=fly,
        ),
        lookout,
        lambda: clients.presence.gone_of(everybody) == len(everybody),
    )
    lookout.set_up(servers, central.wake)
    return Servers(central, servers, len(everybody))


def _edge_server(
    scenario: Scenario,
    clients: Surroundings,
    devices: Devices,
    lookout: Lookout,
    trunk: Trunk,
    journal: HierarchyJournal,
    edge: Edge,
) -> EdgeServer:
    history = BlockHistory(edge.clients) if edge.selection.needs_history else None
    known = KnownClients(
        costs_of(clients.costs, edge.clients),
        devices_of(devices, edge.clients),
        lambda: clients.known.profile_s[edge.clients.start : edge.clients.stop],
        history,
    )
    branch, rows = trunk.branch(edge.number), _EdgeRows(journal, edge.number)
    own = replace(
        clients,
        fleet=BlockFleet(clients.presence.there, edge.clients),
        known=known,
        history=history,
        learner=branch,
        reports=clients.reports.heard_by(rows, history),
        journal=rows,
        watch=lookout.of_edge,
        edge=edge,
    )
    return EdgeServer(edge_scenario(scenario, edge), own, edge, branch)


def _unknown(edges: int) -> Callable[[], NDArray[np.float64]]:
    """Return the profile of edges: nobody can say how long their tasks take before they are over."""
    return lambda: np.full(edges, math.nan)


class EdgeTimes:
    """Implements `TaskTimes` for edges."""

    def seconds(
        self, client: int, ordinal: int, dispatched_s: float = 0.0, work_flop: float | None = None
    ) -> float:
        return math.nan  # nobody can say before it is over


class _EdgeRows:
    """Implements `Journal` for the server of an edge."""

    def __init__(self, journal: HierarchyJournal, edge: int) -> None:
        self._journal = journal
        self._edge = edge
        self.task = journal.task
        self.metadata = journal.metadata

    def version(self, record: VersionRecord) -> None:
        version, time_s, tasks, mean_staleness, *_ = record
        self._journal.edge_version(EdgeVersionRecord(self._edge, version, time_s, tasks, mean_staleness))


class _CentralRows:
    """Implements `Journal` for the server of all edges."""

    def __init__(self, journal: HierarchyJournal) -> None:
        self.task = journal.edge_task
        self.version = journal.version

    def metadata(self, record: MetadataRecord) -> None:
        """Leave out what comes with an edge's update: it is its clients who report."""


def _costs_of_edges(costs: TaskCosts, edges: Sequence[Edge]) -> TaskCosts:
    """Return what a task of each edge costs: its update counts with the samples of all its clients."""
    blocks = [costs_of(costs, edge.clients) for edge in edges]
    return replace(
        costs,
        samples=[sum(block.samples) for block in blocks],
        work_flop=[math.fsum(block.work_flop) for block in blocks],
    )


def _devices_of_edges(edges: int) -> Devices:
    """Return what is known of the edges as devices: next to nothing."""
    return Devices(
        class_names=("edge",),
        device_class=np.zeros(edges, dtype=np.uint8),
        speed_flops=np.full(edges, math.nan),
        downlink_bps=np.full(edges, math.inf),
        uplink_bps=np.full(edges, math.inf),
        latency_s=np.zeros(edges),
    )
