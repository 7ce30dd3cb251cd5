"""What came with the clients' updates: rows that come back, and folds against sums taken row by row."""

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pyarrow.parquet as parquet
import pytest

from flsim.errors import RunError
from flsim.observe.client_reports import reports, summary_of_reports
from flsim.observe.journal import ParquetJournal
from flsim.observe.metrics import metrics_csv, metrics_json
from flsim.observe.plots import write_plots
from flsim.observe.tables import read_tables
from flsim.records import MetadataRecord, Outcome
from tests.unit.recorded import Run, asynchronous_run, synchronous_run, tables_of, write


def reported(run: Run, epochs: int = 3, seed: int = 1) -> Run:
    """Return a run of which something came with every update; now and then nothing that makes sense."""
    random = Random(seed)
    rows = []
    for task in run.tasks:
        if task.aggregated_version is None:
            continue
        losses = tuple(random.uniform(0.0, 2.0) for _ in range(random.choice((epochs, epochs, 0))))
        if losses and random.random() < 0.1:
            losses = (math.nan, *losses[1:])
        converged = random.random() < 0.4 if len(losses) > 1 else None
        said = {"speed": random.uniform(-1, 1), "n": random.randrange(9), "good": random.random() < 0.5}
        said |= {"word": "x"} if random.random() < 0.5 else {"word": 3.5}
        refused = random.random() < 0.2
        rows.append(
            MetadataRecord(
                task.task,
                task.client,
                task.aggregated_version,
                random.expovariate(0.1),
                converged,
                losses,
                None if refused else json.dumps(said),
                "the report raised ValueError" if refused else None,
            )
        )
    return run._replace(reports=rows)


RUNS = [reported(synchronous_run()), reported(asynchronous_run(), 2), reported(synchronous_run(6, 3), 1)]
each_run = pytest.mark.parametrize("run", RUNS, ids=["synchronous", "asynchronous", "one epoch"])


def mean(values: Sequence[float]) -> Any:
    finite = [value for value in values if math.isfinite(value)]
    return pytest.approx(sum(finite) / len(finite)) if finite else None


def as_text(rows: Sequence[MetadataRecord]) -> list[str]:
    return [repr(row) for row in rows]  # in which a NaN is like another


@each_run
@pytest.mark.parametrize("row_group_rows", [1, 7, 65_536])
def test_rows_read_back_are_the_rows_written(tmp_path: Path, run: Run, row_group_rows: int) -> None:
    write(tmp_path, run, row_group_rows)
    table = read_tables(tmp_path).metadata
    assert table is not None
    found = [MetadataRecord(**row | {"losses": tuple(row["losses"])}) for row in table.to_pylist()]
    assert as_text(found) == as_text(run.reports)


def test_the_table_is_there_only_if_it_has_rows(tmp_path: Path) -> None:
    write(tmp_path, synchronous_run())
    assert not (tmp_path / "metadata.parquet").exists()
    assert read_tables(tmp_path).metadata is None


def test_what_was_reported_has_no_part_in_the_hash_and_the_totals(tmp_path: Path) -> None:
    with_reports = write(tmp_path / "with", RUNS[0])
    without = write(tmp_path / "without", RUNS[0]._replace(reports=()))
    assert with_reports.records_sha256() == without.records_sha256()
    assert with_reports.totals() == without.totals()


def test_a_closed_journal_takes_no_more_reports(tmp_path: Path) -> None:
    with ParquetJournal(tmp_path) as journal:
        pass
    with pytest.raises(RunError, match="the journal is closed"):
        journal.metadata(RUNS[0].reports[0])


def test_rows_are_written_as_the_run_goes(tmp_path: Path) -> None:
    with ParquetJournal(tmp_path, row_group_rows=10) as journal:
        for row in RUNS[0].reports[:25]:
            journal.metadata(row)
    assert parquet.read_metadata(tmp_path / "metadata.parquet").num_row_groups == 3


@each_run
def test_each_version_has_the_means_of_its_rows(tmp_path: Path, run: Run) -> None:
    found = reports(tables_of(tmp_path, run))
    assert set(found) == {row.version for row in run.reports}
    epochs = max(len(row.losses) for row in run.reports)
    for version, entry in found.items():
        rows = [row for row in run.reports if row.version == version]
        said = [json.loads(row.scalars) for row in rows if row.scalars is not None]
        assert entry["mean_training_time_s"] == mean([row.training_time_s for row in rows])
        assert entry["converged_share"] == mean(
            [row.converged for row in rows if row.converged is not None]
        )
        assert entry["losses"] == [
            mean([row.losses[epoch] for row in rows if row.losses]) for epoch in range(epochs)
        ]
        expected = {
            name: mean([each[name] for each in said if not isinstance(each[name], str)])
            for name in ("speed", "n", "good", "word")
        }
        assert entry["scalars"] == {name: value for name, value in expected.items() if value is not None}
        assert entry["payloads_rejected"] == len(rows) - len(said)


