"""Files that a network is built from: what they may hold, and how they are refused."""

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from simpy import Environment

from flsim.errors import ScenarioError
from flsim.scenario import scenario_from
from flsim.scenario.network import Capacity, Component, RecordedCapacity, SharedWithOthers, Topology
from flsim.sim.devices import draw_devices
from flsim.sim.network import build_network
from flsim.sim.network.capacity import capacity_of
from flsim.sim.network.graph_file import read_graph
from flsim.sim.network.recorded import read_capacity
from tests.rounds import cohort

HEADER = "time_s,capacity_bps\n"


def build(topology: Any, clients: int = 4, **network: Any) -> None:
    scenario = scenario_from(cohort(clients, topology=topology, **network))
    build_network(Environment(), scenario.network, draw_devices(scenario), scenario.seed)


# Recorded capacities


def test_a_recording_in_csv(tmp_path: Path) -> None:
    file = tmp_path / "wan.csv"
    file.write_text("capacity_bps,time_s\n1e6,0\n0,2.5\n3000000,7\n")
    series = read_capacity(str(file), None)
    assert [series.at(t) for t in (0.0, 2.5, 6.9, 7.0, 1e9)] == [1e6, 0.0, 0.0, 3e6, 3e6]
    assert read_capacity(str(file), 8.0).at(8.5) == 1e6


def test_a_recording_in_parquet(tmp_path: Path) -> None:
    file = tmp_path / "wan.PARQUET"
    table = pa.table({"time_s": [0, 10], "capacity_bps": pa.array([1e6, 2e6], pa.float32())})
    parquet.write_table(table, file)
    series = read_capacity(str(file), None)
    assert (series.at(9.0), series.at(10.0)) == (1e6, 2e6)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "Empty CSV file"),
        (HEADER, "has no rows"),
        ("time,capacity_bps\n0,1\n", "unknown column 'time'; accepted: time_s, capacity_bps; did you mean"),
        ("time_s\n0\n", "the column capacity_bps is missing"),
        ("time_s,time_s,capacity_bps\n0,0,1\n", "the column time_s is there more than once"),
        (HEADER + "1,5\n", r"row 2: the first time_s must be 0 \(given: 1\)"),
        (HEADER + "-1,5\n0,5\n", r"row 2: the first time_s must be 0 \(given: -1\)"),
        (HEADER + "0,5\n2,5\n2,5\n", r"row 4: time_s must increase, but 2\.0 follows 2\.0"),
        (HEADER + "0,5\n2,5\n3,5\n1,5\n", r"row 5: time_s must increase, but 1\.0 follows 3\.0"),
        (HEADER + "0,5\nnan,5\n", "row 3: time_s must be a finite number"),
        (HEADER + "0,5\ninf,5\n", "row 3: time_s must be a finite number"),
        (HEADER + "0,5\n,5\n", "row 3: time_s must be a finite number"),
        (HEADER + "0,5\n1,nan\n", "row 3: capacity_bps must be finite and not negative: empty or NaN"),
        (HEADER + "0,5\n1,\n2,5\n", "row 3: capacity_bps must be finite and not negative: empty or NaN"),
        (HEADER + "0,5\n1,-2\n", "row 3: capacity_bps must be finite and not negative: -2"),
        (HEADER + "0,1e999\n", "row 2: capacity_bps must be finite and not negative: inf"),
        (HEADER + "0,5\n1,6 Mbit/s\n", "row 3: CSV conversion error to double: invalid value '6 Mbit/s'"),
        (HEADER + "0,5\n1,2,3\n", "row 3: Expected 2 columns, got 3"),
        (HEADER + "0,5\n\n2,3\n", "row 3: time_s must be a finite number"),
        (HEADER + "0,0\n1,0\n", "the capacity is always zero"),
        (HEADER + "0,5\n1,0\n", "row 3: the capacity stays zero for ever"),
        ("\udcff\udcfex,y\n0,1\n", "utf-8"),
    ],
)
def test_a_bad_recording_is_refused_with_its_row(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "bad.csv"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ScenarioError, match=says) as caught:
        read_capacity(str(file), None)
    assert str(caught.value).startswith(str(file))


