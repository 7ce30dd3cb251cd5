"""Any graph: clients take the route with the lowest latency."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import networkx as nx
import numpy as np

from flsim.errors import ScenarioError, nearest
from flsim.scenario.network import Graph
from flsim.sim.network.graph_file import read_graph
from flsim.sim.network.layout import Hop, Layout, spread
from flsim.sim.network.outside import shown
from flsim.sim.network.transfer import Direction
from flsim.sim.network.tree import numbered
from flsim.sim.series import Series, Steady
from flsim.units import RATE, TIME


def graph_layout(spec: Graph, clients: int, server_links: dict[Direction, Series | None]) -> Layout:
    """Return the layout of a graph from a file.

    An undirected edge carries its capacity in each direction; a directed one only in its own. Raises
    ScenarioError, with the file and the node or edge, if it cannot be used.
    """
    graph = read_graph(spec.file)
    capacities, links = _read_links(graph, spec.file)
    names = list(graph)
    number_of = {name: number for number, name in enumerate(names)}
    if spec.server not in number_of:
        hint = nearest(spec.server, names)
        raise ScenarioError(f"{spec.file}: there is no server node {shown(spec.server)}{hint}")
    attach = _attach(graph, spec)
    hops = {}
    for direction in Direction:
        towards = _towards_server(graph, spec, direction, attach)
        hops[direction] = {
            number_of[node]: Hop(*links[_edge(direction, node, next_node)], number_of[next_node])
            for node, next_node in towards.items()
        }
    places = np.array([number_of[node] for node in attach])
    return Layout(
        names=names,
        server=number_of[spec.server],
        attached=places[spread(clients, len(places))],
        hops=hops,
        server_links=numbered(server_links, capacities),
        capacities=capacities,
    )


def _read_links(
    graph: nx.Graph, file: str
) -> tuple[list[Series], dict[tuple[str, str], tuple[int, float]]]:
    """Return the capacity of every link, and its place and latency by the nodes it leads from and to."""
    capacities: list[Series] = []
    links: dict[tuple[str, str], tuple[int, float]] = {}
    for source, target, attributes in graph.edges(data=True):
        where = f"{file}: edge from {shown(source)} to {shown(target)}"
        capacity_bps = _quantity(attributes, "capacity", RATE.parse, where)
        latency_s = _quantity(attributes, "latency", TIME.parse, where, default=0.0)
        if capacity_bps <= 0:
            raise ScenarioError(f"{where}: capacity must be greater than zero (given: {capacity_bps:g})")
        if latency_s < 0:
            raise ScenarioError(f"{where}: latency must be zero or more (given: {latency_s:g})")
        ends = [(source, target)] if graph.is_directed() else [(source, target), (target, source)]
        for each in ends:
            links[each] = len(capacities), latency_s
            capacities.append(Steady(capacity_bps))
        attributes["latency"] = latency_s  # a number, for the routes
    return capacities, links


def _quantity(
    attributes: dict[str, Any],
    key: str,
    parse: Callable[[object], float],
    where: str,
    default: float = math.nan,
) -> float:
    if key not in attributes:
        if math.isnan(default):
            raise ScenarioError(f"{where}: has no {key}{nearest(key, map(str, attributes))}")
        return default
    try:
        return parse(attributes[key])
    except ValueError as error:
        raise ScenarioError(f"{where}: {key}: {error} (given: {shown(attributes[key])})") from error


def _attach(graph: nx.Graph, spec: Graph) -> Sequence[str]:
    """Return the nodes that clients are attached to."""
    if spec.attach:
        for node in spec.attach:
            if node not in graph:
                hint = nearest(node, graph)
                raise ScenarioError(f"{spec.file}: there is no node {shown(node)} to attach to{hint}")
            if spec.attach.count(node) > 1:
                raise ScenarioError(f"{spec.file}: network.topology.attach names {shown(node)} twice")
        return spec.attach
    leaves = [
        node
        for node in graph
        if node != spec.server and len(set(nx.all_neighbors(graph, node)) - {node}) == 1
    ]
    if not leaves:
        why = "no node but the server has exactly one neighbour; name some in network.topology.attach"
        raise ScenarioError(f"{spec.file}: {why}")
    return leaves


def _towards_server(
    graph: nx.Graph, spec: Graph, direction: Direction, attach: Sequence[str]
) -> dict[str, str]:
    """Return the next node towards the server, for every node that has a route in this direction."""
    backwards = graph.is_directed() and direction is Direction.UP
    routed = graph.reverse(copy=False) if backwards else graph
    before, _ = nx.dijkstra_predecessor_and_distance(routed, spec.server, weight="latency")
    towards = {node: nodes[0] for node, nodes in before.items() if nodes and node != spec.server}
    for node in attach:
        if node not in before:
            pair = (spec.server, node) if direction is Direction.DOWN else (node, spec.server)
            raise ScenarioError(f"{spec.file}: there is no path from {shown(pair[0])} to {shown(pair[1])}")
    return towards


def _edge(direction: Direction, node: str, next_node: str) -> tuple[str, str]:
    """Return from where to where bits flow between a node and the next one towards the server."""
    return (node, next_node) if direction is Direction.UP else (next_node, node)
