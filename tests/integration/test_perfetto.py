"""The trace of a run in SQL: it has exactly the tasks, stages and counters of the records.

Here a reader of ours answers; tests/browser/test_perfetto.py asks Perfetto's own trace processor the same.
"""

from pathlib import Path

import pyarrow.parquet as parquet
import pytest

from flsim.observe.excerpt import Excerpt
from flsim.observe.export import export
from flsim.observe.tables import read_tables, spans, task_records
from flsim.running import run
from flsim.scenario import read_scenario, scenario_from
from tests.integration.command import SCENARIOS
from tests.perfetto import Query, ours

TICK_NS = 125  # an eighth of a microsecond: what the file's times are rounded to


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clients that come and go, pause, crash and are late, in two device classes."""
    out = tmp_path_factory.mktemp("runs")
    classes = [
        {"name": "phone", "share": 0.7, "compute": {"kind": "speed", "flops": "1 GFLOP/s"}},
        {"name": "laptop", "share": 0.3, "compute": {"kind": "speed", "flops": "4 GFLOP/s"}},
    ]
    scenario = read_scenario(
        SCENARIOS / "edge_outage.yaml",
        [
            "fleet.clients=60",
            "strategy.cohort=15",
            "stop.time=40 min",
            f"output.dir={out}",
            "output.plots=false",
        ],
    )
    data = scenario.model_dump(mode="json")
    del data["fleet"]["compute"]
    del data["fleet"]["power"]
    data["fleet"]["classes"] = classes
    return run(scenario_from(data)).folder


@pytest.fixture(scope="module")
def query(folder: Path) -> Query:
    return ours(folder / "timeline.json.gz")


def ns(seconds: float) -> int:
    """Return an instant as the file has it, in nanoseconds."""
    return round(seconds * 8e6) * TICK_NS


def test_the_stages_of_every_task_are_there_and_nothing_else(folder: Path, query: Query) -> None:
    found = query(
        """
        SELECT extract_arg(s.arg_set_id, 'args.task') AS task, s.name, s.ts, s.dur, t.name AS client,
          p.name AS class
        FROM slice s JOIN thread_track tt ON s.track_id = tt.id
        JOIN thread t USING (utid) JOIN process p USING (upid)
        WHERE s.category = 'task'
        """
    )
    tables = read_tables(folder)
    classes = tables.clients["device_class"].to_pylist()
    assert len(set(classes)) == 2
    expected = [
        (
            task.task,
            stage.stage,
            ns(stage.start_s),
            ns(stage.end_s) - ns(stage.start_s),
            f"client {task.client:02}",
            f"clients: {classes[task.client]}",
        )
        for task in task_records(tables.tasks)
        for stage in spans(task)
    ]
    assert len(expected) > 500
    assert sorted(found) == sorted(expected)


def test_the_duration_of_every_task_is_that_of_its_row(folder: Path, query: Query) -> None:
    """To the tick of the file: its seconds are rounded once at each end."""
    found = dict(
        query(
            "SELECT extract_arg(arg_set_id, 'args.task') AS task, max(ts + dur) - min(ts) AS dur "
            "FROM slice WHERE category = 'task' GROUP BY 1"
        )
    )
    rows = parquet.read_table(folder / "tasks.parquet").to_pylist()
    assert found.keys() == {row["task"] for row in rows}
    for row in rows:
        assert abs(found[row["task"]] - (row["ended_s"] - row["dispatched_s"]) * 1e9) <= TICK_NS + 1


def test_outcomes_are_counted_as_in_the_records(folder: Path, query: Query) -> None:
    tasks = parquet.read_table(folder / "tasks.parquet").to_pandas()
    counts = tasks[tasks.outcome != "aggregated"].groupby("outcome", observed=True).size().to_dict()
    assert {"discarded", "dropped"} <= counts.keys()
    found = query("SELECT name, count(*) AS marks FROM slice WHERE category = 'outcome' GROUP BY name")
    assert dict(found) == counts


def test_absences_are_those_of_the_records(folder: Path, query: Query) -> None:
    tables = read_tables(folder)
    assert tables.absences is not None
    assert tables.ending is not None
    [end_s] = tables.ending["virtual_time_s"].to_pylist()
    shown = set(tables.tasks["client"].to_pylist())
    expected = [
        (row["client"], ns(row["from_s"]), ns(end_s if row["until_s"] is None else row["until_s"]))
        for row in tables.absences.to_pylist()
        if row["client"] in shown
    ]
    assert len(expected) > 20
    found = query(
        "SELECT extract_arg(arg_set_id, 'args.client') AS client, ts, ts + dur AS until "
        "FROM slice WHERE category = 'away'"
    )
    assert sorted(found) == sorted(expected)


def test_updates_wait_from_their_arrival_to_their_version(folder: Path, query: Query) -> None:
    tables = read_tables(folder)
    made_s = dict(zip(*(tables.versions[name].to_pylist() for name in ("version", "time_s")), strict=True))
    expected = [
        (task.task, ns(task.ended_s), ns(made_s[task.aggregated_version]))
        for task in task_records(tables.tasks)
        if task.aggregated_version is not None
    ]
    found = query(
        "SELECT extract_arg(arg_set_id, 'args.task') AS task, ts, ts + dur AS until "
        "FROM slice WHERE category = 'waiting'"
    )
    assert sorted(found) == sorted(expected)


def test_an_arrow_leads_from_every_dispatch_by_the_upload_to_the_version(
    folder: Path, query: Query
) -> None:
    found = query(
        """
        SELECT a.name AS first, b.name AS second, extract_arg(b.arg_set_id, 'args.task') AS task,
          c.name AS version
        FROM flow f JOIN flow g ON f.slice_in = g.slice_out
        JOIN slice a ON f.slice_out = a.id JOIN slice b ON f.slice_in = b.id
        JOIN slice c ON g.slice_in = c.id
        """
    )
    expected = [
        ("dispatch", "upload", task.task, f"version {task.aggregated_version}")
        for task in task_records(read_tables(folder).tasks)
        if task.aggregated_version is not None
    ]
    assert sorted(found) == sorted(expected)


def test_counters_have_the_last_word_of_the_records(folder: Path, query: Query) -> None:
    found = query(
        """
        SELECT t.name, p.name AS process, c.value
        FROM counter c JOIN process_counter_track t ON c.track_id = t.id JOIN process p USING (upid)
        ORDER BY c.ts, c.id
        """
    )
    last = {(process, name): value for name, process, value in found}
    tables = read_tables(folder)
    assert last["server", "in flight tasks"] == 0.0
    assert last["server", "version number"] == max(tables.versions["version"].to_pylist())
    assert last["network", "server downlink bit/s"] == last["network", "server uplink bit/s"] == 0.0
    assert ("server", "idle clients") in last
    assert ("server", "staleness versions") in last


def test_a_part_has_the_tasks_of_the_part(folder: Path, tmp_path: Path) -> None:
    part = Excerpt.of("0-9,17", 600.0, 1200.0)
    query = ours(export(folder, "perfetto", tmp_path / "part.json.gz", part))
    found = query("SELECT DISTINCT extract_arg(arg_set_id, 'args.task') FROM slice WHERE category = 'task'")
    assert {task for (task,) in found} == {
        task.task
        for task in task_records(read_tables(folder).tasks)
        if task.client in (*range(10), 17) and task.ended_s >= 600.0 and task.dispatched_s <= 1200.0
    }


@pytest.fixture(scope="module")
def edges_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with edge servers."""
    out = tmp_path_factory.mktemp("edges")
    changes = ["stop.updates=6", f"output.dir={out}", "output.plots=false"]
    return run(read_scenario(SCENARIOS / "hierarchy.yaml", changes), timing_only=True).folder


