"""The journal writes what it was given, and its hash covers the clock and the wire only."""

import errno
import hashlib
import struct
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from flsim.errors import RunError
from flsim.observe.attacked import write_attacked
from flsim.observe.digest import TASK_COLUMNS, VERSION_COLUMNS
from flsim.observe.files import whole_file
from flsim.observe.folder import open_folder, reopen_folder
from flsim.observe.journal import ParquetJournal
from flsim.observe.schemas import CLIENTS_SCHEMA, METADATA_SCHEMA, TASKS_SCHEMA, VERSIONS_SCHEMA
from flsim.observe.table_file import fitting
from flsim.observe.tables import read_tables, records_sha256, task_records, version_records
from flsim.records import AbsenceRecord, MetadataRecord, Outcome, TaskRecord, VersionRecord
from flsim.scenario.attack import Campaign
from tests.unit.recorded import ClientRecord, Run, synchronous_run, write, write_fleet

RUN = synchronous_run()


def hash_of(folder: Path, run: Run, row_group_rows: int = 65_536) -> str:
    return write(folder, run, row_group_rows).records_sha256()


def with_task(run: Run, **changes: Any) -> Run:
    """Return the run with its third task changed, which was aggregated."""
    assert run.tasks[2].outcome is Outcome.AGGREGATED
    return run._replace(tasks=[*run.tasks[:2], run.tasks[2]._replace(**changes), *run.tasks[3:]])


def with_version(run: Run, **changes: Any) -> Run:
    versions = [*run.versions[:2], run.versions[2]._replace(**changes), *run.versions[3:]]
    return run._replace(versions=versions)


@pytest.mark.parametrize("row_group_rows", [1, 7, 65_536])
def test_rows_read_back_are_the_rows_written(tmp_path, row_group_rows):
    write(tmp_path, RUN, row_group_rows)
    tables = read_tables(tmp_path)
    assert list(task_records(tables.tasks)) == RUN.tasks
    assert list(version_records(tables.versions)) == RUN.versions
    assert [ClientRecord(**row) for row in tables.clients.to_pylist()] == RUN.clients


def test_columns_are_the_fields_of_the_records():
    assert tuple(TASKS_SCHEMA.names) == TaskRecord._fields
    assert tuple(VERSIONS_SCHEMA.names) == VersionRecord._fields
    assert tuple(CLIENTS_SCHEMA.names) == ClientRecord._fields
    assert tuple(METADATA_SCHEMA.names) == MetadataRecord._fields


@pytest.mark.parametrize(
    ("schema", "record"),
    [
        (TASKS_SCHEMA, TaskRecord),
        (VERSIONS_SCHEMA, VersionRecord),
        (CLIENTS_SCHEMA, ClientRecord),
        (METADATA_SCHEMA, MetadataRecord),
    ],
)
def test_a_column_may_be_null_where_the_record_may_be_none(schema, record):
    optional = {name for name, kind in record.__annotations__.items() if "None" in str(kind)}
    assert {column.name for column in schema if column.nullable} == optional


def test_hash_does_not_depend_on_row_groups(tmp_path):
    hashes = {hash_of(tmp_path / str(rows), RUN, rows) for rows in (1, 5, 1000)}
    assert len(hashes) == 1


def test_hash_does_not_depend_on_when_it_is_asked_for(tmp_path):
    with ParquetJournal(tmp_path / "asked") as journal:
        for task in RUN.tasks:
            journal.task(task)
            journal.records_sha256()
        for version in RUN.versions:
            journal.version(version)
        early = journal.records_sha256()
    assert early == journal.records_sha256() == hash_of(tmp_path / "unasked", RUN)


def test_hash_of_the_tables_is_that_of_the_journal(tmp_path):
    journal = write(tmp_path, RUN, 7)
    assert records_sha256(read_tables(tmp_path)) == journal.records_sha256()


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def column(name: str, kind: str, *values: float | None, nullable: bool = False) -> bytes:
    """Return what a column adds to its table's hash: its name, its values, and which of them exist."""
    packed = sha256(*(struct.pack(kind, value or 0) for value in values))
    valid = sha256(bytes(value is not None for value in values)) if nullable else b""
    return name.encode() + b"\0" + packed + valid


