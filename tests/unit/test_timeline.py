"""The trace against the tables: every span, arrow and counter is where the rows say."""

import gzip
import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import pytest

from flsim.observe.tables import spans
from flsim.observe.timeline import FIRST_CLIENT_THREAD, SERVER, timeline, write_timeline
from flsim.records import Outcome
from tests.unit.recorded import Run, asynchronous_run, synchronous_run, tables_of

RUNS = [synchronous_run(), asynchronous_run(), synchronous_run(6, 3, trained=False)]
CLOSE = 0.0625  # half an eighth of a microsecond
Event = dict[str, Any]


@pytest.fixture(params=RUNS, ids=["synchronous", "asynchronous", "timing only"])
def run(request) -> Run:
    return request.param


def events_of(folder, run: Run) -> list[Event]:
    return timeline(tables_of(folder, run), "test")["traceEvents"]


def where(events: Iterable[Event], **facts: Any) -> list[Event]:
    return [event for event in events if all(event.get(key) == value for key, value in facts.items())]


def test_spans_are_the_stages_of_the_tasks(tmp_path, run):
    drawn = defaultdict(list)
    for event in where(events_of(tmp_path, run), ph="X", cat="task"):
        drawn[event["args"]["task"]].append(event)
    assert len(drawn) == len(run.tasks)
    for task in run.tasks:
        stages = spans(task)
        assert [event["name"] for event in drawn[task.task]] == [stage.stage for stage in stages]
        for event, stage in zip(drawn[task.task], stages, strict=True):
            assert event["tid"] == task.client + FIRST_CLIENT_THREAD
            assert event["ts"] == pytest.approx(stage.start_s * 1e6, abs=CLOSE)
            assert event["ts"] + event["dur"] == pytest.approx(stage.end_s * 1e6, abs=CLOSE)
        assert [event["args"].get("outcome") for event in drawn[task.task]][-1] == task.outcome.value


def test_stages_touch_exactly(tmp_path, run):
    tracks = defaultdict(list)
    for event in where(events_of(tmp_path, run), ph="X", cat="task"):
        tracks[event["args"]["task"]].append(event)
    for stages in tracks.values():
        for before, after in pairwise(stages):
            assert before["ts"] + before["dur"] == after["ts"]


def test_a_task_that_failed_is_marked_at_its_end(tmp_path, run):
    marks = where(events_of(tmp_path, run), ph="i")
    failed = {task.task: task for task in run.tasks if task.outcome is not Outcome.AGGREGATED}
    assert {mark["args"]["task"] for mark in marks} == failed.keys()
    for mark in marks:
        task = failed[mark["args"]["task"]]
        assert mark["name"] == task.outcome.value
        assert mark["ts"] == pytest.approx(task.ended_s * 1e6, abs=CLOSE)


def test_nothing_takes_negative_time_and_all_is_in_order(tmp_path, run):
    events = [event for event in events_of(tmp_path, run) if event["ph"] != "M"]
    assert all(event["dur"] >= 0 for event in where(events, ph="X"))
    assert [event["ts"] for event in events] == sorted(event["ts"] for event in events)


def test_arrows_lead_from_dispatch_by_the_upload_to_the_version(tmp_path, run):
    arrows = defaultdict(list)
    for event in events_of(tmp_path, run):
        if event["ph"] in ("s", "t", "f"):
            assert (event["cat"], event["bp"]) == ("task", "e")
            arrows[event["id"]].append(event)
    reached = {task.task: task for task in run.tasks if task.aggregated_version is not None}
    assert arrows.keys() == reached.keys()
    times = {row.version: row.time_s for row in run.versions}
    for number, (start, step, finish) in arrows.items():
        task = reached[number]
        assert [start["ph"], step["ph"], finish["ph"]] == ["s", "t", "f"]
        assert start["ts"] == pytest.approx(task.dispatched_s * 1e6, abs=CLOSE)
        assert step["ts"] == pytest.approx(task.ended_s * 1e6, abs=0.125 + CLOSE)
        assert finish["ts"] == pytest.approx(times[task.aggregated_version] * 1e6, abs=CLOSE)
        assert (start["pid"], finish["pid"]) == (SERVER, SERVER)
        assert step["tid"] == task.client + FIRST_CLIENT_THREAD


@pytest.mark.parametrize(
    ("phase", "holds"),
    [
        ("s", lambda span, task: span["name"] == "dispatch"),
        ("t", lambda span, task: span["name"] == "upload" and span["args"]["task"] == task),
        ("f", lambda span, task: span["cat"] == "version"),
    ],
    ids=["dispatch", "upload", "version"],
)
def test_a_viewer_ties_each_arrow_to_its_span(
    tmp_path, run, phase: str, holds: Callable[[Event, int], bool]
):
    """Read the file as Perfetto does: an arrow holds on to the span of its track that opened last."""
    opened: dict[tuple[int, int], list[Event]] = defaultdict(list)
    for event in events_of(tmp_path, run):
        track = opened[event["pid"], event["tid"]]
        if event["ph"] == "X":
            track.append(event)
        elif event["ph"] == phase:
            assert holds(track[-1], event["id"])
            assert track[-1]["ts"] <= event["ts"] <= track[-1]["ts"] + track[-1]["dur"]


def test_spans_of_the_server_never_cut_one_another(tmp_path, run):
    times = {}
    for event in where(events_of(tmp_path, run), ph="X", pid=SERVER):
        times[event["ts"]] = max(event["ts"] + event["dur"], times.get(event["ts"], 0.0))
    instants = sorted(times)
    assert all(times[instant] <= later for instant, later in pairwise(instants))


