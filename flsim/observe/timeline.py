"""`timeline.json.gz`: a run as a trace that ui.perfetto.dev and chrome://tracing open.

The server is one track: a short span for each instant of dispatch and each version. Every client is a
track of its own with the spans of its tasks, and has another with those of its absences; the clients of a
device class are a process. An arrow (a flow) leads from a dispatch by way of the end of the upload to the
version that the update went into, an asynchronous span on the server shows how long the update waited
there, and counters show who is at work or idle, versions, and what the server's links carry.

With secure aggregation, a further track of the server has the phases of its sessions. In a hierarchy the
edge servers are a process: a track each with the spans of its tasks and a mark for each of its versions.
Arrows of clients' tasks lead from and to their edge's track.

Format: "Trace Event Format", Google, 2016 (JSON object form).
"""

import gzip
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute

from flsim.observe.excerpt import EVERYTHING, Excerpt
from flsim.observe.files import without_nan, write_bytes
from flsim.observe.sessions import SESSIONS, phase_events
from flsim.observe.states import end_of_run, fleet_size
from flsim.observe.tables import EdgeTables, Tables, task_records, version_records
from flsim.observe.trace_clients import ClientTracks
from flsim.observe.trace_counters import counters, thinned
from flsim.observe.trace_events import (
    DISPATCHES,
    FIRST_CLIENT_THREAD,
    MARKS,
    NETWORK,
    ON_SERVER,
    SERVER,
    VERSIONS,
    Event,
    Track,
    edge_track,
    microseconds,
    missed,
    moment,
    named,
    on_edge,
    span,
    task_events,
)
from flsim.observe.trace_sample import Sample, sampled
from flsim.records import EdgeVersionRecord, TaskRecord, VersionRecord

__all__ = ["FIRST_CLIENT_THREAD", "SERVER", "Deadlines", "timeline", "write_timeline"]

MOST_EVENTS = 200_000

_MOMENT_US = 1.0  # how long an instant of the server is drawn, so that an arrow finds something to hold


class Deadlines(NamedTuple):
    """Seconds from dispatch that the server, and the edges of a hierarchy, give a task; None: no limit."""

    server: float | None = None
    edges: float | None = None

    @classmethod
    def of(cls, scenario: Mapping[str, Any]) -> "Deadlines":
        """Return those of a resolved scenario."""
        hierarchy = scenario.get("hierarchy") or {}
        strategies = (scenario.get("strategy") or {}, hierarchy.get("strategy") or {})
        return cls(*(strategy.get("deadline") for strategy in strategies))


def _line(event: Event) -> str:
    try:
        return json.dumps(event, separators=(",", ":"), allow_nan=False)
    except ValueError:  # a number that no run has, in tables that somebody has changed
        return json.dumps(without_nan(event), separators=(",", ":"))


def write_timeline(
    path: Path,
    tables: Tables,
    name: str,
    most_events: int = MOST_EVENTS,
    *,
    deadlines: Deadlines = Deadlines(),  # noqa: B008 - it is immutable
    part: Excerpt = EVERYTHING,
) -> None:
    """Write the trace of a run to `path`; the same tables give the same bytes.

    name: the run's, for the reader. Raises RunError if the file cannot be written.
    """
    trace = timeline(tables, name, most_events, deadlines=deadlines, part=part)
    head = {key: value for key, value in trace.items() if key != "traceEvents"}
    lines = ",\n".join(map(_line, trace["traceEvents"]))
    text = f'{json.dumps(head, sort_keys=True)[:-1]}, "traceEvents": [\n{lines}\n]}}\n'
    packed = io.BytesIO()
    with gzip.GzipFile("timeline.json", "wb", 6, packed, mtime=0) as file:
        file.write(text.encode())
    write_bytes(path, packed.getvalue())


def timeline(
    tables: Tables,
    name: str,
    most_events: int = MOST_EVENTS,
    *,
    deadlines: Deadlines = Deadlines(),  # noqa: B008 - it is immutable
    part: Excerpt = EVERYTHING,
) -> Event:
    """Return the trace of a run, or of a part of it. Times are virtual microseconds.

    A run of more than `most_events` events shows the whole of some clients, evenly spaced by id, with
    thinner counters, unless the part says which clients. `otherData.note` says so, and a mark of that name.
    """
    sample = sampled(tables, part, most_events)
    most = sample.most_points
    versions = {row.version: row for row in version_records(tables.versions)}
    attacked = frozenset(() if tables.attacked_tasks is None else tables.attacked_tasks["task"].to_pylist())
    edges, sessions = tables.edges, tables.secure_sessions
    tracks = ClientTracks(tables.clients)
    tasks = _in_order(sample.tasks)
    asked = tasks if sample.edge_tasks is None else _in_order(sample.edge_tasks)  # by the server
    shown = _shown_versions(versions, asked, part, most)
    made_s = {row.version: row.time_s for row in versions.values()}
    events = [*_server_spans(asked, shown), *_deadlines(asked, deadlines.server, part)]
    inside = [row for row in shown if row.time_s in part]
    events += counters(tables, fleet_size(tables), inside, part, most)
    for task in asked:
        worker = tracks.work(task.client) if edges is None else edge_track(task.client)
        late = deadlines.server
        events += task_events(
            task, worker, ON_SERVER, made_s, attacked=task.task in attacked, deadline_s=late
        )
    if edges is not None:
        events += _below_edges(tasks, edges, tracks, deadlines.edges, part, most)
    if sessions is not None:
        events += phase_events(part.overlapping(sessions, "started_s", "ended_s"), most)
    if sample.absences is not None:
        events += tracks.away_events(sample.absences, end_of_run(tables))
    events.sort(key=_place)
    other = {"run": name, "simulator": "flsim", "time": "virtual"}
    if sample.note:
        other["note"] = sample.note
        first = events[0]["ts"] if events else 0.0
        events.insert(0, moment("note", "note", MARKS, first, {"note": sample.note}))
    return {
        "displayTimeUnit": "ms",
        "otherData": other,
        "traceEvents": [*_names(tables, sample, tracks), *events],
    }