@each_run
def test_metrics_have_them_in_either_form(tmp_path: Path, run: Run) -> None:
    tables = tables_of(tmp_path, run)
    metrics, found = metrics_json(tables), reports(tables)
    for entry in metrics["versions"]:
        assert entry["metadata"] == found.get(entry["version"])
    for line in csv.DictReader(io.StringIO(metrics_csv(metrics))):
        entry = found.get(int(line["round"]), {})
        for name in ("mean_training_time_s", "converged_share"):
            value = entry.get(name)
            assert line[name] == ("" if value is None else str(value))


@each_run
def test_the_summary_counts_the_clients_whose_last_aggregated_task_converged(
    tmp_path: Path, run: Run
) -> None:
    outcomes = {task.task: task.outcome for task in run.tasks}
    assert any(outcomes[row.task] is Outcome.REJECTED for row in run.reports)
    last = {row.client: row.converged for row in run.reports if outcomes[row.task] is Outcome.AGGREGATED}
    can_tell = any(row.converged is not None for row in run.reports)
    assert summary_of_reports(tables_of(tmp_path, run)) == {
        "tasks": len(run.reports),
        "mean_training_time_s": mean([row.training_time_s for row in run.reports]),
        "converged_clients": sum(map(bool, last.values())) / len(run.clients) if can_tell else None,
        "payloads_rejected": sum(row.rejected is not None for row in run.reports),
    }


def test_a_rejected_task_does_not_say_whether_its_client_has_converged(tmp_path: Path) -> None:
    """Client 0 had converged before it, and client 1 had not."""
    run = synchronous_run(2, 2)
    first = run.tasks[0]._replace(outcome=Outcome.AGGREGATED, aggregated_version=1)
    tasks = [first._replace(task=task, client=task % 2) for task in range(4)]
    tasks[2:] = [task._replace(outcome=Outcome.REJECTED) for task in tasks[2:]]
    at_rest = (True, False, False, True)
    rows = [
        MetadataRecord(task.task, task.client, 1 + task.task // 2, 1.0, rested, (0.5, 0.5), None, None)
        for task, rested in zip(tasks, at_rest, strict=True)
    ]
    summary = summary_of_reports(tables_of(tmp_path, run._replace(tasks=tasks, reports=rows)))
    assert summary is not None
    assert summary["converged_clients"] == 0.5
    tasks[3] = tasks[3]._replace(outcome=Outcome.AGGREGATED)
    summary = summary_of_reports(tables_of(tmp_path / "other", run._replace(tasks=tasks, reports=rows)))
    assert summary is not None
    assert summary["converged_clients"] == 1.0


def test_where_nothing_was_trained_there_is_nothing_to_fold(tmp_path: Path) -> None:
    tables = tables_of(tmp_path, synchronous_run(6, 3, trained=False))
    assert reports(tables) == {}
    assert summary_of_reports(tables) is None
    assert all(entry["metadata"] is None for entry in metrics_json(tables)["versions"])


def test_clients_without_samples_have_no_losses_to_fold(tmp_path: Path) -> None:
    run = RUNS[2]
    rows = [row._replace(losses=(), converged=None) for row in run.reports]
    found = reports(tables_of(tmp_path, run._replace(reports=rows)))
    assert all(entry["losses"] == [] for entry in found.values())


def test_numbers_that_overflow_in_a_sum_are_no_error(tmp_path: Path) -> None:
    rows = [row._replace(scalars='{"large": 1.7e308}') for row in RUNS[2].reports]
    found = reports(tables_of(tmp_path, RUNS[2]._replace(reports=rows)))
    assert all(entry["scalars"]["large"] in (1.7e308, math.inf) for entry in found.values())


@each_run
def test_there_is_a_picture(tmp_path: Path, run: Run) -> None:
    paths = write_plots(tmp_path / "plots", tables_of(tmp_path, run), only={"client_reports"})
    [picture] = [path for path in paths if path.name == "client_reports.png"]
    assert picture.stat().st_size > 10_000


def test_a_picture_of_what_is_never_finite_can_be_drawn(tmp_path: Path) -> None:
    rows = [row._replace(losses=(math.nan, math.nan), converged=None) for row in RUNS[2].reports]
    tables = tables_of(tmp_path, RUNS[2]._replace(reports=rows))
    paths = write_plots(tmp_path / "plots", tables, only={"client_reports"})
    assert "client_reports.png" in {path.name for path in paths}
