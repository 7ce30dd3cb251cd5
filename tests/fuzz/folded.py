"""What the commands make of a run's folder: compare, export, track, lineage, verify and `flsim ui`."""

import json
from pathlib import Path

from flsim.govern.lineage import as_data, as_graphml, origins
from flsim.govern.segments import place_of_change, segments_of
from flsim.observe.comparison import compare, read_run
from flsim.observe.export.csv import write_csv
from flsim.observe.export.records import tables_in
from flsim.observe.live.reading import ProgressReader
from flsim.observe.metrics import communication_json, metrics_csv, metrics_json
from flsim.observe.states import end_of_run, fleet_size, seconds_by_client, stage_seconds, used_at
from flsim.observe.tables import read_tables, records_sha256
from flsim.observe.timeline import write_timeline
from flsim.observe.trackers.csv_file import tracked_csv
from tests.fuzz.target import CORPUS


def folded(run: Path, changed: Path) -> None:
    """Read the tables and make of them what the commands do, but for pictures. `changed`: a file."""
    tables = read_tables(run)
    end_of_run(tables), fleet_size(tables), stage_seconds(tables.tasks), used_at(tables)
    seconds_by_client(tables)
    records_sha256(tables)
    metrics_csv(metrics_json(tables))
    communication_json(tables)
    tracked_csv(tables)
    as_graphml(found := origins(tables)), as_data(found)
    write_timeline(run / "timeline.json.gz", tables, "run", 1000)
    write_csv(tables_in(run, tables), run / "csv")
    if changed.suffix == ".parquet":
        known = segments_of(changed, (CORPUS / "versions" / "versions.parquet").read_bytes())
        place_of_change(known, changed.read_bytes())
    _shown(run)
    if (run / "journal.flsim").exists():
        compare([read_run(run)])


def _shown(run: Path) -> None:
    """Read what `flsim ui` shows."""
    if not (run / "scenario.yaml").exists():
        return
    reader = ProgressReader(run)
    try:
        progress = reader.read()
        json.dumps([progress.versions, progress.standing], allow_nan=False)
    finally:
        reader.close()
