"""The trace against the tables: every span, arrow and counter is where the rows say."""

import gzip
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import pairwise
from random import Random
from typing import Any

import pyarrow as pa
import pytest

from flsim.observe.excerpt import Excerpt
from flsim.observe.schemas import ABSENCES_SCHEMA, ENDING_SCHEMA, SECURE_SESSIONS_SCHEMA
from flsim.observe.sessions import phase_events
from flsim.observe.tables import spans
from flsim.observe.timeline import FIRST_CLIENT_THREAD, SERVER, Deadlines, timeline, write_timeline
from flsim.observe.trace_events import NETWORK
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
    counts = [event["args"]["tasks"] for event in where(events_of(tmp_path, run), name="in flight")]
    assert counts[-1] == 0
    assert min(counts) >= 0
    assert max(counts) > 1


def test_counters_of_version_and_accuracy(tmp_path, run):
    events = where(events_of(tmp_path, run), ph="C")
    assert [event["args"]["number"] for event in where(events, name="version")] == [
        row.version for row in run.versions
    ]
    for name, unit, column in (
        ("accuracy", "share", "accuracy"),
        ("staleness", "versions", "mean_staleness"),
    ):
        points = [(event["ts"], event["args"][unit]) for event in where(events, name=name)]
        rows = [row for row in run.versions if getattr(row, column) is not None]
        assert [value for _, value in points] == [getattr(row, column) for row in rows]
        assert [time for time, _ in points] == [pytest.approx(row.time_s * 1e6, abs=CLOSE) for row in rows]


def test_tracks_have_names(tmp_path, run):
    names = where(events_of(tmp_path, run), name="thread_name")
    clients = sorted({task.client for task in run.tasks})
    assert [event["args"]["name"] for event in names[:3]] == ["dispatches", "versions", "marks"]
    assert [int(event["args"]["name"].removeprefix("client ")) for event in names[3:]] == clients
    assert [event["tid"] for event in names[3:]] == [client + FIRST_CLIENT_THREAD for client in clients]
    processes = where(events_of(tmp_path, run), name="process_name")
    assert [event["args"]["name"] for event in processes] == ["server", "network", "clients: phone"]


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
    assert where(part["traceEvents"], name="in flight")[-1]["args"]["tasks"] == 0
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


def with_absences(run: Run, seed: int = 3) -> pa.Table:
    """Stretches between and across the tasks of some clients; the last of each third never ends."""
    random = Random(seed)
    rows = []
    for client in range(0, len(run.clients), 3):
        now = random.uniform(0, 20)
        for _ in range(4):
            rows.append({"client": client, "from_s": now, "until_s": now + random.uniform(1, 15)})
            now = rows[-1]["until_s"] + random.uniform(1, 30)
        if client % 2:
            rows[-1]["until_s"] = None
    return pa.Table.from_pylist(rows, schema=ABSENCES_SCHEMA)


def at_work_or_away(run: Run, absences: list[dict[str, Any]], now: float) -> tuple[int, int]:
    """Count tasks, and clients that have a task or are away, just after an instant."""
    tasks = [task for task in run.tasks if task.dispatched_s <= now < task.ended_s]
    away = {
        row["client"]
        for row in absences
        if row["from_s"] <= now and (row["until_s"] is None or now < row["until_s"])
    }
    return len(tasks), len(away | {task.client for task in tasks})


def test_idle_is_who_has_no_task_and_is_not_away(tmp_path, run):
    absences = with_absences(run)
    tables = replace(tables_of(tmp_path, run), absences=absences)
    events = timeline(tables, "test")["traceEvents"]
    idle, busy = (
        {event["ts"]: event["args"][unit] for event in where(events, name=name)}
        for name, unit in (("idle", "clients"), ("in flight", "tasks"))
    )
    rows = absences.to_pylist()
    assert len(idle) > 20
    for instant, count in idle.items():
        assert count == len(run.clients) - at_work_or_away(run, rows, instant / 1e6 + 1e-7)[1]
    for instant, count in busy.items():
        assert count == at_work_or_away(run, [], instant / 1e6 + 1e-7)[0]


