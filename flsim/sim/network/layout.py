"""Where the clients are attached, and by which links they reach the server."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flsim.errors import ScenarioError, nearest
from flsim.sim.network.transfer import Direction
from flsim.sim.series import Series


class Hop(NamedTuple):
    """One link of a way, between a node and the next one towards the server."""

    link: int
    latency_s: float
    towards_server: int  # the node at that end


@dataclass(frozen=True)
class Layout:
    """A tree of ways to the server for each direction, over numbered nodes and numbered links.

    A link carries in one direction only; the other direction is another link.
    """

    names: Sequence[str]  # by node
    server: int  # the node that is the server; it may be one without a name
    attached: NDArray[np.int64]  # by client: its node
    hops: Mapping[Direction, Mapping[int, Hop]]  # by node: its link with the next node towards the server
    server_links: Mapping[Direction, int | None]  # the server's own
    capacities: Sequence[Series]  # by link, in bit/s

    def way(self, direction: Direction, node: int) -> list[Hop]:
        """Return the links between a node and the server, in the order in which bits travel."""
        hops = self.hops[direction]
        way = []
        while node != self.server:
            way.append(hops[node])
            node = hops[node].towards_server
        if (link := self.server_links[direction]) is not None:
            way.append(Hop(link, 0.0, self.server))
        return way if direction is Direction.UP else way[::-1]

    def clients_behind(self, name: str) -> NDArray[np.int64]:
        """Return the clients with this node on their way, in either direction, in order.

        Raises ScenarioError if there is no such node.
        """
        if name not in self.names:
            hint = nearest(name, self.names)
            raise ScenarioError(f"network.topology: there is no node '{name}'{hint}")
        node = self.names.index(name)
        nodes = [behind for hops in self.hops.values() for behind in _behind(node, hops)]
        return np.flatnonzero(np.isin(self.attached, nodes))


def _behind(node: int, hops: Mapping[int, Hop]) -> list[int]:
    """Return a node and those that have it on their way to the server."""
    behind: dict[int, list[int]] = {}
    for child, hop in hops.items():
        behind.setdefault(hop.towards_server, []).append(child)
    found = [node]
    for each in found:
        found += behind.get(each, ())
    return found


def spread(clients: int, places: int) -> NDArray[np.int64]:
    """Return a place for every client: blocks of neighbours, whose sizes differ by one at most."""
    return np.arange(clients, dtype=np.int64) * places // clients
