"""Lineage against the tables, read with pandas, and as a graph that networkx reads."""

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import networkx as nx
import pandas as pd
import pytest
from click.testing import CliRunner

from flsim.cli import cli
from flsim.errors import RunError
from flsim.govern.lineage import as_graphml, as_text, lineage
from tests.governed import run_in, timed

EDGES = {
    "network": {
        "topology": {
            "kind": "tree",
            "levels": [{"name": "edge", "nodes": 2, "downlink": "1 Mbit/s", "uplink": "1 Mbit/s"}],
        }
    },
    "hierarchy": {"rounds": 2, "strategy": {"kind": "sync", "cohort": 3}},
    "strategy": {"kind": "sync", "cohort": 2},
}


@pytest.fixture(scope="module")
def stale(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose updates start from older versions."""
    strategy = {"kind": "fedbuff", "concurrency": 9, "buffer_size": 2}
    return run_in(tmp_path_factory.mktemp("stale"), timed(strategy=strategy, stop={"updates": 8}))


@pytest.fixture(scope="module")
def hierarchy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_in(tmp_path_factory.mktemp("edges"), timed(**EDGES))


def _used(folder: Path, version: int) -> pd.DataFrame:
    tasks = pd.read_parquet(folder / "tasks.parquet")
    return tasks[(tasks.aggregated_version == version) & (tasks.outcome == "aggregated")]


def test_a_version_comes_from_the_tasks_in_it_and_what_they_had_started_from(stale: Path) -> None:
    found = {origin.version: origin for origin in lineage(stale, 8)}
    assert sorted(found) == list(range(9))
    assert max(version - min(origin.before) for version, origin in found.items() if version) > 2
    for version, origin in found.items():
        used = _used(stale, version).set_index("task")
        assert {task.task: task.base_version for task in origin.tasks} == used.base_version.to_dict()
        assert {task.task: task.client for task in origin.tasks} == used.client.to_dict()
        assert {task.task: task.weight for task in origin.tasks} == used.weight.to_dict()
        assert origin.before == (sorted({version - 1, *used.base_version}) if version else [])


def test_depth_says_how_far_to_go_back(stale: Path) -> None:
    bases = set(_used(stale, 7).base_version)
    assert [origin.version for origin in lineage(stale, 7, 0)] == [7]
    assert {origin.version for origin in lineage(stale, 7, 1)} == {7, 6, *bases}


def test_the_graph_goes_from_the_initial_model_to_the_version(stale: Path) -> None:
    graph = nx.read_graphml(io.BytesIO(as_graphml(lineage(stale, 8)).encode()))
    assert nx.is_directed_acyclic_graph(graph)
    assert [node for node, degree in graph.in_degree() if degree == 0] == ["version 0"]
    assert [node for node, degree in graph.out_degree() if degree == 0] == ["version 8"]
    for version in range(1, 9):
        used = _used(stale, version)
        into = {f"task {task}" for task in used.task} | {f"version {version - 1}"}
        assert set(graph.predecessors(f"version {version}")) == into
        for task, client, base in used[["task", "client", "base_version"]].itertuples(index=False):
            assert graph.nodes[f"task {task}"]["client"] == client
            assert list(graph.predecessors(f"task {task}")) == [f"version {base}"]


def test_below_an_edges_task_are_its_clients_tasks(hierarchy: Path) -> None:
    """Each edge makes two versions a task, of three clients' tasks each; every one is below one task."""
    tasks = pd.read_parquet(hierarchy / "tasks.parquet").set_index("task")
    edge_of = pd.read_parquet(hierarchy / "clients.parquet").set_index("client").edge
    seen: list[int] = []
    for origin in lineage(hierarchy, 6)[:-1]:
        for task in origin.tasks:
            under = [below.task for below in origin.clients[task.task]]
            assert len(under) == 6
            assert set(edge_of[tasks.loc[under, "client"]]) == {task.client}
            assert tasks.loc[under, "dispatched_s"].min() >= task.dispatched_s
            assert tasks.loc[under, "ended_s"].max() <= task.ended_s
            seen += under
    assert len(seen) == len(set(seen)) == (tasks.outcome == "aggregated").sum()


def test_the_text_names_versions_tasks_clients_and_edges(stale: Path, hierarchy: Path) -> None:
    text = as_text(lineage(stale, 1, 1)).splitlines()
    first, second = _used(stale, 1).sort_values("task").task
    assert text[0].startswith("version 1 at ")
    assert text[0].endswith(", follows from 0")
    assert [line.split(":")[0] for line in text[1:3]] == [f"  task {first}", f"  task {second}"]
    assert text[3] == "version 0 at 0 s, the initial model"
    assert ": edge 0, from version 0, weight" in as_text(lineage(hierarchy, 1))


def test_the_command_gives_json(stale: Path) -> None:
    command = ["lineage", str(stale), "5", "--depth", "0", "--format", "json"]
    [origin] = json.loads(CliRunner().invoke(cli, command, standalone_mode=False).stdout)
    used = _used(stale, 5).sort_values("task")
    assert origin["version"] == 5
    assert [part["client"] for part in origin["tasks"]] == used.client.tolist()
    assert origin["follows_from"] == sorted({4, *used.base_version})


def test_a_version_that_there_is_not_is_an_error(stale: Path) -> None:
    with pytest.raises(RunError, match=r"has no version 9; it has 0 to 8"):
        lineage(stale, 9)


def test_below_an_edges_task_the_graph_has_its_clients_tasks(hierarchy: Path) -> None:
    found = lineage(hierarchy, 2)
    graph = nx.read_graphml(io.BytesIO(as_graphml(found).encode()))
    for origin in found:
        for task in origin.tasks:
            edges = f"task {task.task}"
            below = {f"task {under.task} of a client": under for under in origin.clients[task.task]}
            assert set(graph.predecessors(edges)) == {f"version {task.base_version}", *below}
            for name, under in below.items():
                assert graph.nodes[name] == {"kind": "client task", "client": under.client}
                assert graph.edges[name, edges]["weight"] == under.weight


@pytest.mark.parametrize(("form", "render"), [("text", as_text), ("graphml", as_graphml)])
def test_the_command_gives_text_and_graphml(
    stale: Path, form: str, render: Callable[[Sequence[Any]], str]
) -> None:
    command = ["lineage", str(stale), "5", "--format", form]
    assert CliRunner().invoke(cli, command, standalone_mode=False).stdout == render(lineage(stale, 5))
