"""Rows of a run that was killed are those of its journal, block by block, and the damage is named."""

import logging
import os
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

from flsim.errors import RunError
from flsim.observe.blocks import JOURNAL, Blocks
from flsim.observe.clients import drawn_clients
from flsim.observe.edge_journal import HierarchyParquetJournal
from flsim.observe.ending import write_ending
from flsim.observe.framed import read_frames
from flsim.observe.journal import ParquetJournal
from flsim.observe.recovery import recover
from flsim.observe.tables import read_tables, task_records, version_records
from flsim.records import EdgeVersionRecord, EndingRecord, MetadataRecord
from tests.unit.recorded import _devices, synchronous_run, write_fleet

RUN = synchronous_run()
REPORT = MetadataRecord(3, 4, 1, 2.5, None, (0.5, 0.25), '{"a": 1}', None)


def take_all(journal: ParquetJournal) -> None:
    """Hand a run's rows over as a run does: a version's when the next one is made."""
    tasks = iter(RUN.tasks)
    for version in RUN.versions:
        journal.version(version)
        for _ in range(5):
            if (task := next(tasks, None)) is not None:
                journal.task(task)
    for task in tasks:
        journal.task(task)


def killed(folder: Path, fewest_rows: int = 1) -> Path:
    """Write the journal of a run that did not come to its end: its parquet files have no footers."""
    folder.mkdir(exist_ok=True)
    with (
        Blocks(folder / JOURNAL, fewest_rows) as blocks,
        ParquetJournal(folder, blocks=blocks) as journal,
    ):
        blocks.rows("clients", drawn_clients(_devices(RUN.clients), [one.samples for one in RUN.clients]))
        take_all(journal)
        journal.metadata(REPORT)
    for path in folder.glob("*.parquet"):
        os.truncate(path, path.stat().st_size - 20)
    return folder


@pytest.mark.parametrize("fewest_rows", [1, 30])
def test_tables_of_a_killed_run_are_those_of_its_journal(tmp_path, caplog, fewest_rows):
    folder = killed(tmp_path / "killed", fewest_rows)
    with caplog.at_level(logging.WARNING):
        tables = read_tables(folder)
    assert "has not come to its end" in caplog.text
    assert list(task_records(tables.tasks)) == RUN.tasks
    assert list(version_records(tables.versions)) == RUN.versions
    assert tables.metadata is not None
    assert tables.metadata.to_pylist()[0]["losses"] == [0.5, 0.25]
    whole = tmp_path / "whole"
    with ParquetJournal(whole) as journal:
        take_all(journal)
    write_fleet(whole, RUN)
    write_ending(whole, EndingRecord("updates", "enough", 1.0))
    expected = read_tables(whole)
    assert tables.clients.equals(expected.clients)
    assert tables.tasks.schema.equals(expected.tasks.schema)


def test_what_is_torn_off_is_missing_and_named(tmp_path, caplog):
    folder = killed(tmp_path / "killed")
    frames = read_frames(folder / JOURNAL)
    place = frames.whole[-3].stop + 5
    os.truncate(folder / JOURNAL, place)
    with caplog.at_level(logging.WARNING):
        tables = read_tables(folder)
    whole = len(frames.whole) - 3
    assert f"frame {whole + 1} is torn after byte {place}; {whole} frames are whole" in caplog.text
    rows = list(task_records(tables.tasks))
    assert 0 < len(rows) < len(RUN.tasks)
    assert rows == RUN.tasks[: len(rows)]


def test_the_same_rows_make_the_same_bytes(tmp_path):
    one, other = killed(tmp_path / "one"), killed(tmp_path / "other")
    assert (one / JOURNAL).read_bytes() == (other / JOURNAL).read_bytes()


def test_the_clock_moves_no_byte(tmp_path):
    contents = []
    for step in (0.0, 7.0):
        now = 0.0

        def clock(step: float = step) -> float:
            nonlocal now
            now += step
            return now

        folder = tmp_path / str(step)
        folder.mkdir()
        with (
            Blocks(folder / JOURNAL, 1, clock=clock) as blocks,
            ParquetJournal(folder, blocks=blocks) as journal,
        ):
            take_all(journal)
        contents.append((folder / JOURNAL).read_bytes())
    assert contents[0] == contents[1]


