"""`hierarchy`: edge servers that aggregate their own clients' updates, and send on what comes of it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, ValidationError

from flsim.component import Section, misfit
from flsim.errors import nearest
from flsim.policy import AnySelection, AnyStrategy, Selection, Strategy
from flsim.policy.selections import UniformSelection
from flsim.scenario.aggregation import Aggregation, FedNova, Mean
from flsim.scenario.availability import Always
from flsim.scenario.failure import Failure, RegionOutage, ServerOutage
from flsim.scenario.nested_aggregation import AnyAggregation
from flsim.scenario.network import Topology, Tree
from flsim.scenario.server import Stop
from flsim.scenario.server_optimizer import AnyServerOptimizer, ServerOptimizer, ServerSgd
from flsim.scenario.workload import TorchWorkload

if TYPE_CHECKING:
    from flsim.scenario.scenario import Scenario

Rounds = Annotated[int, Field(ge=1)]


class OneEdge(Section):
    """What one edge does otherwise: what is not given is as for all edges.

    `rounds`: none means as all. `strategy`: none means as all. `selection`: none means as all.
    `aggregation`: none means as all. `server_optimizer`: none means as all.
    """

    rounds: Rounds | None = None
    strategy: AnyStrategy | None = None
    selection: AnySelection | None = None
    aggregation: AnyAggregation | None = None
    server_optimizer: AnyServerOptimizer | None = None


class Hierarchy(Section):
    """What the edge servers do: the nodes of the first level of a tree, each with the clients behind it.

    An edge that is asked by the server takes the model, makes `rounds` updates of it with its own clients,
    by its own `strategy`, and sends back by how much the model has moved. `nodes` names the edges that do
    otherwise. Liu et al., "Client-Edge-Cloud Hierarchical Federated Learning", ICC 2020.

    `selection`: which of its clients an edge asks. `aggregation`: how an edge combines their updates.
    `server_optimizer`: the step that an edge makes of that. `rounds`: how many updates an edge makes of its
    own for one of the server's. `strategy`: when an edge asks its clients and makes a version. `nodes`:
    what single edges do otherwise, by their names.
    """

    rounds: Rounds = 1
    strategy: AnyStrategy
    selection: AnySelection = UniformSelection()
    aggregation: AnyAggregation = Mean()
    server_optimizer: AnyServerOptimizer = ServerSgd()
    nodes: dict[str, OneEdge] = Field(default_factory=dict)


@dataclass(frozen=True)
class Edge:
    """An edge server: its number and its node, its clients, and what it does with them.

    To its selection and its aggregation, its clients are a fleet of their own, numbered from 0.
    """

    number: int
    name: str
    clients: range
    rounds: int
    strategy: Strategy
    selection: Selection
    aggregation: Aggregation
    server_optimizer: ServerOptimizer


def edge_count(topology: Topology) -> int:
    """Return how many edge servers a topology has room for: its first level's nodes, if it is a tree."""
    return topology.levels[0].nodes if isinstance(topology, Tree) else 0


