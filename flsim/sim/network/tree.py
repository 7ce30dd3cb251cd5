"""A tree of nodes, level by level."""

from flsim.scenario.network import Tree
from flsim.sim.network.capacity import capacity_of
from flsim.sim.network.layout import Hop, Layout, spread
from flsim.sim.network.transfer import Direction
from flsim.sim.series import Series


def tree_layout(spec: Tree, clients: int, server_links: dict[Direction, Series | None]) -> Layout:
    """Return the layout of a tree; its nodes are called by their level and number, from 0.

    Nodes of the first level come first, and the server last. Raises ScenarioError if a capacity's file
    cannot be used.
    """
    total = sum(level.nodes for level in spec.levels)
    names: list[str] = []
    capacities: list[Series] = []
    hops: dict[Direction, dict[int, Hop]] = {Direction.DOWN: {}, Direction.UP: {}}
    first = 0
    for place, level in enumerate(spec.levels):
        names += [f"{level.name}-{number}" for number in range(level.nodes)]
        above = spec.levels[place + 1].nodes if place + 1 < len(spec.levels) else 1
        towards = (first + level.nodes + spread(level.nodes, above)).tolist()
        for direction, spec_of in ((Direction.DOWN, level.downlink), (Direction.UP, level.uplink)):
            capacity = capacity_of(spec_of)
            for number in range(level.nodes):
                hop = Hop(len(capacities), level.latency, towards[number])
                hops[direction][first + number] = hop
                capacities.append(capacity)
        first += level.nodes
    return Layout(
        names=names,
        server=total,
        attached=spread(clients, spec.levels[0].nodes),
        hops=hops,
        server_links=numbered(server_links, capacities),
        capacities=capacities,
    )


def numbered(
    server_links: dict[Direction, Series | None], capacities: list[Series]
) -> dict[Direction, int | None]:
    """Add the server's own links to the capacities; return their places."""
    places: dict[Direction, int | None] = {}
    for direction, capacity in server_links.items():
        places[direction] = None if capacity is None else len(capacities)
        if capacity is not None:
            capacities.append(capacity)
    return places