def test_the_journal_is_put_on_the_disk_every_five_seconds(tmp_path, monkeypatch):
    now, synced = [0.0], []
    monkeypatch.setattr("flsim.observe.framed.os.fsync", lambda _: synced.append(now[0]))
    with Blocks(tmp_path / JOURNAL, 1, clock=lambda: now[0]) as blocks:
        for later in (2.0, 4.9, 5.0, 6.0, 9.9, 10.5, 11.0):
            now[0] = later
            blocks.end()
        assert synced == [5.0, 10.5]


def test_blocks_end_at_server_updates_once_there_are_rows_enough(tmp_path):
    folder = killed(tmp_path / "killed", fewest_rows=20)
    rows = recover(folder / JOURNAL).rows["tasks"]
    assert sum(batch.num_rows for batch in rows) == len(RUN.tasks)
    assert 1 < len(rows) < len(RUN.versions)


def test_parquet_tables_are_the_same_with_blocks_and_without(tmp_path):
    killed(tmp_path / "with")
    with ParquetJournal(tmp_path / "without") as journal:
        take_all(journal)
        journal.metadata(REPORT)
    for name in ("tasks", "versions", "metadata"):
        cut = (tmp_path / "with" / f"{name}.parquet").read_bytes()
        assert (tmp_path / "without" / f"{name}.parquet").read_bytes().startswith(cut)


def test_notes_and_answers_stand_where_they_were_made(tmp_path):
    with Blocks(tmp_path / JOURNAL) as blocks, ParquetJournal(tmp_path, blocks=blocks) as journal:
        journal.note("run", {"flsim": "0"})
        blocks.answer([0, None])
        blocks.answer([1, float("nan")])
        journal.task(RUN.tasks[0])
        journal.note("checkpoint", {"version": 1})
    names = [frame.name for frame in read_frames(tmp_path / JOURNAL).whole]
    assert names == ["run", "schema", "tasks", "answers", "checkpoint"]
    notes = [data for _, data, _ in recover(tmp_path / JOURNAL).notes]
    assert notes[0] == {"flsim": "0"}
    assert notes[1][0] == [0, None]
    assert notes[1][1][1] != notes[1][1][1]
    assert notes[2] == {"version": 1}


def test_a_hierarchy_has_the_tables_of_its_edges(tmp_path):
    with Blocks(tmp_path / JOURNAL) as blocks, HierarchyParquetJournal(tmp_path, blocks=blocks) as journal:
        drawn = drawn_clients(
            _devices(RUN.clients), [1] * len(RUN.clients), [place % 2 for place in range(len(RUN.clients))]
        )
        blocks.rows("clients", drawn)
        take_all(journal)
        journal.edge_task(RUN.tasks[0])
        journal.edge_version(EdgeVersionRecord(1, 0, 0.0, 0, None))
    tables = read_tables(tmp_path)
    assert tables.edges is not None
    assert list(task_records(tables.edges.tasks)) == RUN.tasks[:1]
    assert tables.edges.versions.to_pylist() == [
        {"edge": 1, "version": 0, "time_s": 0.0, "tasks": 0, "mean_staleness": None}
    ]
    assert tables.edges.of_client.tolist() == [place % 2 for place in range(len(RUN.clients))]


def test_a_full_disk_ends_the_journal_and_not_the_tables(tmp_path, monkeypatch):
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with Blocks(tmp_path / JOURNAL) as blocks, ParquetJournal(tmp_path, blocks=blocks) as journal:
        for task in RUN.tasks[:8]:
            journal.task(task)
        monkeypatch.setattr("flsim.observe.framed.os.pwrite", full)
        with pytest.raises(RunError, match="No space left"):
            journal.version(RUN.versions[0])
    assert parquet.read_table(tmp_path / "tasks.parquet").num_rows == 8