def test_dispatches_within_a_microsecond_do_not_cut_one_another(tmp_path):
    run = synchronous_run(6, 1)
    tasks = [
        task._replace(dispatched_s=task.dispatched_s + 0.25e-6 * place)
        for place, task in enumerate(run.tasks)
    ]
    server = where(events_of(tmp_path, run._replace(tasks=tasks)), name="dispatch")
    assert len(server) == len(tasks)
    assert all(before["ts"] + before["dur"] <= after["ts"] for before, after in pairwise(server))


def test_every_version_and_every_dispatch_is_on_the_server_track(tmp_path, run):
    events = where(events_of(tmp_path, run), ph="X", pid=SERVER)
    assert [event["args"]["version"] for event in where(events, cat="version")] == [
        row.version for row in run.versions
    ]
    assert sum(event["args"]["tasks"] for event in where(events, name="dispatch")) == len(run.tasks)


def test_waiting_begins_at_arrival_and_ends_at_the_version(tmp_path, run):
    waiting = where(events_of(tmp_path, run), cat="waiting")
    begun = {event["id"]: event["ts"] for event in where(waiting, ph="b")}
    ended = {event["id"]: event["ts"] for event in where(waiting, ph="e")}
    times = {row.version: row.time_s for row in run.versions}
    reached = [task for task in run.tasks if task.aggregated_version is not None]
    assert begun.keys() == ended.keys() == {task.task for task in reached}
    for task in reached:
        assert begun[task.task] == pytest.approx(task.ended_s * 1e6, abs=CLOSE)
        assert ended[task.task] == pytest.approx(times[task.aggregated_version] * 1e6, abs=CLOSE)


def test_tasks_in_flight_rise_and_return_to_zero(tmp_path, run):
    counts = [event["args"]["in flight"] for event in where(events_of(tmp_path, run), name="in flight")]
    assert counts[-1] == 0
    assert min(counts) >= 0
    assert max(counts) > 1


def test_counters_of_version_and_accuracy(tmp_path, run):
    events = where(events_of(tmp_path, run), ph="C")
    assert [event["args"]["version"] for event in where(events, name="version")] == [
        row.version for row in run.versions
    ]
    assert [event["args"]["accuracy"] for event in where(events, name="accuracy")] == [
        row.accuracy for row in run.versions if row.accuracy is not None
    ]


def test_tracks_have_names(tmp_path, run):
    names = where(events_of(tmp_path, run), name="thread_name")
    clients = sorted({task.client for task in run.tasks})
    assert names[0]["args"]["name"] == "server"
    assert [int(event["args"]["name"].removeprefix("client ")) for event in names[1:]] == clients
    assert [event["tid"] for event in names[1:]] == [client + FIRST_CLIENT_THREAD for client in clients]


def test_the_file_is_a_trace_and_the_same_every_time(tmp_path, run):
    tables = tables_of(tmp_path, run)
    paths = tmp_path / "one.json.gz", tmp_path / "two.json.gz"
    for path in paths:
        write_timeline(path, tables, "test")
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    assert first[4:8] == bytes(4)  # the header's date
    assert json.loads(gzip.decompress(first)) == timeline(tables, "test")
    assert json.loads(gzip.decompress(first)).keys() == {"traceEvents", "displayTimeUnit", "otherData"}


def test_a_large_run_shows_whole_clients_evenly_spaced_and_says_so(tmp_path):
    run = asynchronous_run(clients=60, tasks_each=10)
    tables = tables_of(tmp_path, run)
    whole = timeline(tables, "test")
    part = timeline(tables, "test", most_events=2_000)
    assert "note" not in whole["otherData"]
    assert len(part["traceEvents"]) < 2_000 < len(whole["traceEvents"])
    shown = sorted({event["tid"] for event in where(part["traceEvents"], cat="task", ph="X")})
    assert part["otherData"]["note"].startswith(f"{len(shown)} of the 60 clients")
    gaps = [after - before for before, after in pairwise(shown)]
    assert max(gaps) - min(gaps) <= 1
    assert shown[-1] - FIRST_CLIENT_THREAD >= 59 - max(gaps)
    for thread in shown:
        own = [task.task for task in run.tasks if task.client + FIRST_CLIENT_THREAD == thread]
        drawn = where(part["traceEvents"], cat="task", ph="X", tid=thread)
        assert {event["args"]["task"] for event in drawn} == set(own)
    assert where(part["traceEvents"], name="in flight")[-1]["args"]["in flight"] == 0
    arrows = [event["ph"] for event in part["traceEvents"] if event["ph"] in "stf"]
    assert arrows.count("s") == arrows.count("t") == arrows.count("f")


def test_a_version_that_was_not_written_leaves_no_half_arrow(tmp_path):
    run = synchronous_run()
    events = events_of(tmp_path, run._replace(versions=run.versions[:-1]))
    assert len(where(events, ph="s")) == len(where(events, ph="f")) > 0


def test_a_diverged_version_is_still_json(tmp_path):
    run = synchronous_run()
    versions = [row._replace(accuracy=float("nan"), loss=float("inf")) for row in run.versions]
    write_timeline(tmp_path / "t.json.gz", tables_of(tmp_path, run._replace(versions=versions)), "test")
    trace = json.loads(gzip.decompress((tmp_path / "t.json.gz").read_bytes()))
    assert where(trace["traceEvents"], name="accuracy") == []


def test_a_run_without_rows_is_a_trace(tmp_path):
    events = events_of(tmp_path, Run([], [], []))
    assert {event["ph"] for event in events} == {"M"}