def test_absences_are_spans_of_tracks_of_their_own(tmp_path, run):
    absences = with_absences(run)
    ending = pa.Table.from_pylist(
        [{"stop_reason": "time", "stop_detail": "", "virtual_time_s": 500.0}], schema=ENDING_SCHEMA
    )
    tables = replace(tables_of(tmp_path, run), absences=absences, ending=ending)
    events = timeline(tables, "test")["traceEvents"]
    names = {event["tid"]: event["args"]["name"] for event in where(events, name="thread_name")}
    drawn = [
        (event["args"]["client"], event["ts"], event["ts"] + event["dur"])
        for event in where(events, cat="away", ph="X")
    ]
    working = {task.client for task in run.tasks}
    expected = [
        (row["client"], row["from_s"] * 1e6, (row["until_s"] or 500.0) * 1e6)
        for row in absences.to_pylist()
        if row["client"] in working
    ]
    assert len(drawn) == len(expected) > 0
    for found, told in zip(sorted(drawn), sorted(expected), strict=True):
        assert found == pytest.approx(told, abs=CLOSE)
    for event in where(events, cat="away"):
        assert names[event["tid"]].endswith(f"{event['args']['client']} away")
    tasks = {event["tid"] for event in where(events, cat="task", ph="X")}
    assert not tasks & {event["tid"] for event in where(events, cat="away")}


def test_the_links_carry_the_bytes_of_the_stages(tmp_path, run):
    """The level is the sum of bytes over time of who transfers; the area is all bytes; it ends at zero."""
    events = events_of(tmp_path, run)
    for name, size, stage in (("server downlink", "bytes_down", 0), ("server uplink", "bytes_up", 2)):
        points = [(event["ts"] / 1e6, event["args"]["bit/s"]) for event in where(events, name=name)]
        transfers = [
            (spans(task)[stage].start_s, spans(task)[stage].end_s, getattr(task, size))
            for task in run.tasks
            if len(spans(task)) > stage
        ]
        for now, level in points:
            expected = sum(
                8 * moved / (end - start) for start, end, moved in transfers if start <= now + 1e-7 < end
            )
            assert level == pytest.approx(expected, rel=1e-4, abs=1.0)
        area = sum(level * (after - now) for (now, level), (after, _) in pairwise(points))
        assert area == pytest.approx(8 * sum(moved for *_, moved in transfers), rel=1e-6)
        assert points[-1][1] == 0.0
        assert {event["pid"] for event in where(events, name=name)} == {NETWORK}


def test_a_deadline_that_cut_tasks_off_is_a_mark(tmp_path):
    run = synchronous_run()  # rounds of 45 seconds at most
    tables = tables_of(tmp_path, run)
    events = timeline(tables, "test", deadlines=Deadlines(server=45.0))["traceEvents"]
    cut = [task for task in run.tasks if task.ended_s == task.dispatched_s + 45.0]
    other = [task for task in run.tasks if task.outcome is Outcome.DISCARDED and task not in cut]
    assert cut
    assert other
    marks = where(events, name="deadline")
    assert Counter({mark["ts"]: mark["args"]["tasks"] for mark in marks}) == Counter(
        round(task.ended_s * 8e6) / 8 for task in cut
    )
    why = {mark["args"]["task"]: mark["args"].get("why") for mark in where(events, name="discarded")}
    assert why == {task.task: "deadline" for task in cut} | {task.task: None for task in other}
    assert where(timeline(tables, "test")["traceEvents"], name="deadline") == []


def test_the_deadlines_of_a_scenario():
    sync = {"kind": "sync", "deadline": 9.0}
    assert Deadlines.of({"strategy": sync, "hierarchy": None}) == Deadlines(9.0, None)
    assert Deadlines.of({"strategy": {"kind": "fedasync"}, "hierarchy": {"strategy": sync}}) == (None, 9.0)


def test_a_process_for_each_device_class(tmp_path, run):
    tables = tables_of(tmp_path, run)
    classes = ["phone" if client % 3 else "laptop" for client in range(len(run.clients))]
    place = tables.clients.column_names.index("device_class")
    clients = tables.clients.set_column(place, "device_class", pa.array(classes))
    events = timeline(replace(tables, clients=clients), "test")["traceEvents"]
    processes = {event["pid"]: event["args"]["name"] for event in where(events, name="process_name")}
    assert len(set(processes.values())) == len(processes)
    for event in where(events, cat="task", ph="X"):
        client = event["tid"] - FIRST_CLIENT_THREAD
        assert processes[event["pid"]] == f"clients: {classes[client]}"
    tracks = {(event["pid"], event["tid"]) for event in events if event["ph"] in "Xi"}
    assert len({thread for _, thread in tracks}) == len(tracks)  # ids are of the whole file


