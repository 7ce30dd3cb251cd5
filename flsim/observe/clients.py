"""`clients.parquet`: one row per client, folded from the task rows and what was drawn per client."""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from pyarrow import compute

from flsim.errors import RunError
from flsim.observe.schemas import CLIENTS_SCHEMA, EDGE_OF_CLIENT
from flsim.observe.table_file import fitting, write_table
from flsim.records import Devices, Outcome

Rows = TypeVar("Rows", pa.Table, pa.RecordBatch)


def write_clients(
    folder: Path, devices: Devices, samples: Sequence[int], edges: Sequence[int] | None = None
) -> None:
    """Write `folder/clients.parquet`, reading `folder/tasks.parquet` a row group at a time.

    What errands took (`folder/secure_errands.parquet` or `folder/messages.parquet`) is added, if there are
    any. `samples`: how many samples each client has; `edges`: the edge of each, in a hierarchy. Raises
    RunError if a file cannot be read or written.
    """
    try:
        drawn = drawn_clients(devices, samples, edges)
        with ExitStack() as stack:
            tasks = stack.enter_context(parquet.ParquetFile(folder / "tasks.parquet")).iter_batches()
            errands: Iterable[pa.RecordBatch] = ()
            if (path := folder / "secure_errands.parquet").exists():
                errands = stack.enter_context(parquet.ParquetFile(path)).iter_batches()
            elif (path := folder / "messages.parquet").exists():
                messages = stack.enter_context(parquet.ParquetFile(path)).iter_batches()
                errands = (errands_in(batch) for batch in messages)
            rows = with_tasks(drawn, tasks, errands)
        write_table(folder / "clients.parquet", rows)
    except OSError as error:
        raise RunError(f"{folder}: cannot write clients.parquet: {error}") from error


def errands_in(messages: Rows) -> Rows:
    """Return the messages that went out to clients and were no tasks."""
    is_task, was_asked = messages["task"].is_valid(), messages["asked_s"].is_valid()
    return messages.filter(compute.and_not(was_asked, is_task))


def drawn_clients(
    devices: Devices, samples: Sequence[int], edges: Sequence[int] | None = None
) -> pa.RecordBatch:
    """Return what is drawn of the clients, before anything happens: a row for each."""
    columns = _drawn(devices, samples)
    if edges is not None:
        columns[EDGE_OF_CLIENT.name] = pa.array(edges, pa.int64())
    schema = pa.schema([*CLIENTS_SCHEMA, EDGE_OF_CLIENT])
    return pa.RecordBatch.from_arrays(
        list(columns.values()), schema=pa.schema([schema.field(name) for name in columns])
    )


def drawn_batch(where: str, table: pa.Table) -> pa.RecordBatch:
    """Return `drawn_clients` from rows that somebody has written. Raises RunError if they are others.

    `where`: what messages call them.
    """
    names = ("client", "device_class", "samples", "speed_flops", "downlink_bps", "uplink_bps", "latency_s")
    schema = pa.schema([CLIENTS_SCHEMA.field(name) for name in names])
    if EDGE_OF_CLIENT.name in table.column_names:
        schema = schema.append(EDGE_OF_CLIENT)
    drawn = fitting(where, table, schema).combine_chunks()
    if drawn["client"].to_pylist() != list(range(drawn.num_rows)):
        raise RunError(f"{where}: the clients are not numbered one by one")
    return drawn.to_batches()[0] if drawn.num_rows else pa.RecordBatch.from_pylist([], schema)


def with_tasks(
    drawn: pa.RecordBatch, tasks: Iterable[pa.RecordBatch], errands: Iterable[pa.RecordBatch] = ()
) -> pa.Table:
    """Return the rows of clients.parquet: `drawn_clients`, and what tasks and errands come to."""
    columns = dict(zip(drawn.schema.names, drawn.columns, strict=True))
    edges = columns.pop(EDGE_OF_CLIENT.name, None)
    rows = pa.table(columns | _folded(tasks, errands, drawn.num_rows), schema=CLIENTS_SCHEMA)
    return rows if edges is None else rows.append_column(EDGE_OF_CLIENT, edges)


def _drawn(devices: Devices, samples: Sequence[int]) -> dict[str, pa.Array]:
    names = pa.array(devices.class_names)
    return {
        "client": pa.array(np.arange(len(devices.device_class))),
        "device_class": names.take(pa.array(devices.device_class)),
        "samples": pa.array(np.asarray(samples, dtype=np.int64)),
        "speed_flops": pa.array(devices.speed_flops, from_pandas=True),  # NaN: no speed, but durations
        "downlink_bps": pa.array(devices.downlink_bps),
        "uplink_bps": pa.array(devices.uplink_bps),
        "latency_s": pa.array(devices.latency_s),
    }


class _Taken:
    """What tasks and errands took of each client: bytes, and energy where it is metered. [clients] each."""

    def __init__(self, clients: int) -> None:
        self.down, self.up = np.zeros(clients, dtype=np.int64), np.zeros(clients, dtype=np.int64)
        self._energy, self._metered = np.zeros(clients), np.zeros(clients, dtype=np.bool_)

    @property
    def energy_j(self) -> pa.Array:
        return pa.array(np.where(self._metered, self._energy, np.nan), from_pandas=True)

    def add(self, batch: pa.RecordBatch) -> None:
        """Add rows with these columns."""
        owners = batch.column("client").to_numpy()
        joules = batch.column("energy_j").to_numpy(zero_copy_only=False)
        known = ~np.isnan(joules)
        self._energy += np.bincount(owners[known], joules[known], len(self._energy))
        self._metered[owners[known]] = True
        np.add.at(self.down, owners, batch.column("bytes_down").to_numpy())
        np.add.at(self.up, owners, batch.column("bytes_up").to_numpy())


def _folded(
    tasks: Iterable[pa.RecordBatch], errands: Iterable[pa.RecordBatch], clients: int
) -> dict[str, pa.Array]:
    """Sum the tasks of each client: how many, per outcome, seconds busy, bytes; and add its errands."""
    counts = {outcome: np.zeros(clients, dtype=np.int64) for outcome in Outcome}
    busy, taken = np.zeros(clients), _Taken(clients)
    for batch in tasks:
        owners = batch.column("client").to_numpy()
        outcomes = batch.column("outcome").cast(pa.string()).to_numpy(zero_copy_only=False)
        for outcome, count in counts.items():
            count += np.bincount(owners[outcomes == outcome.value], minlength=clients)
        seconds = batch.column("ended_s").to_numpy() - batch.column("dispatched_s").to_numpy()
        busy += np.bincount(owners, seconds, clients)
        taken.add(batch)
    for batch in errands:
        taken.add(batch)
    return {
        "tasks": pa.array(sum(counts.values())),
        **{outcome.value: pa.array(count) for outcome, count in counts.items()},
        "busy_s": pa.array(busy),
        "energy_j": taken.energy_j,
        "bytes_down": pa.array(taken.down),
        "bytes_up": pa.array(taken.up),
    }