@pytest.fixture(scope="module")
def edges_query(edges_folder: Path) -> Query:
    return ours(edges_folder / "timeline.json.gz")


def test_in_a_hierarchy_arrows_lead_to_the_version_of_the_edge(
    edges_folder: Path, edges_query: Query
) -> None:
    """The arrows of clients' tasks end at edges, those of the edges' at the server."""
    found = edges_query(
        """
        SELECT b.name AS second, c.name AS version, t.name AS track
        FROM flow f JOIN flow g ON f.slice_in = g.slice_out
        JOIN slice b ON f.slice_in = b.id JOIN slice c ON g.slice_in = c.id
        JOIN thread_track tt ON c.track_id = tt.id JOIN thread t USING (utid)
        """
    )
    tables = read_tables(edges_folder)
    assert tables.edges is not None
    edge_of = tables.edges.of_client
    expected = [
        ("upload", f"version {task.aggregated_version}", f"edge {edge_of[task.client]}: versions")
        for task in task_records(tables.tasks)
        if task.aggregated_version is not None
    ]
    expected += [
        ("upload", f"version {task.aggregated_version}", "versions")
        for task in task_records(tables.edges.tasks)
        if task.aggregated_version is not None
    ]
    assert len(expected) > 50
    assert sorted(found) == sorted(expected)