def test_the_period_must_exceed_the_last_time(tmp_path: Path) -> None:
    file = tmp_path / "wan.csv"
    file.write_text(HEADER + "0,5\n60,0\n")
    assert read_capacity(str(file), 60.5).at(60.5) == 5.0
    with pytest.raises(
        ScenarioError, match=r"row 3: time_s must be less than the period, 60 s \(given: 60\)"
    ):
        read_capacity(str(file), 60.0)


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"time_s": ["0"], "capacity_bps": [1.0]}, "the column time_s must hold numbers, not string"),
        ({"time_s": [True], "capacity_bps": [1.0]}, "the column time_s must hold numbers, not bool"),
        ({"time_s": [0.0, 1.0], "capacity_bps": [1.0, None]}, "row 2: capacity_bps must be finite"),
        ({"time_s": [0.0, 1.0, 1.0], "capacity_bps": [1, 2, 3]}, "row 3: time_s must increase"),
        ({"time_s": [0.0], "capacity": [1.0]}, "unknown column 'capacity'"),
    ],
)
def test_a_bad_recording_in_parquet(tmp_path: Path, columns: dict[str, Any], says: str) -> None:
    file = tmp_path / "bad.parquet"
    parquet.write_table(pa.table(columns), file)
    with pytest.raises(ScenarioError, match=says):
        read_capacity(str(file), None)


def test_a_parquet_file_that_unfolds_to_too_many_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "bomb.parquet"
    parquet.write_table(pa.table({"time_s": [0.0] * 1000, "capacity_bps": [1.0] * 1000}), file)
    monkeypatch.setattr("flsim.sim.network.recorded._MOST_ROWS", 999)
    with pytest.raises(ScenarioError, match="has 1,000 rows, at most 999"):
        read_capacity(str(file), None)


def test_a_parquet_file_that_is_none(tmp_path: Path) -> None:
    file = tmp_path / "bad.parquet"
    file.write_text("PAR1, but not really")
    with pytest.raises(ScenarioError, match=r"bad\.parquet: "):
        read_capacity(str(file), None)


def test_files_that_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    for name, says in [
        ("missing.csv", "there is no such file"),
        ("folder.csv", "is no file"),
        ("pipe.csv", "is no file"),
        ("wan.cvs", r"expected a file that ends in \.csv or \.parquet; did you mean '\.csv'\?"),
        ("x\0y.csv", "null byte|no such file"),
    ]:
        with pytest.raises(ScenarioError, match=says):
            read_capacity(str(tmp_path / name), None)


def test_files_that_are_too_large(tmp_path: Path) -> None:
    for name, mebibytes in [("wan.csv", 256), ("wan.parquet", 256), ("net.graphml", 16), ("net.json", 16)]:
        file = tmp_path / name
        with file.open("wb") as opened:
            opened.truncate(mebibytes * 2**20 + 1)
        with pytest.raises(ScenarioError, match=f"at most {mebibytes} MiB are read"):
            read_graph(str(file)) if "net" in name else read_capacity(str(file), None)


def test_shares_of_others_take_turns() -> None:
    series = capacity_of(SharedWithOthers(rate=8e6, shares=(0.25, 0.5, 0.0), step=10.0))
    assert [series.at(t) for t in (0.0, 9.0, 10.0, 20.0, 30.0, 45.0)] == [6e6, 6e6, 4e6, 8e6, 6e6, 4e6]
    assert [series.next_change(t) for t in (0.0, 10.0, 29.0)] == [10.0, 20.0, 30.0]


def test_a_file_is_read_before_anything_runs(tmp_path: Path) -> None:
    recorded = {"kind": "trace", "file": str(tmp_path / "gone.csv")}
    level = {"name": "edge", "nodes": 2, "downlink": 1e6, "uplink": recorded}
    for network in [
        {"server": {"uplink": recorded}},
        {"topology": {"kind": "tree", "levels": [level]}},
    ]:
        topology = network.pop("topology", {"kind": "star"})
        with pytest.raises(ScenarioError, match=r"gone\.csv: there is no such file"):
            build(topology, **network)


