"""Graphs from a file that networkx reads. Nothing in the file is trusted."""

import json
import warnings
from collections.abc import Callable
from xml.parsers import expat

import networkx as nx

from flsim.errors import ScenarioError
from flsim.sim.network.outside import MEBIBYTE, outside_file, shown

_LARGEST_BYTES = 16 * MEBIBYTE


def read_graph(path: str) -> nx.Graph:
    """Return the graph, directed or not, of a .graphml, .json (node-link) or .edgelist file.

    Its nodes are text. Raises ScenarioError if the file cannot be read, or has two edges between a pair.
    """
    source = outside_file(path, _LARGEST_BYTES, _READERS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about files that do not say all that they could
            graph = _READERS[source.suffix.lower()](source.read_bytes())
    except ScenarioError as error:
        raise ScenarioError(f"{path}: {error}") from error
    except Exception as error:  # networkx raises whatever it stumbles over
        why = f"{type(error).__name__}: {error}"[:300]
        raise ScenarioError(f"{path}: networkx cannot read this as {source.suffix}: {why}") from error
    if graph.is_multigraph():
        graph = _without_parallels(graph, path)
    named = {node: str(node) for node in graph}
    if len(set(named.values())) < len(named):
        raise ScenarioError(f"{path}: two nodes have the same name, one as a number and one as text")
    return nx.relabel_nodes(graph, named)


def _without_parallels(graph: nx.MultiGraph, path: str) -> nx.Graph:
    """Return the graph as one with at most one edge from a node to another."""
    for source, target in graph.edges():
        if graph.number_of_edges(source, target) > 1:
            pair = f"from {shown(source)} to {shown(target)}"
            raise ScenarioError(f"{path}: there is more than one edge {pair}; add them up")
    return nx.DiGraph(graph) if graph.is_directed() else nx.Graph(graph)


def _from_graphml(content: bytes) -> nx.Graph:
    _refuse_doctype(content)
    return nx.parse_graphml(content)


def _refuse_doctype(content: bytes) -> None:
    """Raise ScenarioError if there is a document type, which is where entities come from.

    The parser that networkx uses says so itself, before it has read any: whatever the encoding.
    """

    def refuse(*_: object) -> None:
        raise ScenarioError("has a DOCTYPE, which no GraphML file needs; remove it")

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.Parse(content, True)


def _from_json(content: bytes) -> nx.Graph:
    data = json.loads(content)
    if not isinstance(data, dict):
        raise ScenarioError("must hold a mapping with nodes and edges (or links)")
    # As a multigraph, lest one edge silently replaces another.
    edges = "edges" if "edges" in data else "links"
    return nx.node_link_graph(data | {"multigraph": True}, edges=edges)


def _from_edgelist(content: bytes) -> nx.Graph:
    return nx.parse_edgelist(content.decode().splitlines(), create_using=nx.MultiGraph)


_READERS: dict[str, Callable[[bytes], nx.Graph]] = {
    ".graphml": _from_graphml,
    ".json": _from_json,
    ".edgelist": _from_edgelist,
}
