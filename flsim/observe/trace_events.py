"""The events that a trace is made of, and those of a task: its spans, and its arrow.

Format: "Trace Event Format", Google, 2016 (JSON object form).
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from flsim.observe.tables import Span, spans
from flsim.records import Outcome, TaskRecord

Event = dict[str, Any]

SERVER = 1  # process ids; a thread of the same number would pass for a process's main thread
EDGES = 20_000_000
CLIENTS = 30_000_000  # of the first device class; the others follow
NETWORK = 40_000_000
DISPATCHES_THREAD = 1  # thread ids are of all processes: a viewer may know a thread by its id alone
VERSIONS_THREAD = 2
FIRST_CLIENT_THREAD = 3
FIRST_EDGE_THREAD = EDGES + 1  # above those of all clients
_FIRST_EDGE_VERSIONS_THREAD = EDGES + 5_000_000
FIRST_AWAY_THREAD = 50_000_000
_MARKS_THREAD = 49_000_000

_TICK_US = 0.125


class Track(NamedTuple):
    """A line of the picture."""

    process: int
    thread: int


DISPATCHES = Track(SERVER, DISPATCHES_THREAD)
VERSIONS = Track(SERVER, VERSIONS_THREAD)
MARKS = Track(SERVER, _MARKS_THREAD)


class Asker(NamedTuple):
    """Who asks for tasks: where its dispatches stand, and where the versions that it makes.

    These are two tracks, since an arrow holds on to the span of its track that was opened last, and at the
    instant of a version the next tasks are dispatched.
    """

    dispatches: Track
    versions: Track


ON_SERVER = Asker(DISPATCHES, VERSIONS)


def edge_track(edge: int) -> Track:
    """Return the track of an edge server's work."""
    return Track(EDGES, edge + FIRST_EDGE_THREAD)


def on_edge(edge: int) -> Asker:
    """Return where an edge server asks, as part of its work, and where its versions stand."""
    return Asker(edge_track(edge), Track(EDGES, edge + _FIRST_EDGE_VERSIONS_THREAD))


def task_events(
    task: TaskRecord,
    worker: Track,
    asker: Asker,
    made_s: Mapping[int, float],
    *,
    attacked: bool = False,
    deadline_s: float | None = None,
) -> Iterator[Event]:
    """Yield a task's spans, the mark of its end if it failed, and its way to the version.

    `made_s`: when the versions of who asked for it were made. The span in which an attacked task computes
    is called `compute (attack)`. `deadline_s`: of who asked for it, from its dispatch on.
    """
    stages = spans(task)
    for stage in stages:
        facts: Event = {"task": task.task, "base version": task.base_version}
        if stage.stage == "compute":
            facts["samples"] = task.samples
        else:
            facts["bytes"] = task.bytes_down if stage.stage == "download" else task.bytes_up
        if stage is stages[-1]:
            facts["outcome"] = task.outcome.value
        start, end = microseconds(stage.start_s), microseconds(stage.end_s)
        name = "compute (attack)" if attacked and stage.stage == "compute" else stage.stage
        yield span(name, "task", worker, start, end, facts)
    ended = microseconds(task.ended_s)
    if task.outcome is not Outcome.AGGREGATED:
        mark: Event = {"task": task.task}
        if missed(task, deadline_s):
            mark["why"] = "deadline"
        yield moment(task.outcome.value, "outcome", worker, ended, mark)
    version = task.aggregated_version
    if version is not None and version in made_s:  # an interrupted run may lack it
        yield from _arrows(task, stages[-1], worker, asker, microseconds(made_s[version]))


def missed(task: TaskRecord, deadline_s: float | None) -> bool:
    """Whether a task was still under way when its deadline passed, and was discarded then."""
    if deadline_s is None or task.outcome is not Outcome.DISCARDED:
        return False
    return task.ended_s >= task.dispatched_s + deadline_s


def _arrows(
    task: TaskRecord, upload: Span, worker: Track, asker: Asker, aggregated: float
) -> Iterator[Event]:
    """Yield the arrow from dispatch to version, and the wait of the update at who asked for it."""
    ended = microseconds(upload.end_s)
    # A viewer takes a span to be open until just before its end, so the arrow holds on there.
    arrival = max(microseconds(upload.start_s), ended - _TICK_US)
    yield _flow("s", task, asker.dispatches, microseconds(task.dispatched_s))
    yield _flow("t", task, worker, arrival)
    yield _flow("f", task, asker.versions, aggregated)
    waiting: Event = {"name": "waiting", "cat": "waiting", "id": task.task}
    waiting |= {"pid": asker.versions.process, "tid": asker.versions.thread}
    facts = {"task": task.task, "client": task.client, "staleness": task.staleness}
    yield waiting | {"ph": "b", "ts": ended, "args": facts}
    yield waiting | {"ph": "e", "ts": max(ended, aggregated)}


def named(what: str, name: str, track: Track, place: int) -> Iterator[Event]:
    """Yield the name and the place of a process or of a track ("thread")."""
    common: Event = {"ph": "M", "pid": track.process, "tid": track.thread, "ts": 0.0}
    yield common | {"name": f"{what}_name", "args": {"name": name}}
    yield common | {"name": f"{what}_sort_index", "args": {"sort_index": place}}


def span(name: str, category: str, track: Track, start: float, end: float, facts: Event) -> Event:
    """Return what takes time, in microseconds."""
    common: Event = {"name": name, "cat": category, "ph": "X", "pid": track.process, "tid": track.thread}
    return common | {"ts": start, "dur": max(0.0, end - start), "args": facts}


def moment(name: str, category: str, track: Track, instant: float, facts: Event) -> Event:
    """Return what takes no time."""
    mark: Event = {"name": name, "cat": category, "ph": "i", "s": "t", "ts": instant}
    return mark | {"pid": track.process, "tid": track.thread, "args": facts}


def _flow(phase: str, task: TaskRecord, track: Track, instant: float) -> Event:
    common: Event = {"name": "task", "cat": "task", "ph": phase, "bp": "e", "id": task.task}
    return common | {"pid": track.process, "tid": track.thread, "ts": instant}


def counter(name: str, unit: str, process: int, instant: float, value: float | None) -> Event:
    """Return a value of a counter. A viewer shows its name and its unit."""
    return {"name": name, "ph": "C", "pid": process, "tid": process, "ts": instant, "args": {unit: value}}


def microseconds(seconds: float) -> float:
    """Return the nearest eighth of a microsecond.

    An eighth is exact as a float, as JSON and in a viewer's nanoseconds: spans that touch in the table
    touch on the screen, where a rounding error would make them overlap.
    """
    return round(seconds * 8e6) / 8
