"""`attackers.parquet` and `attacked_tasks.parquet`: who attacked, and in which tasks."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from flsim.errors import RunError
from flsim.observe.schemas import ATTACKED_TASKS_SCHEMA, ATTACKERS_SCHEMA
from flsim.observe.table_file import write_table
from flsim.observe.tables import Tables
from flsim.records import Outcome, VersionRecord
from flsim.scenario.attack import Campaign


def write_attacked(folder: Path, campaign: Campaign) -> None:
    """Write both tables into `folder`, reading `folder/tasks.parquet` a row group at a time.

    Raises RunError if a file cannot be read or written.
    """
    attackers = np.array(sorted(campaign.clients), np.int64)
    try:
        tasks = _attacked(folder / "tasks.parquet", campaign, attackers)
    except OSError as error:
        raise RunError(f"{folder}: cannot read who attacked: {error}") from error
    write_table(folder / "attacked_tasks.parquet", tasks)
    write_table(folder / "attackers.parquet", _by_attacker(tasks, attackers))


def _attacked(tasks: Path, campaign: Campaign, attackers: NDArray[np.int64]) -> pa.Table:
    """Return the attacked ones of the tasks, in their order."""
    batches = []
    with parquet.ParquetFile(tasks) as file:
        for batch in file.iter_batches(columns=ATTACKED_TASKS_SCHEMA.names):
            dispatched = batch.column("dispatched_s").to_numpy()
            when = (campaign.start_s <= dispatched) & (dispatched < campaign.end_s)
            who = np.isin(batch.column("client").to_numpy(), attackers)
            batches.append(batch.filter(pa.array(who & when)))
    columns = [
        [batch.column(field.name).cast(field.type) for batch in batches] for field in ATTACKED_TASKS_SCHEMA
    ]
    arrays = [
        pa.chunked_array(column, field.type)
        for column, field in zip(columns, ATTACKED_TASKS_SCHEMA, strict=True)
    ]
    return pa.table(arrays, schema=ATTACKED_TASKS_SCHEMA)


def _by_attacker(tasks: pa.Table, attackers: NDArray[np.int64]) -> pa.Table:
    """Return a row for each attacker: how many of its tasks were attacked, and how many of them counted."""
    owners = np.searchsorted(attackers, tasks["client"].to_numpy())
    counted = compute.equal(tasks["outcome"], Outcome.AGGREGATED.value).to_numpy()
    columns = {
        "client": attackers,
        "attacked_tasks": np.bincount(owners, minlength=len(attackers)),
        "aggregated": np.bincount(owners[counted], minlength=len(attackers)),
    }
    return pa.table(columns, schema=ATTACKERS_SCHEMA)


def attack_summary(
    kind: str, campaign: Campaign, tables: Tables, versions: Sequence[VersionRecord]
) -> Mapping[str, object] | None:
    """Return what summary.json says of an attack; None where nothing was trained.

    `success` is that of the last version whose test measured it; None for attacks without a measure.
    """
    tasks = tables.attacked_tasks
    if tasks is None:
        return None
    outcome = tasks["outcome"].to_pylist()
    tested = [row.attack_success for row in versions if row.attack_success is not None]
    return {
        "kind": kind,
        "attackers": len(campaign.clients),
        "attacked_tasks": tasks.num_rows,
        "aggregated": outcome.count(Outcome.AGGREGATED.value),
        "rejected": outcome.count(Outcome.REJECTED.value),
        "success": tested[-1] if tested else None,
    }