def test_hash_is_made_as_described(tmp_path):
    tasks = [
        TaskRecord(0, 3, 0, 0.0, 1.5, None, 2.25, Outcome.DROPPED, None, None, None, 10, 1000, 0, None),
        TaskRecord(1, 4, 0, 0.5, 1.0, 2.0, 3.0, Outcome.REJECTED, 1, 0, 0.0, 20, 1000, 900, 1.25),
    ]
    run = Run(tasks, [VersionRecord(0, 0.0, 0, None, 0.1, 2.3, "ab")], [])
    task_digest = sha256(
        column("task", "<q", 0, 1),
        column("client", "<q", 3, 4),
        column("base_version", "<q", 0, 0),
        column("dispatched_s", "<d", 0.0, 0.5),
        column("download_end_s", "<d", 1.5, 1.0, nullable=True),
        column("train_end_s", "<d", None, 2.0, nullable=True),
        column("ended_s", "<d", 2.25, 3.0),
        column("outcome", "<B", 2, 0),
        column("aggregated_version", "<q", None, 1, nullable=True),
        column("staleness", "<q", None, 0, nullable=True),
        column("samples", "<q", 10, 20),
        column("bytes_down", "<q", 1000, 1000),
        column("bytes_up", "<q", 0, 900),
    )
    version_digest = sha256(
        column("version", "<q", 0),
        column("time_s", "<d", 0.0),
        column("tasks", "<q", 0),
        column("mean_staleness", "<d", None, nullable=True),
    )
    expected = sha256(b"tasks\0", task_digest, b"versions\0", version_digest).hex()
    assert hash_of(tmp_path, run) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"task": 10_000},
        {"client": 10_000},
        {"base_version": 77},
        {"dispatched_s": -0.5},
        {"download_end_s": 0.001},
        {"download_end_s": None},
        {"train_end_s": 0.001},
        {"train_end_s": None},
        {"ended_s": 1e9},
        {"outcome": Outcome.DISCARDED},
        {"aggregated_version": 77},
        {"aggregated_version": None},
        {"staleness": 1},
        {"staleness": None},  # and it was 0, which also stands in for a null
        {"samples": 1},
        {"bytes_down": 1},
        {"bytes_up": 1},
    ],
    ids=str,
)
def test_hash_changes_with_the_timing_of_a_task(tmp_path, changes):
    assert set(changes) <= set(TASK_COLUMNS)
    changed = with_task(RUN, **changes)
    assert hash_of(tmp_path / "changed", changed) != hash_of(tmp_path / "same", RUN)


@pytest.mark.parametrize(
    "changes", [{"version": 77}, {"time_s": 0.5}, {"tasks": 77}, {"mean_staleness": None}], ids=str
)
def test_hash_changes_with_the_timing_of_a_version(tmp_path, changes):
    assert set(changes) <= set(VERSION_COLUMNS)
    changed = with_version(RUN, **changes)
    assert hash_of(tmp_path / "changed", changed) != hash_of(tmp_path / "same", RUN)


@pytest.mark.parametrize(
    "changed",
    [
        with_task(RUN, weight=0.9),
        with_task(RUN, train_loss=None),
        with_task(RUN, outcome=Outcome.REJECTED),
        with_version(RUN, accuracy=None),
        with_version(RUN, loss=float("nan")),
        with_version(RUN, model_sha256="f" * 64),
    ],
    ids=["weight", "train_loss", "rejected", "accuracy", "loss", "model_sha256"],
)
def test_hash_does_not_change_with_what_was_learned(tmp_path, changed):
    assert hash_of(tmp_path / "changed", changed) == hash_of(tmp_path / "same", RUN)


def test_hash_changes_with_the_order_of_the_rows(tmp_path):
    turned = RUN._replace(tasks=RUN.tasks[::-1])
    assert hash_of(tmp_path / "turned", turned) != hash_of(tmp_path / "same", RUN)


@pytest.mark.parametrize("row_group_rows", [3, 65_536])
def test_totals_are_the_sums_of_the_rows(tmp_path, row_group_rows):
    totals = write(tmp_path, RUN, row_group_rows).totals()
    assert totals.dispatched == len(RUN.tasks)
    assert totals.bytes_down == sum(task.bytes_down for task in RUN.tasks)
    assert totals.bytes_up == sum(task.bytes_up for task in RUN.tasks)
    for outcome in Outcome:
        expected = sum(task.outcome is outcome for task in RUN.tasks)
        assert totals.tasks[outcome] == expected > 0


def test_totals_count_rows_that_are_not_written_yet(tmp_path):
    with ParquetJournal(tmp_path) as journal:
        journal.task(RUN.tasks[0])
        assert journal.totals().dispatched == 1


def test_rows_are_written_as_the_run_goes(tmp_path):
    with ParquetJournal(tmp_path, row_group_rows=10) as journal:
        before = (tmp_path / "tasks.parquet").stat().st_size
        for task in RUN.tasks[:10]:
            journal.task(task)
        assert (tmp_path / "tasks.parquet").stat().st_size > before


def test_a_run_without_rows_leaves_readable_tables(tmp_path):
    folder = tmp_path / "new" / "folder"
    ParquetJournal(folder).close()
    write_fleet(folder, RUN._replace(tasks=[]))
    tables = read_tables(folder)
    assert (tables.tasks.num_rows, tables.versions.num_rows) == (0, 0)
    assert tables.clients["tasks"].to_pylist() == [0] * len(RUN.clients)
    assert tables.clients["energy_j"].null_count == len(RUN.clients)


def test_energy_is_summed_over_the_metered_tasks(tmp_path):
    tasks = [task._replace(energy_j=None if task.task % 2 else 1.5) for task in RUN.tasks]
    journal = write(tmp_path, RUN._replace(tasks=tasks))
    metered = [task for task in tasks if task.energy_j is not None]
    assert journal.totals().energy_j == pytest.approx(1.5 * len(metered))
    per_client = read_tables(tmp_path).clients["energy_j"].to_pylist()
    for client, joules in enumerate(per_client):
        own = [task for task in metered if task.client == client]
        assert joules == (pytest.approx(1.5 * len(own)) if own else None)


