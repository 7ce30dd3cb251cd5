"""The tables of a run that somebody hands on: each of them changed, beside the others as they were."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from flsim.govern.lineage import origins
from flsim.govern.segments import segments_of
from flsim.observe.export.csv import write_csv
from flsim.observe.export.records import tables_in
from flsim.observe.metrics import communication_json, metrics_csv, metrics_json
from flsim.observe.states import end_of_run, fleet_size, stage_seconds, used_at
from flsim.observe.tables import read_tables, records_sha256
from flsim.observe.timeline import write_timeline
from flsim.observe.trackers.csv_file import tracked_csv
from tests.fuzz.place import folder, placed
from tests.fuzz.target import CORPUS, Target

_NAMES = ("tasks", "versions", "clients")


@cache
def _run() -> Path:
    for name in _NAMES:
        _place(name, (CORPUS / name / f"{name}.parquet").read_bytes())
    return folder() / "run"


def _place(name: str, content: bytes) -> None:
    placed(f"run/{name}.parquet", content)


def _reading(name: str) -> Callable[[bytes], None]:
    def read(content: bytes) -> None:
        run = _run()
        _place(name, content)
        try:
            _folded(run)
        finally:
            _place(name, (CORPUS / name / f"{name}.parquet").read_bytes())

    return read


def _folded(run: Path) -> None:
    """Read the tables and make of them what the commands do."""
    tables = read_tables(run)
    end_of_run(tables), fleet_size(tables), stage_seconds(tables.tasks), used_at(tables)
    records_sha256(tables)
    metrics_csv(metrics_json(tables))
    communication_json(tables)
    tracked_csv(tables)
    origins(tables)
    write_timeline(run / "timeline.json.gz", tables, "run", 1000)
    write_csv(tables_in(run, tables), run / "csv")
    for name in _NAMES:
        path = run / f"{name}.parquet"
        segments_of(path, path.read_bytes())


TARGETS = tuple(Target(name, _reading(name), "table") for name in _NAMES)
