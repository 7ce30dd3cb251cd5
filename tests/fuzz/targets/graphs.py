"""Networks from files that networkx reads."""

from flsim.sim.network.graph_file import read_graph
from tests.fuzz.place import placed
from tests.fuzz.target import Target


def graphml(content: bytes) -> None:
    read_graph(str(placed("graph.graphml", content)))


def graph_json(content: bytes) -> None:
    read_graph(str(placed("graph.json", content)))


def edgelist(content: bytes) -> None:
    read_graph(str(placed("graph.edgelist", content)))


TARGETS = (
    Target("graphml", graphml),
    Target("graph_json", graph_json, "json"),
    Target("edgelist", edgelist),
)
