"""Exports against the rows that they were made of, each read by somebody else's reader."""

import base64
import csv
import json
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from flsim.cli import main
from flsim.errors import RunError
from flsim.observe.excerpt import Excerpt
from flsim.observe.export import FORMATS, export
from flsim.observe.export.records import tables_in
from flsim.observe.tables import read_tables, spans, task_records
from flsim.records import MetadataRecord, Outcome
from tests.unit.recorded import Run, asynchronous_run, write

TEXTS = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "plain",
    "a=1",
    'a "quoted", text',
    "two\nlines",
    "",
    None,
]


@pytest.fixture(scope="module")
def run() -> Run:
    reports = [
        MetadataRecord(number, 0, 1, 0.1 * number, None, (0.1, 2 / 3), text, None)
        for number, text in enumerate(TEXTS)
    ]
    return asynchronous_run(clients=12)._replace(reports=reports)


@pytest.fixture(scope="module")
def folder(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run")
    write(path, run)
    (path / "scenario.yaml").write_text("name: exported\nseed: 3\n")
    return path


def tables_of(folder: Path) -> dict[str, list[dict[str, Any]]]:
    return {path.stem: parquet.read_table(path).to_pylist() for path in sorted(folder.glob("*.parquet"))}


def test_csv_has_every_table_and_every_digit(folder: Path, tmp_path: Path) -> None:
    assert export(folder, "csv", tmp_path / "out") == tmp_path / "out"
    tables = tables_of(folder)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {f"{name}.csv" for name in tables}
    for name, rows in tables.items():
        with (tmp_path / "out" / f"{name}.csv").open(newline="") as file:
            written = list(csv.DictReader(file))
        assert len(written) == len(rows) > 0
        for cells, row in zip(written, rows, strict=True):
            assert cells.keys() == row.keys()
            for cell, value in zip(cells.values(), row.values(), strict=True):
                assert means(cell, value), (name, cell, value)


def means(cell: str, value: object) -> bool:
    """Whether a cell says a value, as somebody who knows the column's type reads it."""
    if value is None:
        return cell == ""
    if isinstance(value, bool):
        return cell == ("true" if value else "false")
    if isinstance(value, list):
        return bool(json.loads(cell) == value)
    if isinstance(value, int | float):
        return type(value)(cell) == value
    text = str(value)
    return cell == (f"'{text}" if text[:1] in tuple("=+-@\t\r") else text)


def test_no_text_in_a_csv_is_a_formula(folder: Path, tmp_path: Path) -> None:
    export(folder, "csv", tmp_path)
    with (tmp_path / "metadata.csv").open(newline="") as file:
        cells = [row["scalars"] for row in csv.DictReader(file)]
    assert cells[:6] == ["'=1+1", "'+1", "'-1", "'@SUM(A1)", "'\t=1", "'\r=1"]
    assert cells[6:] == ["plain", "a=1", 'a "quoted", text', "two\nlines", "", ""]


def test_json_lines_are_the_rows(folder: Path, tmp_path: Path) -> None:
    export(folder, "jsonl", tmp_path)
    tables = tables_of(folder)
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.jsonl" for name in tables}
    for name, rows in tables.items():
        lines = (tmp_path / f"{name}.jsonl").read_text().split("\n")
        assert lines[-1] == ""
        assert [json.loads(line, parse_constant=pytest.fail) for line in lines[:-1]] == rows


def test_what_json_cannot_say_is_null(run: Run, tmp_path: Path) -> None:
    versions = [row._replace(accuracy=math.nan, loss=math.inf) for row in run.versions]
    write(tmp_path, run._replace(versions=versions))
    (tmp_path / "scenario.yaml").write_text("name: diverged\n")
    out = export(tmp_path, "jsonl") / "versions.jsonl"
    for line in out.read_text().splitlines():
        row = json.loads(line, parse_constant=pytest.fail)
        assert (row["accuracy"], row["loss"]) == (None, None)
    request(export(tmp_path, "otlp-json"))


def test_parquet_is_of_plain_types(folder: Path, tmp_path: Path) -> None:
    export(folder, "parquet", tmp_path)
    tables = tables_of(folder)
    assert tables_of(tmp_path) == tables
    for name in tables:
        schema = parquet.read_schema(tmp_path / f"{name}.parquet")
        assert schema.metadata is None
        assert not any(pa.types.is_dictionary(kind) for kind in schema.types)


def request(path: Path) -> tuple[Any, list[Any]]:
    """Read a file as Protobuf's own reader does, and return it with its spans.

    OTLP writes ids in hexadecimal, where Protobuf's mapping has base64: the one thing to translate.
    """
    data = json.loads(path.read_text(), parse_constant=pytest.fail)
    for of_resource in data["resourceSpans"]:
        for of_scope in of_resource["scopeSpans"]:
            for span in of_scope["spans"]:
                for place in (span, *span.get("links", [])):
                    for key in ("traceId", "spanId", "parentSpanId"):
                        if key in place:
                            assert place[key] == place[key].lower()
                            place[key] = base64.b64encode(bytes.fromhex(place[key])).decode()
    read = json_format.ParseDict(data, ExportTraceServiceRequest())  # refuses names that it does not know
    found = [span for each in read.resource_spans for scope in each.scope_spans for span in scope.spans]
    for span in found:
        assert (len(span.trace_id), len(span.span_id), len(span.parent_span_id)) in {(16, 8, 8), (16, 8, 0)}
        assert any(span.trace_id)
        assert any(span.span_id)
    assert len({span.span_id for span in found}) == len(found)
    return read, found


def facts_of(span: Any) -> dict[str, Any]:
    return {
        each.key.removeprefix("flsim."): getattr(each.value, each.value.WhichOneof("value"))
        for each in span.attributes
    }


def ns(seconds: float) -> int:
    return round(seconds * 1e9)


def test_spans_of_opentelemetry_are_the_tasks_and_their_stages(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    _, found = request(export(folder, "otlp-json", tmp_path / "traces.json"))
    by_trace = defaultdict(list)
    for span in found:
        by_trace[span.trace_id].append(span)
    versions = {facts_of(span)["version"]: span for span in found if span.name.startswith("version")}
    tasks = {facts_of(span)["task"]: span for span in found if span.name == "task"}
    assert versions.keys() == {row.version for row in run.versions}
    assert tasks.keys() == {task.task for task in run.tasks}
    for task in run.tasks:
        span = tasks[task.task]
        parent, *stages = by_trace[span.trace_id]
        assert parent == span
        assert (span.start_time_unix_nano, span.end_time_unix_nano) == (
            ns(task.dispatched_s),
            ns(task.ended_s),
        )
        assert [
            (each.name, each.start_time_unix_nano, each.end_time_unix_nano, each.parent_span_id)
            for each in stages
        ] == [(each.stage, ns(each.start_s), ns(each.end_s), span.span_id) for each in spans(task)]
        facts = facts_of(span)
        told = {name: value for name, value in task._asdict().items() if name in facts}
        assert {name: facts[name] for name in told} == told
        assert {"client", "outcome", "bytes_up", "staleness"} - facts.keys() <= {
            name for name, value in task._asdict().items() if value is None
        }
        assert [(link.trace_id, link.span_id) for link in span.links] == [
            (versions[number].trace_id, versions[number].span_id)
            for number in [task.aggregated_version]
            if number is not None
        ]
        assert span.status.code == {Outcome.AGGREGATED: 1, Outcome.UNFINISHED: 0}.get(task.outcome, 2)
        assert stages[-1].status.code == span.status.code


def test_resources_of_opentelemetry_are_the_server_and_the_device_classes(
    folder: Path, tmp_path: Path
) -> None:
    read, _ = request(export(folder, "otlp-json", tmp_path / "traces.json"))
    named = [facts_of(each.resource) for each in read.resource_spans]
    assert [facts["service.name"] for facts in named] == ["flsim server", "flsim client phone"]
    assert {facts["run"] for facts in named} == {"exported"}


def test_exports_are_the_same_every_time_and_ids_are_of_the_records(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    for form in FORMATS:
        first, second = (export(folder, form, tmp_path / form / each) for each in ("one", "two"))
        assert contents(first) == contents(second) != []
    other = tmp_path / "other"
    write(other, run._replace(tasks=run.tasks[:-1]))
    (other / "scenario.yaml").write_text("name: exported\n")
    _, theirs = request(export(other, "otlp-json"))
    _, ours = request(tmp_path / "otlp-json" / "one")
    assert not {span.trace_id for span in ours} & {span.trace_id for span in theirs}


def contents(path: Path) -> list[bytes]:
    return [path.read_bytes()] if path.is_file() else [file.read_bytes() for file in sorted(path.iterdir())]


def test_a_part_in_opentelemetry(run: Run, folder: Path, tmp_path: Path) -> None:
    part = Excerpt.of("2,4-5", 20.0, 40.0)
    _, found = request(export(folder, "otlp-json", tmp_path / "part.json", part))
    assert {facts_of(span)["task"] for span in found if span.name == "task"} == {
        task.task
        for task in run.tasks
        if task.client in (2, 4, 5) and task.dispatched_s <= 40.0 and task.ended_s >= 20.0
    }


def test_the_default_places_are_below_the_run(run: Run, tmp_path: Path) -> None:
    write(tmp_path, run)
    (tmp_path / "scenario.yaml").write_text("name: exported\n")
    before = {path.name for path in tmp_path.iterdir()}
    for form in FORMATS:
        assert export(tmp_path, form).parent == tmp_path / "export"
    assert {path.name for path in tmp_path.iterdir()} == before | {"export"}
    assert {path.name for path in (tmp_path / "export").iterdir()} == {
        "timeline.json.gz",
        "traces.json",
        "csv",
        "jsonl",
        "parquet",
    }


@pytest.mark.parametrize(
    ("form", "out", "why"),
    [
        ("parquet", ".", "is the folder of the run"),
        ("csv", "sub/..", "is the folder of the run"),
        ("perfetto", "tasks.parquet", "is a record of the run"),
        ("otlp-json", "scenario.yaml", "is a record of the run"),
        ("perfetto", ".", "is a folder; perfetto is one file"),
        ("jsonl", "tasks.parquet", "is a file; jsonl is a folder"),
    ],
)
def test_records_are_never_replaced(folder: Path, form: str, out: str, why: str) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    (folder / "sub").mkdir(exist_ok=True)
    with pytest.raises(RunError, match=why):
        export(folder, form, folder / out)
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def test_a_client_that_there_is_not(folder: Path) -> None:
    with pytest.raises(RunError, match="there is no client 12; they are 0 to 11"):
        export(folder, "perfetto", part=Excerpt.of("3-12", None, None))


def test_tables_have_no_parts(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"csv is of whole tables; .* perfetto and otlp-json"):
        export(folder, "csv", tmp_path, Excerpt.of(None, 3.0, None))


def command(*args: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(arg) for arg in args])
    return int(ended.value.code or 0)


def test_the_command(run: Run, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "part.json"
    span = ["--from", "20 s", "--to", "1min", "--clients", "0-3"]
    assert command("export", folder, "--format", "otlp-json", "--out", out, *span) == 0
    assert capsys.readouterr().out == f"Export: {out}\n"
    _, found = request(out)
    tasks = {facts_of(each)["task"] for each in found if each.name == "task"}
    assert tasks == {
        task.task
        for task in task_records(read_tables(folder).tasks)
        if task.client < 4 and task.dispatched_s <= 60.0 and task.ended_s >= 20.0
    }


@pytest.mark.parametrize(
    ("args", "code", "why"),
    [
        (["--format", "excel"], 2, "is not one of"),
        (["--format", "perfetto", "--from", "ten"], 2, "expected a time"),
        (["--format", "perfetto", "--clients", "3-"], 2, "neither a client's number nor a range"),
        (["--format", "perfetto", "--from", "2h", "--to", "1h"], 2, "must begin at zero or later"),
        (["--format", "perfetto", "--clients", "99"], 1, "there is no client 99"),
    ],
)
def test_what_the_command_refuses(
    folder: Path, capsys: pytest.CaptureFixture[str], args: list[str], code: int, why: str
) -> None:
    assert command("export", folder, *args) == code
    assert why in " ".join(capsys.readouterr().err.split())


def test_a_folder_that_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("export", tmp_path, "--format", "csv") == 1
    told = " ".join(capsys.readouterr().err.split())
    assert f"is missing; is {tmp_path} the folder of a run?" in told
    assert list(tmp_path.iterdir()) == []


def test_words_are_text_and_not_codes(folder: Path) -> None:
    """So that no word escapes the apostrophe, whatever column it is in."""
    assert any(pa.types.is_dictionary(kind) for kind in parquet.read_schema(folder / "tasks.parquet").types)
    for _, table in tables_in(folder, read_tables(folder)):
        assert not any(pa.types.is_dictionary(kind) for kind in table.schema.types)