def test_an_interrupted_run_keeps_its_rows(tmp_path):
    def interrupted() -> None:
        with ParquetJournal(tmp_path, row_group_rows=4) as journal:
            for task in RUN.tasks[:6]:
                journal.task(task)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    write_fleet(tmp_path, RUN)
    assert list(task_records(read_tables(tmp_path).tasks)) == RUN.tasks[:6]


def test_closing_again_does_nothing(tmp_path):
    journal = write(tmp_path, RUN)
    content = (tmp_path / "tasks.parquet").read_bytes()
    journal.close()
    assert (tmp_path / "tasks.parquet").read_bytes() == content


def test_a_closed_journal_takes_no_rows(tmp_path):
    journal = write(tmp_path, RUN)
    rows = {
        journal.task: RUN.tasks[0],
        journal.version: RUN.versions[0],
        journal.absence: AbsenceRecord(1, 2.0, None),
        journal.secure_session: "a phase",
        journal.errand: "an errand",
    }
    for take, row in rows.items():
        with pytest.raises(RunError) as refused:
            take(row)
        assert str(refused.value) == f"the journal is closed; it cannot take {row}"


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(RunError, match="taken"):
        ParquetJournal(tmp_path / "taken")


def test_a_missing_table_is_named(tmp_path):
    write(tmp_path, RUN)
    (tmp_path / "versions.parquet").unlink()
    with pytest.raises(RunError, match=r"versions\.parquet is missing"):
        read_tables(tmp_path)


def test_a_table_that_was_cut_off_is_named(tmp_path):
    write(tmp_path, RUN)
    path = tmp_path / "tasks.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(RunError, match=r"tasks\.parquet cannot be read"):
        read_tables(tmp_path)


def test_a_table_of_something_else_is_refused(tmp_path):
    write(tmp_path, RUN)
    (tmp_path / "clients.parquet").write_bytes((tmp_path / "versions.parquet").read_bytes())
    with pytest.raises(RunError, match="has no column client"):
        read_tables(tmp_path)


def test_a_file_appears_when_it_is_whole_and_not_before(tmp_path):
    """Whatever ends the writing, what was there before stays, and nothing half-written is left."""
    path = tmp_path / "one.json"
    path.write_text("before")

    def failing(error):
        with whole_file(path) as file:
            file.write(b"half")
            raise error

    for error in (KeyboardInterrupt(), ValueError("no")):
        with pytest.raises(type(error)):
            failing(error)
        assert [each.name for each in tmp_path.iterdir()] == ["one.json"]
    with pytest.raises(RunError, match=r"cannot write .*one\.json: No space left on device"):
        failing(OSError(errno.ENOSPC, "No space left on device"))
    assert [each.name for each in tmp_path.iterdir()] == ["one.json"]
    assert path.read_text() == "before"


def test_a_link_in_place_of_a_runs_folder_leads_nobody_elsewhere(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine.png").write_text("mine")
    folder = open_folder(tmp_path, "run", "name: run\n")
    (folder / "plots").symlink_to(elsewhere)
    assert open_folder(tmp_path, "run", "name: run\n") == folder
    assert sorted(each.name for each in folder.iterdir()) == ["scenario.yaml"]
    assert (elsewhere / "mine.png").read_text() == "mine"


def test_a_folder_that_cannot_be_emptied_is_named(tmp_path):
    folder = open_folder(tmp_path, "run", "name: run\n")
    (folder / "summary.json").mkdir()  # which is no file to be removed
    for opened in (lambda: open_folder(tmp_path, "run", ""), lambda: reopen_folder(folder)):
        with pytest.raises(RunError, match=r"run: cannot be written: Is a directory"):
            opened()


def test_who_attacked_needs_the_tasks(tmp_path):
    campaign = Campaign(frozenset({1}), 0.0, 10.0)
    with pytest.raises(RunError, match=r"cannot read who attacked: .*tasks\.parquet"):
        write_attacked(tmp_path, campaign)


def test_a_column_that_is_missing_is_named_with_its_table():
    table = pa.table({"task": [1]})
    schema = pa.schema([("task", pa.int64()), ("client", pa.int64()), ("ended_s", pa.float64())])
    with pytest.raises(RunError) as refused:
        fitting("x.flsim: tasks", table, schema)
    assert str(refused.value) == (
        "x.flsim: tasks has no column client, ended_s; it is not a table of this flsim"
    )


@pytest.mark.parametrize("word", ["di3carded", None])
def test_an_outcome_that_no_row_has_is_checked_with_the_others(word):
    """It would be hashed with them."""
    words = pa.array([Outcome.AGGREGATED.value, word], pa.string())
    column = pa.DictionaryArray.from_arrays(pa.array([0, 0], pa.int8()), words)
    schema = pa.schema([TASKS_SCHEMA.field("outcome")])
    with pytest.raises(RunError, match=f"no outcome is '{word}'; accepted: aggregated"):
        fitting("x", pa.table({"outcome": column}), schema)