def _in_order(tasks: pa.Table) -> list[TaskRecord]:
    return sorted(task_records(tasks), key=lambda task: (task.dispatched_s, task.task))


def _below_edges(
    tasks: list[TaskRecord],
    edges: EdgeTables,
    tracks: ClientTracks,
    deadline_s: float | None,
    part: Excerpt,
    most_points: int | None,
) -> Iterator[Event]:
    """Yield the clients' tasks, and a mark for every version of an edge's (thinned by number)."""
    rows = [EdgeVersionRecord(*row.values()) for row in edges.versions.to_pylist()]
    made_s: dict[int, dict[int, float]] = {}
    for row in rows:
        made_s.setdefault(row.edge, {})[row.version] = row.time_s
    for task in tasks:
        edge = int(edges.of_client[task.client])
        worker, asker = tracks.work(task.client), on_edge(edge)
        yield from task_events(task, worker, asker, made_s.get(edge, {}), deadline_s=deadline_s)
    rows = [row for row in rows if row.time_s in part]
    for place in thinned(len(rows), most_points):
        edge, version, time_s, count, mean_staleness = rows[place]
        facts = {"tasks": count, "mean staleness": mean_staleness} if count else {}
        track = on_edge(edge).versions
        yield moment(f"version {version}", "edge version", track, microseconds(time_s), facts)


def _shown_versions(
    versions: dict[int, VersionRecord], tasks: list[TaskRecord], part: Excerpt, most_points: int | None
) -> list[VersionRecord]:
    """Return the versions of the stretch, thinned, and those that the tasks' arrows lead to."""
    rows = [row for row in versions.values() if row.time_s in part]
    kept = {rows[index].version for index in thinned(len(rows), most_points)}
    kept |= {task.aggregated_version for task in tasks if task.aggregated_version is not None}
    return [row for row in versions.values() if row.version in kept]


def _deadlines(tasks: list[TaskRecord], deadline_s: float | None, part: Excerpt) -> Iterator[Event]:
    """Yield a mark for each instant at which a deadline passed with tasks still under way."""
    cut = Counter(microseconds(task.ended_s) for task in tasks if missed(task, deadline_s))
    for instant, count in cut.items():
        if instant / 1e6 in part:
            yield moment("deadline", "deadline", MARKS, instant, {"tasks": count})


def _server_spans(tasks: list[TaskRecord], versions: list[VersionRecord]) -> Iterator[Event]:
    """Yield the versions, then the dispatches: one span per instant of each."""
    dispatched: dict[float, list[TaskRecord]] = {}
    for task in tasks:
        dispatched.setdefault(microseconds(task.dispatched_s), []).append(task)
    instants = sorted({microseconds(row.time_s) for row in versions} | dispatched.keys())
    lengths = dict.fromkeys(instants, _MOMENT_US)
    for instant, following in pairwise(instants):
        lengths[instant] = min(_MOMENT_US, following - instant)
    for row in versions:
        instant = microseconds(row.time_s)
        facts: Event = {"version": row.version, "tasks": row.tasks, "mean staleness": row.mean_staleness}
        facts |= {"accuracy": row.accuracy, "loss": row.loss, "model_sha256": row.model_sha256}
        known = {key: value for key, value in facts.items() if without_nan(value) is not None}
        title = f"version {row.version}"
        yield span(title, "version", VERSIONS, instant, instant + lengths[instant], known)
    for instant, group in dispatched.items():
        facts = {"tasks": len(group), "base versions": sorted({task.base_version for task in group})}
        yield span("dispatch", "dispatch", DISPATCHES, instant, instant + lengths[instant], facts)


def _place(event: Event) -> tuple[float, int]:
    """Return where an event stands in the file: an arrow holds on to the span last opened on its track.

    Arrows come after the spans of their instant. Sorting keeps all else as it was made, a task before the
    client's next.
    """
    return event["ts"], event["ph"] in "stf"


def _names(tables: Tables, sample: Sample, tracks: ClientTracks) -> Iterator[Event]:
    """Yield the names and the order of the processes and of the tracks."""
    yield from named("process", "server", DISPATCHES, 0)
    yield from named("thread", "dispatches", DISPATCHES, 0)
    yield from named("thread", "versions", VERSIONS, 1)
    if tables.secure_sessions is not None:
        yield from named("thread", "secure aggregation", SESSIONS, 2)
    yield from named("thread", "marks", MARKS, 3)
    yield from named("process", "network", Track(NETWORK, NETWORK), 1)
    if (edges := tables.edges) is not None:
        yield from named("process", "edges", edge_track(0), 2)
        for edge in compute.unique(edges.versions["edge"]).sort().to_pylist():
            yield from named("thread", f"edge {edge}", edge_track(edge), 2 * edge)
            yield from named("thread", f"edge {edge}: versions", on_edge(edge).versions, 2 * edge + 1)
    ids = [sample.tasks["client"]]
    away: frozenset[int] = frozenset()
    if sample.absences is not None:
        ids.append(sample.absences["client"])
        away = frozenset(sample.absences["client"].to_pylist())
    shown = np.unique(np.concatenate([column.to_numpy() for column in ids]))
    yield from tracks.names(shown, away, 3)