def edges_of(scenario: "Scenario") -> list[Edge]:
    """Return a hierarchy's edges, in order; none without a hierarchy.

    Clients are spread as the tree spreads them: blocks of neighbours, whose sizes differ by one at most.
    """
    hierarchy, topology, clients = scenario.hierarchy, scenario.network.topology, scenario.fleet.clients
    if hierarchy is None or not isinstance(topology, Tree):
        return []
    level = topology.levels[0]
    firsts = [-(-number * clients // level.nodes) for number in range(level.nodes + 1)]
    edges = []
    for number in range(level.nodes):
        name = f"{level.name}-{number}"
        own = hierarchy.nodes.get(name, OneEdge())
        edges.append(
            Edge(
                number,
                name,
                range(firsts[number], firsts[number + 1]),
                own.rounds or hierarchy.rounds,
                own.strategy or hierarchy.strategy,
                own.selection or hierarchy.selection,
                own.aggregation or hierarchy.aggregation,
                own.server_optimizer or hierarchy.server_optimizer,
            )
        )
    return edges


def central_scenario(scenario: "Scenario") -> "Scenario":
    """Return what the central server sees of a hierarchy: a fleet of edges, which are always there."""
    fleet, failure = scenario.fleet, scenario.fleet.failure
    outages = tuple(outage for outage in failure.outages if isinstance(outage, ServerOutage))
    edges = {
        "clients": edge_count(scenario.network.topology),
        "classes": (),
        "power": None,
        "join": None,
        "availability": Always(),
        "failure": Failure(outages=outages),
    }
    network = scenario.network.model_copy(update={"loss": None})
    return scenario.model_copy(update={"fleet": fleet.model_copy(update=edges), "network": network})


def edge_scenario(scenario: "Scenario", edge: Edge) -> "Scenario":
    """Return what an edge sees of a hierarchy: a fleet of its own clients. It ends with the run."""
    return scenario.model_copy(
        update={
            "fleet": scenario.fleet.model_copy(update={"clients": len(edge.clients)}),
            "strategy": edge.strategy,
            "selection": edge.selection,
            "aggregation": edge.aggregation,
            "server_optimizer": edge.server_optimizer,
            "stop": Stop.model_construct(time=scenario.stop.time),
        }
    )


def check_hierarchy(scenario: "Scenario") -> None:
    """Raise a misfit if a scenario's hierarchy cannot be. The strategies' own demands come after this."""
    hierarchy, topology = scenario.hierarchy, scenario.network.topology
    if hierarchy is None:
        return
    if not isinstance(topology, Tree):
        why = "edge servers are the nodes of a tree's first level; hierarchy needs topology tree"
        raise misfit(("network", "topology"), topology.kind, why)
    level, clients = topology.levels[0], scenario.fleet.clients
    if level.nodes > clients:
        why = f"an edge server without clients: the fleet has {clients}"
        raise misfit(("network", "topology", "levels", 0, "nodes"), level.nodes, why)
    names = {f"{level.name}-{number}" for number in range(level.nodes)}
    for name in hierarchy.nodes:
        if name not in names:
            why = (
                f"no such edge; they are {level.name}-0 to {level.name}-{level.nodes - 1}"
                f"{nearest(name, names)}"
            )
            raise misfit(("hierarchy", "nodes", name), name, why)
    if scenario.stop.converged is not None:
        why = "each edge hears from its own clients only; with a hierarchy, accepted: none"
        raise misfit(("stop", "converged"), scenario.stop.converged, why)
    if scenario.attack is not None:
        why = "attackers who collude would have to meet across edges; with a hierarchy, accepted: none"
        raise misfit(("attack", "kind"), scenario.attack.kind, why)
    if scenario.compression is not None:
        why = "what clients and edges hold of each other is not followed; with a hierarchy, accepted: none"
        raise misfit(("compression",), None, why)
    if scenario.privacy is not None:
        why = "it is counted by one server, and a hierarchy has many; with a hierarchy, accepted: none"
        raise misfit(("privacy", "kind"), scenario.privacy.kind, why)
    _check_strategy(("strategy",), scenario.strategy)
    _check_selection(("selection",), scenario.selection)
    _check_rule(("aggregation",), scenario.aggregation)
    _check_training(scenario)
    _check_outages(scenario, level.name)
    for loc, edge in _distinct(scenario, hierarchy):
        _check_edge(scenario, loc, edge)


def _check_training(scenario: "Scenario") -> None:
    """Refuse what is remembered of clients or server, and what is counted in a client's steps."""
    if scenario.personalization is not None:
        why = "clients' own models go with one server; with a hierarchy, accepted: none"
        raise misfit(("personalization", "kind"), scenario.personalization.kind, why)
    if isinstance(scenario.aggregation, FedNova):
        why = "fednova compares updates by the client's step; an edge's update has none"
        raise misfit(("aggregation", "kind"), scenario.aggregation.kind, why)
    if isinstance(scenario.workload, TorchWorkload):
        objective = scenario.workload.training.objective
        if objective.shifts or objective.vectors != (1, 1):
            why = (
                f"what {objective.kind} remembers follows from one server's updates, "
                "and a hierarchy has many servers"
            )
            raise misfit(("workload", "training", "objective", "kind"), objective.kind, why)


def _check_outages(scenario: "Scenario", level: str) -> None:
    """Refuse outages of links between edges and server: clients reach their edges all the same."""
    for number, outage in enumerate(scenario.fleet.failure.outages):
        if isinstance(outage, RegionOutage) and outage.node.rpartition("-")[0] != level:
            why = f"keeps clients away from the server; theirs is their edge. Accepted: nodes of '{level}'"
            raise misfit(("fleet", "failure", "outages", number, "node"), outage.node, why)


def _distinct(scenario: "Scenario", hierarchy: Hierarchy) -> Iterator[tuple[tuple[str, ...], Edge]]:
    """Yield the edges to check, and where they are described: those that are named, the smallest other."""
    others = []
    for edge in edges_of(scenario):
        if edge.name in hierarchy.nodes:
            yield ("hierarchy", "nodes", edge.name), edge
        else:
            others.append(edge)
    if others:
        yield ("hierarchy",), min(others, key=lambda edge: len(edge.clients))


def _check_edge(scenario: "Scenario", loc: tuple[str, ...], edge: Edge) -> None:
    clients = len(edge.clients)
    if (needed := edge.strategy.clients_needed) > clients:
        why = f"needs {needed} clients at a time, but {edge.name} has {clients}"
        raise misfit((*loc, "strategy"), edge.strategy.kind, why)
    own = edge_scenario(scenario, edge).model_copy(update={"hierarchy": None})
    _within(loc, lambda: edge.selection.check(edge.strategy, clients))
    _within(loc, lambda: edge.aggregation.check(own))
    _check_strategy((*loc, "strategy"), edge.strategy)
    _check_selection((*loc, "selection"), edge.selection)
    _check_rule((*loc, "aggregation"), edge.aggregation)


def _check_rule(loc: tuple[str, ...], aggregation: Aggregation) -> None:
    if aggregation.server_samples:
        why = f"{aggregation.kind} has the server train on samples of its own; a hierarchy has many servers"
        raise misfit((*loc, "kind"), aggregation.kind, why)


def _check_strategy(loc: tuple[str, ...], strategy: Strategy) -> None:
    """Refuse what tells the clients apart: each server of a hierarchy numbers its own."""
    if strategy.ends_by_itself:
        why = "a program decides by itself whom it asks, and knows no edges; it goes without hierarchy"
        raise misfit((*loc, "kind"), strategy.kind, why)
    if strategy.needs_history or strategy.groups > 1:
        why = f"{strategy.kind} goes by what is known of clients, which a hierarchy's servers do not share"
        raise misfit((*loc, "kind"), strategy.kind, why)


def _check_selection(loc: tuple[str, ...], selection: Selection) -> None:
    if selection.needs_client_tests:
        why = f"{selection.kind} goes by the clients' own tests of every version; an edge's are not tested"
        raise misfit((*loc, "kind"), selection.kind, why)


def _within(loc: tuple[str, ...], check: Callable[[], None]) -> None:
    """Let a component be checked; what it says of its own sections, it says of those at `loc`."""
    try:
        check()
    except ValidationError as error:
        details = error.errors()[0]
        place = details["loc"]
        if place and place[0] in OneEdge.model_fields:
            place = (*loc, *place)
        raise misfit(place, details["input"], details["msg"]) from error