class Satellite(Topology):
    """A topology of somebody else's."""

    kind: str = "satellite"


class Weather(Capacity):
    """A capacity of somebody else's."""

    kind: str = "weather"


def test_what_the_world_cannot_build() -> None:
    with pytest.raises(ScenarioError, match="no link here has a Weather"):
        capacity_of(Weather())
    scenario = scenario_from(cohort(1))
    network = scenario.network.model_copy(update={"topology": Satellite()})
    with pytest.raises(ScenarioError, match=r"network\.topology: the world cannot build a Satellite"):
        build_network(Environment(), network, draw_devices(scenario), 1)
    assert issubclass(RecordedCapacity, Component)


# Graphs


def node_link(edges: list[dict[str, Any]], nodes: list[Any] | None = None, **more: Any) -> str:
    names = {name: None for edge in edges for name in (edge["source"], edge["target"])}
    data = {"nodes": [{"id": name} for name in nodes or names], "edges": edges, **more}
    return json.dumps(data)


def edge(source: Any = "s", target: Any = "a", **attributes: Any) -> dict[str, Any]:
    return {"source": source, "target": target, "capacity": 1e6, "latency": 0.1} | attributes


GRAPHML = """<?xml version="1.0" encoding="UTF-8"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
  <key id="c" for="edge" attr.name="capacity" attr.type="string"/>
  <key id="l" for="edge" attr.name="latency" attr.type="double"/>
  <graph edgedefault="undirected">
    <node id="s"/><node id="a"/><node id="b"/>
    <edge source="s" target="a"><data key="c">1 Gbit/s</data><data key="l">0.01</data></edge>
    <edge source="a" target="b"><data key="c">1e6</data><data key="l">0.01</data></edge>
  </graph>
</graphml>
"""
EDGELIST = "# a comment\ns a {'capacity': '1 Gbit/s', 'latency': '10 ms'}\na b {'capacity': 1e6}\n"
JSON = node_link([edge(capacity="1 Gbit/s", latency="10 ms"), edge("a", "b")])
LINKS = JSON.replace('"edges"', '"links"')


@pytest.mark.parametrize(
    ("name", "text"),
    [("n.graphml", GRAPHML), ("n.edgelist", EDGELIST), ("n.json", JSON), ("n.JSON", LINKS)],
)
def test_a_graph_in_every_format(tmp_path: Path, name: str, text: str) -> None:
    file = tmp_path / name
    file.write_text(text)
    build({"kind": "graph", "file": str(file), "server": "s"})
    graph = read_graph(str(file))
    assert list(graph.edges) == [("s", "a"), ("a", "b")]


def test_nodes_may_be_numbers(tmp_path: Path) -> None:
    file = tmp_path / "n.json"
    file.write_text(node_link([edge(1, 2), edge(2, 3)]))
    build({"kind": "graph", "file": str(file), "server": "1", "attach": ["3"]})
    assert list(read_graph(str(file)).edges) == [("1", "2"), ("2", "3")]


