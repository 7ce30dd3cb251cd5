"""OpenTelemetry's traces as JSON: one ExportTraceServiceRequest, for Jaeger, Tempo and other backends.

A task is a trace: a span with a child for each of its stages, and a link to the span of the version that
it went into. A version is a trace of one span, which takes no time. Resources are the server, and the
clients of each device class. Virtual time zero is the Unix epoch, and instants are to the nanosecond.

Ids are hashes of the records, so the same records give the same bytes, and two runs different ids.

Format: OpenTelemetry Protocol 1.x, "JSON Protobuf Encoding": ids in hexadecimal, 64-bit integers as text,
enums as numbers, names in lowerCamelCase.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from flsim.observe.excerpt import Excerpt
from flsim.observe.files import whole_file
from flsim.observe.report.run_facts import Recorded
from flsim.observe.tables import records_sha256, spans, task_records, version_records
from flsim.records import Outcome, TaskRecord, VersionRecord

_INTERNAL = 1  # SpanKind
_UNSET, _OK, _ERROR = 0, 1, 2  # Status.StatusCode
_STATUS = {Outcome.AGGREGATED: _OK, Outcome.UNFINISHED: _UNSET}  # all others failed
_SECOND_NS = 1_000_000_000
_VERSION_FACTS = ("tasks", "mean_staleness", "accuracy", "loss", "model_sha256", "epsilon")
_TASK_FACTS = ("client", "base_version", "aggregated_version", "staleness", "weight", "samples")
_TASK_SUMS = ("bytes_down", "bytes_up", "train_loss", "energy_j")
_STAGE_BYTES = {"download": "bytes_down", "upload": "bytes_up"}


def write_otlp_json(run: Recorded, out: Path, part: Excerpt) -> None:
    """Write a part of a run to the file `out`. Raises RunError if it cannot be written."""
    with whole_file(out) as file:
        file.write(b'{"resourceSpans":[')
        for place, (resource, found) in enumerate(_resources(run, part)):
            head = json.dumps({"attributes": _attributes(resource)}, separators=(",", ":"))
            scope = '[{"scope":{"name":"flsim"},"spans":['
            file.write(f'{"," if place else ""}{{"resource":{head},"scopeSpans":{scope}'.encode())
            for number, span in enumerate(found):
                text = json.dumps(span, separators=(",", ":"), allow_nan=False)
                file.write(f"{',' if number else ''}{text}".encode())
            file.write(b"]}]}")
        file.write(b"]}\n")


def _resources(
    run: Recorded, part: Excerpt
) -> Iterator[tuple[dict[str, Any], Iterator[Mapping[str, Any]]]]:
    """Yield each resource with its spans. All versions of the stretch are there, and those linked to."""
    tables, ids = run.tables, Ids(records_sha256(run.tables))
    tasks = list(task_records(part.spans(tables.tasks, "dispatched_s", "ended_s")))
    linked = set() if tables.edges is not None else {task.aggregated_version for task in tasks}
    versions = [
        row for row in version_records(tables.versions) if row.time_s in part or row.version in linked
    ]
    common = {"flsim.run": run.name, "flsim.records_sha256": ids.records}
    yield {"service.name": "flsim server", **common}, (_version(row, ids) for row in versions)
    known = frozenset(row.version for row in versions) if tables.edges is None else frozenset()
    classes = run.device_classes
    tasks.sort(key=lambda task: (str(classes[task.client]), task.task))
    for name, own in groupby(tasks, lambda task: str(classes[task.client])):
        resource = {"service.name": f"flsim client {name}", "flsim.device_class": name, **common}
        yield resource, (span for task in own for span in _task(task, ids, known))


class Ids:
    """The ids of traces and spans, in hexadecimal, made of the hash of a run's records."""

    def __init__(self, records: str) -> None:
        self.records = records

    def trace(self, what: str, number: int) -> str:
        """Return 16 bytes: the trace of a task or of a version."""
        return self._hash("trace", what, number)[:32]

    def span(self, what: str, number: int) -> str:
        """Return 8 bytes: the span of a task, of a version, or of a stage of a task."""
        return self._hash("span", what, number)[:16]

    def _hash(self, *of: object) -> str:
        text = "/".join(map(str, (self.records, *of)))
        return hashlib.sha256(text.encode()).hexdigest()


def _version(row: VersionRecord, ids: Ids) -> Mapping[str, Any]:
    facts = {f"flsim.{name}": getattr(row, name) for name in _VERSION_FACTS}
    return {
        "traceId": ids.trace("version", row.version),
        "spanId": ids.span("version", row.version),
        "name": f"version {row.version}",
        "kind": _INTERNAL,
        **_times(row.time_s, row.time_s),
        "attributes": _attributes({"flsim.version": row.version, **facts}),
        "status": {"code": _OK},
    }


def _task(task: TaskRecord, ids: Ids, versions: frozenset[int]) -> Iterator[Mapping[str, Any]]:
    """Yield the span of a task and those of its stages. `versions`: those that can be linked to."""
    trace, parent = ids.trace("task", task.task), ids.span("task", task.task)
    facts = {f"flsim.{name}": getattr(task, name) for name in (*_TASK_FACTS, *_TASK_SUMS)}
    span = {
        "traceId": trace,
        "spanId": parent,
        "name": "task",
        "kind": _INTERNAL,
        **_times(task.dispatched_s, task.ended_s),
        "attributes": _attributes({"flsim.task": task.task, "flsim.outcome": task.outcome.value, **facts}),
        "status": _status(task.outcome),
    }
    if task.aggregated_version in versions:
        number = task.aggregated_version
        span["links"] = [{"traceId": ids.trace("version", number), "spanId": ids.span("version", number)}]
    yield span
    stages = spans(task)
    for stage in stages:
        size = _STAGE_BYTES.get(stage.stage)
        facts = {"flsim.task": task.task, "flsim.client": task.client}
        yield {
            "traceId": trace,
            "spanId": ids.span(stage.stage, task.task),
            "parentSpanId": parent,
            "name": stage.stage,
            "kind": _INTERNAL,
            **_times(stage.start_s, stage.end_s),
            "attributes": _attributes(
                facts if size is None else facts | {f"flsim.{size}": getattr(task, size)}
            ),
            "status": _status(task.outcome) if stage is stages[-1] else {"code": _OK},
        }


def _status(outcome: Outcome) -> dict[str, Any]:
    code = _STATUS.get(outcome, _ERROR)
    return {"code": code, "message": outcome.value} if code == _ERROR else {"code": code}


def _times(start_s: float, end_s: float) -> dict[str, str]:
    return {
        "startTimeUnixNano": str(round(start_s * _SECOND_NS)),
        "endTimeUnixNano": str(round(end_s * _SECOND_NS)),
    }


def _attributes(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return attributes as key and value; those that are not known are left out."""
    return [{"key": key, "value": _value(value)} for key, value in facts.items() if value is not None]


def _value(value: object) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value if value - value == 0 else _NOT_FINITE[str(value)]}
    return {"stringValue": str(value)}


_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}  # how Protobuf's JSON spells them