def test_a_part_shows_whole_tasks_that_overlap_it(tmp_path, run):
    tables = replace(tables_of(tmp_path, run), absences=with_absences(run))
    part = Excerpt.of("0-2, 5", 10.0, 60.0)
    trace = timeline(tables, "test", part=part)
    events = trace["traceEvents"]
    wanted = {
        task.task
        for task in run.tasks
        if task.client in (0, 1, 2, 5) and task.dispatched_s <= 60.0 and task.ended_s >= 10.0
    }
    assert 0 < len(wanted) < len(run.tasks)
    drawn = where(events, cat="task", ph="X")
    assert {event["args"]["task"] for event in drawn} == wanted
    whole = timeline(tables, "test")["traceEvents"]
    assert drawn == [event for event in where(whole, cat="task", ph="X") if event["args"]["task"] in wanted]
    assert {event["args"]["client"] for event in where(events, cat="away")} <= {0, 1, 2, 5}
    counted = [event for event in events if event["ph"] == "C"]
    assert counted
    assert all(10e6 <= event["ts"] <= 60e6 for event in counted)
    assert "clients 0-2,5" in trace["otherData"]["note"]
    [note] = where(events, cat="note")
    assert note["args"]["note"] == trace["otherData"]["note"]
    before = [event["args"]["tasks"] for event in where(whole, name="in flight") if event["ts"] <= 10e6]
    assert where(events, name="in flight")[0]["args"]["tasks"] == before[-1]


def test_clients_that_are_named_are_all_shown_however_many_events(tmp_path):
    run = asynchronous_run(clients=60, tasks_each=10)
    trace = timeline(tables_of(tmp_path, run), "test", 500, part=Excerpt.of("0-29", None, None))
    drawn = {event["args"]["task"] for event in where(trace["traceEvents"], cat="task", ph="X")}
    assert drawn == {task.task for task in run.tasks if task.client < 30}
    assert "thinned" in trace["otherData"]["note"]


@pytest.mark.parametrize("clients", ["", "a", "3-1", "1,,2", "-4", "1-", "9" * 30])
def test_clients_that_make_no_sense(clients: str):
    with pytest.raises(ValueError, match=r"client|range"):
        Excerpt.of(clients, None, None)


@pytest.mark.parametrize(("first", "last"), [(5.0, 5.0), (7.0, 2.0), (-1.0, None)])
def test_stretches_that_make_no_sense(first: float, last: float | None):
    with pytest.raises(ValueError, match="must begin at zero or later"):
        Excerpt.of(None, first, last)


def test_of_many_sessions_some_are_shown_whole():
    phases = [(session, phase) for session in range(10) for phase in ("keys", "masked_input")]
    rows = {
        "session": [session for session, _ in phases],
        "phase": [phase for _, phase in phases],
        "members": 3, "dropped": 0, "threshold": 2,
        "started_s": [float(session) for session, _ in phases],
        "ended_s": [session + 0.5 for session, _ in phases],
        "bytes_up": 5, "bytes_down": 7, "mode": "fast", "outcome": "completed",
    }  # fmt: skip
    columns = {name: value if isinstance(value, list) else [value] * 20 for name, value in rows.items()}
    sessions = pa.table(columns, schema=SECURE_SESSIONS_SCHEMA)
    every, some = list(phase_events(sessions, None)), list(phase_events(sessions, 8))
    assert len(every) == 20
    assert [event["args"]["session"] for event in some] == [0, 0, 3, 3, 6, 6, 9, 9]
    assert some == [event for event in every if event["args"]["session"] % 3 == 0]
    assert some[2]["args"] == {
        "session": 3, "members": 3, "dropped": 0, "bytes up": 5, "bytes down": 7, "outcome": "completed",
    }  # fmt: skip


def test_deadlines_outside_of_a_part_are_not_marked(tmp_path):
    tables = tables_of(tmp_path, synchronous_run())
    deadlines = Deadlines(server=45.0)
    whole = where(timeline(tables, "test", deadlines=deadlines)["traceEvents"], name="deadline")
    assert whole
    part = Excerpt(until_s=min(mark["ts"] for mark in whole) / 1e6 - 0.001)  # the tasks are in it
    assert (
        where(timeline(tables, "test", part=part, deadlines=deadlines)["traceEvents"], name="deadline")
        == []
    )


@pytest.mark.parametrize(
    ("part", "told"),
    [
        (Excerpt(), ""),
        (Excerpt.of("0-9,17", None, None), "clients 0-9,17"),
        (Excerpt.of(None, 5, None), "what overlaps 5 s to the end"),
        (Excerpt.of("3", None, 20), "clients 3, what overlaps 0 s to 20 s"),
    ],
)
def test_an_excerpt_says_what_it_is_of(part: Excerpt, told: str) -> None:
    assert part.told() == told