@pytest.mark.parametrize(
    ("text", "topology", "says"),
    [
        (node_link([edge("x")]), {}, "there is no server node 's'"),
        (
            node_link([edge("server")]),
            {"server": "serber"},
            "no server node 'serber'; did you mean 'server'",
        ),
        (JSON, {"attach": ["c"]}, "there is no node 'c' to attach to"),
        (JSON, {"attach": ["a", "a"]}, r"network\.topology\.attach names 'a' twice"),
        (node_link([edge(), edge("b", "c")]), {}, "there is no path from 's' to 'b'"),
        (node_link([edge("a", "s")], directed=True), {}, "there is no path from 's' to 'a'"),
        (node_link([edge("s", "a")], directed=True), {}, "there is no path from 'a' to 's'"),
        (node_link([edge("s", "s")]), {}, "no node but the server has exactly one neighbour"),
        (node_link([edge(capacity=0)]), {}, "edge from 's' to 'a': capacity must be greater than zero"),
        (node_link([edge(capacity="-1 Mbit/s")]), {}, r"edge from 's' to 'a': capacity .*given: -1e\+06"),
        (node_link([edge(capacity=float("nan"))]), {}, "'a': capacity: .* must be finite"),
        (node_link([edge(capacity="1e999")]), {}, "'a': capacity: .* must be finite"),
        (node_link([edge(capacity="1 Mbit")]), {}, "'a': capacity: 'Mbit' is not a unit of bandwidth"),
        (node_link([edge(capacity=[1])]), {}, r"'a': capacity: expected a bandwidth.*given: \[1\]"),
        (
            node_link([{"source": "s", "target": "a", "capcity": 1}]),
            {},
            "has no capacity; did you mean 'capc",
        ),
        (node_link([edge(latency=-0.1)]), {}, r"'a': latency must be zero or more \(given: -0\.1\)"),
        (node_link([edge(latency="5 lightyears")]), {}, "'a': latency: 'lightyears' is not a unit of time"),
        (node_link([edge(), edge()], multigraph=True), {}, "more than one edge from 's' to 'a'"),
        (node_link([edge(), edge("a", "s")], multigraph=False), {}, "more than one edge from '[sa]' to"),
        (node_link([edge(1, "1"), edge("s", 1)]), {}, "two nodes have the same name"),
        ("[]", {}, "must hold a mapping with nodes and edges"),
        ("{}", {}, r"networkx cannot read this as \.json: KeyError"),
        ("{", {}, r"networkx cannot read this as \.json: JSONDecodeError"),
        ("[" * 100_000, {}, r"networkx cannot read this as \.json: RecursionError"),
    ],
)
def test_a_bad_graph_is_refused_with_its_edge_or_node(
    tmp_path: Path, text: str, topology: dict[str, Any], says: str
) -> None:
    file = tmp_path / "net.json"
    file.write_text(text)
    with pytest.raises(ScenarioError, match=says) as caught:
        build({"kind": "graph", "file": str(file), "server": "s", **topology})
    assert str(caught.value).startswith(str(file))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("n.graphml", "<graphml"),
        ("n.graphml", "<html/>"),
        ("n.graphml", GRAPHML.replace('source="s"', 'source="q"', 1).replace('key="c"', 'key="z"', 1)),
        ("n.edgelist", "s a {'capacity': open('x')}"),
        ("n.edgelist", "s a capacity"),
        ("n.edgelist", "s a " + "{'a': " + "-" * 100_000 + "1}"),
        ("n.edgelist", "s a \udcff"),
    ],
)
def test_what_networkx_stumbles_over_is_refused(tmp_path: Path, name: str, text: str) -> None:
    file = tmp_path / name
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ScenarioError, match=r"networkx cannot read this as \.") as caught:
        read_graph(str(file))
    assert len(str(caught.value)) < len(str(file)) + 400


BOMB = '<!DOCTYPE bomb [<!ENTITY a "xxxxxxxx"><!ENTITY b "&a;&a;&a;&a;">]>'
EXTERNAL = '<!DOCTYPE graphml [<!ENTITY leak SYSTEM "file:///etc/passwd">]>'
HEAD, BODY = GRAPHML.split("\n", 1)


@pytest.mark.parametrize("doctype", [BOMB, EXTERNAL, "<!DOCTYPE graphml>"])
@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16", "ISO-8859-1"])
def test_a_document_type_is_refused_in_every_encoding(tmp_path: Path, doctype: str, encoding: str) -> None:
    file = tmp_path / "net.graphml"
    file.write_bytes(f"{HEAD.replace('UTF-8', encoding)}\n{doctype}\n{BODY}".encode(encoding))
    with pytest.raises(ScenarioError, match=r"net\.graphml: has a DOCTYPE, which no GraphML file needs"):
        read_graph(str(file))


def test_names_from_a_file_are_shown_at_a_bearable_length(tmp_path: Path) -> None:
    file = tmp_path / "net.json"
    file.write_text(node_link([edge("s", "a" * 10_000 + "\x1b[2J", capacity=0)]))
    with pytest.raises(ScenarioError) as caught:
        build({"kind": "graph", "file": str(file), "server": "s"})
    assert len(str(caught.value)) < 300 + len(str(file))
    assert "\x1b" not in str(caught.value)
