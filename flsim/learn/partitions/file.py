"""A partition that somebody has written down: whose each training sample is."""

import json
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from flsim.errors import ScenarioError
from flsim.learn.partitions.dealing import Indices, Rows, gathered, partition
from flsim.scenario.partition import FilePartition
from flsim.untrusted import most_rows

MOST_BYTES = 256 * 2**20
MOST_ROWS = 50_000_000  # a Parquet file may unfold to any number
_COLUMNS = ("sample", "client")
_KEY = "partition.path"


@partition.register
def partition_by_file(spec: FilePartition, rows: Rows, clients: int, seed: int) -> list[Indices]:
    """Deal the samples as the file says. See `partition`; nobody is lifted to a minimum.

    The samples are numbered from 0, as the dataset has them once those are gone that nobody trains on or
    the server does. Raises ScenarioError, with the sample, unless each has one client, and every client
    `spec.min_samples`.
    """
    file = _File(Path(spec.path))
    samples, owners = file.pairs()
    file.refuse(samples, (samples < 0) | (samples >= rows.count), f"only 0 to {rows.count - 1} are there")
    file.refuse(samples, (owners < 0) | (owners >= clients), f"its client is not in 0 to {clients - 1}")
    times = np.bincount(samples, minlength=rows.count)
    every = np.arange(rows.count)
    file.refuse(every, times > 1, "it is there more than once")
    file.refuse(every, times == 0, f"it is missing; there are {rows.count} to deal")
    client_of = np.empty(rows.count, np.int64)
    client_of[samples] = owners
    parts = gathered(client_of, clients)
    poorest = min(range(clients), key=lambda client: len(parts[client]))
    if len(parts[poorest]) < spec.min_samples:
        had = f"client {poorest} has {len(parts[poorest])} samples, but min_samples is {spec.min_samples}"
        file.fail(f"{had}; change the file, or lower partition.min_samples")
    return parts


class _File:
    """The file, for reading it and for saying what is wrong with it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def pairs(self) -> tuple[Indices, Indices]:
        """Return samples and their clients, as many as the file has."""
        kinds = {".csv": self._from_csv, ".parquet": self._from_parquet, ".json": self._from_json}
        read = kinds.get(self._path.suffix.lower())
        if read is None:
            self.fail("a partition is a .csv, a .parquet or a .json file")
        if not self._path.is_file():
            self.fail("there is no such file")
        if (size := self._path.stat().st_size) > MOST_BYTES:
            self.fail(f"has {size} bytes; at most {MOST_BYTES} (256 MiB) are read")
        try:
            return read()
        except (OSError, ValueError, RecursionError, pa.ArrowException) as error:
            self.fail(f"cannot be read: {str(error).splitlines()[0]}")

    def refuse(self, samples: Indices, bad: "np.typing.NDArray[np.bool_]", why: str) -> None:
        """Refuse the file if there is a bad sample, and say which is the first."""
        if bad.any():
            self.fail(f"sample {samples[int(np.argmax(bad))]}: {why}")

    def fail(self, why: str) -> NoReturn:
        """Refuse the file."""
        raise ScenarioError(f"{_KEY}: {self._path}: {why}")

    def _from_csv(self) -> tuple[Indices, Indices]:
        types = pa_csv.ConvertOptions(column_types=dict.fromkeys(_COLUMNS, pa.int64()))
        return self._columns(pa_csv.read_csv(self._path, convert_options=types))

    def _from_parquet(self) -> tuple[Indices, Indices]:
        with pa_parquet.ParquetFile(self._path) as opened:
            most = min(MOST_ROWS, most_rows(self._path.stat().st_size))
            if opened.metadata.num_rows > most:
                self.fail(f"has {opened.metadata.num_rows} rows; at most {most} are read of so many bytes")
            return self._columns(opened.read(columns=list(_COLUMNS)))

    def _columns(self, table: Any) -> tuple[Indices, Indices]:
        for name in _COLUMNS:
            if table.column_names.count(name) != 1:
                found = ", ".join(table.column_names)
                self.fail(f"needs one column {name}; its columns: {found}")
            if not pa.types.is_integer(table[name].type) or table[name].null_count:
                self.fail(f"the column {name} must hold whole numbers in every row")
        samples, clients = (table[name].cast(pa.int64()).to_numpy() for name in _COLUMNS)
        return samples, clients

    def _from_json(self) -> tuple[Indices, Indices]:
        parts = json.loads(self._path.read_bytes())
        if not isinstance(parts, list) or not all(isinstance(part, list) for part in parts):
            self.fail("needs a list for each client, of the numbers of its samples: [[0, 3], [1, 2]]")
        flat = [sample for part in parts for sample in part]
        if not all(type(sample) is int and abs(sample) < 2**63 for sample in flat):
            self.fail("a sample is a whole number")
        owners = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        return np.array(flat, np.int64), owners.astype(np.int64)
