"""A hierarchy as a user meets it: its files, its figures, and its ending by hand."""

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest

from flsim.observe.tables import Tables, read_tables, records_sha256
from flsim.observe.timeline import FIRST_CLIENT_THREAD, SERVER, timeline
from flsim.observe.trace_events import EDGES, FIRST_EDGE_THREAD, on_edge
from tests.integration.command import SCENARIOS, command_line, flsim, start, summary_of

SCENARIO = SCENARIOS / "hierarchy.yaml"
QUICK = ("--set", "stop.updates=4", "--set", "output.plots=false")
EDGE_TABLES = {"edge_tasks.parquet", "edge_versions.parquet"}
LOUD = """\
import sys

from flsim.policy import Sync


class Loud(Sync):
    kind: str = "loud"

    def decide(self, view):
        if view.version == 200:
            sys.stderr.write("under way\\n")
            sys.stderr.flush()
        return super().decide(view)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cwd = tmp_path_factory.mktemp("hierarchy")
    done = flsim(SCENARIO, *QUICK, "--out", "out", cwd=cwd)
    assert done.returncode == 0, done.stderr
    assert "Edges: 20 tasks, 60 updates; backbone " in done.stdout
    return cwd / "out" / "hierarchy"


@pytest.fixture(scope="module")
def tables(folder: Path) -> Tables:
    return read_tables(folder)


def test_the_tables_of_edges_are_there_and_hashed(folder: Path, tables: Tables) -> None:
    assert {path.name for path in folder.iterdir()} >= EDGE_TABLES
    assert tables.edges is not None
    assert records_sha256(tables) == summary_of(folder)["records_sha256"]
    without = Tables(tables.tasks, tables.versions, tables.clients)
    assert records_sha256(without) != summary_of(folder)["records_sha256"]


def test_the_bytes_below_and_above_the_edges_are_told_apart(folder: Path, tables: Tables) -> None:
    summary, model = summary_of(folder), 9640
    assert tables.edges is not None
    edges = summary["edges"]
    assert edges["tasks"]["dispatched"] == edges["tasks"]["aggregated"] == 20
    assert (edges["bytes_up"], edges["bytes_down"]) == (20 * model, 20 * model)
    assert summary["bytes_up"] == int(tables.tasks["bytes_up"].to_numpy().sum())
    assert summary["tasks"]["dispatched"] == tables.tasks.num_rows
    assert summary["updates"] == 4
    communication = json.loads((folder / "communication.json").read_text())
    assert communication["bytes_up"] == summary["bytes_up"]
    backbone = communication["backbone"]
    assert backbone["bytes_up"] == edges["bytes_up"]
    assert backbone["edges"] == [
        {"edge": edge, "tasks": 4, "bytes_up": 4 * model, "bytes_down": 4 * model} for edge in range(5)
    ]
    assert [row["bytes_up"] for row in backbone["versions"]] == [0] + [5 * model] * 4


def test_every_client_has_an_edge(folder: Path) -> None:
    clients = parquet.read_table(folder / "clients.parquet")
    assert clients["edge"].to_pylist() == [client // 8 for client in range(40)]


def test_the_training_loss_of_a_version_is_that_of_the_edges(folder: Path, tables: Tables) -> None:
    metrics = json.loads((folder / "metrics.json").read_text())["versions"]
    assert tables.edges is not None
    versions = tables.edges.tasks["aggregated_version"].to_numpy()
    losses = tables.edges.tasks["train_loss"].to_numpy()
    for row in metrics[1:]:
        assert row["mean_train_loss"] == pytest.approx(float(losses[versions == row["version"]].mean()))


@pytest.mark.slow
def test_what_it_took_to_an_accuracy_counts_the_clients_updates(tmp_path: Path) -> None:
    done = flsim(SCENARIO, *QUICK, "--set", "stop.accuracy=0.5", "--out", tmp_path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "hierarchy"
    reached, tables = summary_of(folder)["to_accuracy"], read_tables(folder)
    used = tables.tasks["aggregated_version"].is_valid().to_numpy()
    ends = tables.tasks["ended_s"].to_numpy()
    assert reached["client_updates"] == int(np.sum(used & (ends <= reached["time_s"]))) > 100


@pytest.mark.slow
def test_another_process_gives_the_same_bits_and_so_does_timing_only(folder: Path, tmp_path: Path) -> None:
    again = flsim(SCENARIO, *QUICK, "--out", "again", cwd=tmp_path, PYTHONHASHSEED="3")
    timed = flsim(SCENARIO, *QUICK, "--out", "timed", "--timing-only", cwd=tmp_path)
    assert (again.returncode, timed.returncode) == (0, 0), again.stderr + timed.stderr
    first, second = summary_of(folder), summary_of(tmp_path / "again" / "hierarchy")
    assert first | {"wall_time_s": 0} == second | {"wall_time_s": 0}
    assert summary_of(tmp_path / "timed" / "hierarchy")["records_sha256"] == first["records_sha256"]


@pytest.mark.slow
def test_a_flat_run_in_the_same_folder_leaves_no_table_of_edges(tmp_path: Path) -> None:
    flat = ("--set", "hierarchy=null", "--set", "strategy.cohort=all")
    for options in ((), flat):
        done = flsim(SCENARIO, *QUICK, "--timing-only", *options, "--out", "out", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    folder = tmp_path / "out" / "hierarchy"
    assert not EDGE_TABLES & {path.name for path in folder.iterdir()}
    assert "edges" not in summary_of(folder)
    assert "edge" not in parquet.read_table(folder / "clients.parquet").column_names


def test_an_interrupted_hierarchy_leaves_complete_records(tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text(LOUD)
    kind = '--set=hierarchy.strategy={kind: "loud:Loud", cohort: all}'
    options = ("--set=hierarchy.rounds=1000000", "--set=output.plots=false", "--timing-only")
    started = start(command_line(SCENARIO, kind, *options, "--out", "out"), tmp_path)
    started.wait_for_text("under way")
    started.process.send_signal(signal.SIGINT)
    code, _, err = started.end()
    assert code == 130
    assert "Traceback" not in err
    folder = tmp_path / "out" / "hierarchy"
    summary, tables = summary_of(folder), read_tables(folder)
    assert summary["stop_reason"] == "interrupted"
    assert tables.edges is not None
    assert summary["edges"]["tasks"]["unfinished"] == tables.edges.tasks.num_rows == 5
    assert records_sha256(tables) == summary["records_sha256"]
    assert tables.tasks.num_rows == summary["tasks"]["dispatched"] > 200


@pytest.mark.slow
def test_describe_says_what_hangs_under_which_edge(tmp_path: Path) -> None:
    done = flsim("describe", SCENARIO, cwd=tmp_path)
    assert "Edge servers: 5\n" in done.stdout
    assert "  edge-0: clients 0 to 7, sync, updates a task: 3\n" in done.stdout
    assert "  edge-4: clients 32 to 39, fedbuff, updates a task: 3\n" in done.stdout
    many = flsim("describe", SCENARIO, "--set", "network.topology.levels=" + json.dumps(
        [{"name": "edge", "nodes": 40, "downlink": 1e6, "uplink": 1e6}]
    ), "--set", "hierarchy.nodes={}", cwd=tmp_path)  # fmt: skip
    assert "… 20 more …" in many.stdout
    assert "edge-39: clients 39 to 39" in many.stdout


# The timeline


def events(tables: Tables) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = timeline(tables, "test")["traceEvents"]
    return found


def test_edges_are_a_process_of_the_timeline(tables: Tables) -> None:
    assert tables.edges is not None
    names = {event["args"]["name"] for event in events(tables) if event["name"] == "process_name"}
    assert names == {"server", "network", "edges", "clients: default"}
    spans = [event for event in events(tables) if event["pid"] == EDGES and event["ph"] == "X"]
    assert len(spans) == 3 * tables.edges.tasks.num_rows
    assert {event["tid"] - FIRST_EDGE_THREAD for event in spans} == set(range(5))
    marks = [event for event in events(tables) if event.get("cat") == "edge version"]
    assert sorted(event["ts"] for event in marks) == pytest.approx(
        sorted(tables.edges.versions["time_s"].to_numpy() * 1e6), abs=0.0625
    )


def test_arrows_lead_from_the_server_to_edges_and_from_edges_to_their_clients(tables: Tables) -> None:
    assert tables.edges is not None
    arrows: dict[int, list[dict[str, Any]]] = {}
    for event in events(tables):
        if event["ph"] in "stf" and event.get("cat") == "task":
            arrows.setdefault(event["id"], []).append(event)
    of_edges = {row["task"]: row for row in tables.edges.tasks.to_pylist()}
    of_clients = {row["task"]: row for row in tables.tasks.to_pylist() if row["outcome"] == "aggregated"}
    assert arrows.keys() == of_edges.keys() | of_clients.keys()
    made_s = {(row["edge"], row["version"]): row["time_s"] for row in tables.edges.versions.to_pylist()}
    for number, row in of_clients.items():
        start_, step, finish = arrows[number]
        edge = row["client"] // 8
        assert (start_["tid"], finish["tid"]) == (FIRST_EDGE_THREAD + edge, on_edge(edge).versions.thread)
        assert {start_["pid"], finish["pid"]} == {EDGES}
        assert step["tid"] == row["client"] + FIRST_CLIENT_THREAD
        assert finish["ts"] == pytest.approx(made_s[edge, row["aggregated_version"]] * 1e6, abs=0.0625)
    for number, row in of_edges.items():
        start_, step, finish = arrows[number]
        assert (start_["pid"], step["pid"], finish["pid"]) == (SERVER, EDGES, SERVER)
        assert step["tid"] == row["client"] + FIRST_EDGE_THREAD


def test_a_large_hierarchy_shows_some_clients_and_all_edges(tables: Tables) -> None:
    part = timeline(tables, "test", most_events=2_000)
    assert "of the 40 clients" in part["otherData"]["note"]
    tracks = {(event["pid"], event["tid"]) for event in part["traceEvents"] if event["ph"] == "X"}
    assert len([pid for pid, _ in tracks if pid == EDGES]) == 5
    assert len(tracks) < 30
