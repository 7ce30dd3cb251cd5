"""Capacities from a file: CSV or Parquet, with the columns time_s and capacity_bps."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv, parquet

from flsim.errors import ScenarioError, nearest
from flsim.sim.network.outside import MEBIBYTE, outside_file, shown
from flsim.sim.series import Series, steps
from flsim.untrusted import most_rows

_COLUMNS = ("time_s", "capacity_bps")
_LARGEST_BYTES = 256 * MEBIBYTE
_MOST_ROWS = 32 * MEBIBYTE  # Parquet packs repeated values: a small file can hold any number of rows
_ROW = re.compile(r"Row #(\d+): (.*)", re.DOTALL)


@dataclass(frozen=True)
class _Recording:
    """A file's two columns, and what its first row of values is called."""

    path: str
    time_s: NDArray[np.float64]
    capacity_bps: NDArray[np.float64]
    first_row: int

    def row(self, index: int) -> str:
        return f"{self.path}, row {self.first_row + index}"


def read_capacity(path: str, period_s: float | None) -> Series:
    """Return the capacity in bit/s that a file records, from time zero on; with a period, repeated.

    Rows of a CSV file are counted from its header, as an editor does; those of a Parquet file from 1.
    Raises ScenarioError, with file and row, if the file cannot be read or is no such recording.
    """
    recording = _read(path)
    _check(recording, period_s)
    return steps(recording.time_s, recording.capacity_bps, period_s)


def _read(path: str) -> _Recording:
    source = outside_file(path, _LARGEST_BYTES, _READERS)
    read, first_row = _READERS[source.suffix.lower()]
    try:
        table = read(source)
    except (pa.ArrowException, OSError, ValueError) as error:
        message = str(error)[:300]
        if (in_row := _ROW.search(message)) is not None:
            raise ScenarioError(f"{path}, row {in_row[1]}: {in_row[2].strip()}") from error
        raise ScenarioError(f"{path}: {message}") from error
    time_s, capacity_bps = (_numbers(table, name) for name in _COLUMNS)
    return _Recording(path, time_s, capacity_bps, first_row)


def _read_csv(source: Path) -> pa.Table:
    table = csv.read_csv(
        source,
        read_options=csv.ReadOptions(use_threads=False),  # with threads, errors name no row
        parse_options=csv.ParseOptions(ignore_empty_lines=False),
        convert_options=csv.ConvertOptions(column_types=dict.fromkeys(_COLUMNS, pa.float64())),
    )
    _check_columns(table.column_names, source)
    return table


def _read_parquet(source: Path) -> pa.Table:
    with parquet.ParquetFile(source) as file:
        _check_columns(file.schema_arrow.names, source)
        for name in _COLUMNS:
            kind = file.schema_arrow.field(name).type
            if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
                raise ScenarioError(f"{source}: the column {name} must hold numbers, not {kind}")
        most = min(_MOST_ROWS, most_rows(source.stat().st_size))
        if file.metadata.num_rows > most:
            raise ScenarioError(f"{source}: has {file.metadata.num_rows:,} rows, at most {most:,}")
        return file.read()


_READERS: dict[str, tuple[Callable[[Path], pa.Table], int]] = {
    ".csv": (_read_csv, 2),
    ".parquet": (_read_parquet, 1),
}


def _check_columns(names: Sequence[str], source: Path) -> None:
    for name in names:
        if name not in _COLUMNS:
            hint = nearest(name, _COLUMNS)
            raise ScenarioError(
                f"{source}: unknown column {shown(name)}; accepted: {', '.join(_COLUMNS)}{hint}"
            )
    for name in _COLUMNS:
        if names.count(name) != 1:
            found = "is missing" if name not in names else "is there more than once"
            raise ScenarioError(f"{source}: the column {name} {found}")


def _numbers(table: pa.Table, name: str) -> NDArray[np.float64]:
    """Return a column as floats, NaN where it is empty."""
    column = table[name].cast(pa.float64(), safe=False)
    numbers: NDArray[np.float64] = column.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
    return numbers


def _check(recording: _Recording, period_s: float | None) -> None:
    time_s, capacity_bps = recording.time_s, recording.capacity_bps
    if not len(time_s):
        raise ScenarioError(f"{recording.path}: has no rows")
    if (index := _first(~np.isfinite(time_s))) is not None:
        raise ScenarioError(f"{recording.row(index)}: time_s must be a finite number")
    if (index := _first(~(np.isfinite(capacity_bps) & (capacity_bps >= 0)))) is not None:
        given = "empty or NaN" if np.isnan(capacity_bps[index]) else f"{capacity_bps[index]:g}"
        raise ScenarioError(
            f"{recording.row(index)}: capacity_bps must be finite and not negative: {given}"
        )
    if time_s[0] != 0:
        raise ScenarioError(f"{recording.row(0)}: the first time_s must be 0 (given: {time_s[0]:g})")
    if (index := _first(np.diff(time_s) <= 0)) is not None:
        before, after = time_s[index], time_s[index + 1]
        raise ScenarioError(
            f"{recording.row(index + 1)}: time_s must increase, but {after} follows {before}"
        )
    last = len(time_s) - 1
    if period_s is not None and period_s <= time_s[last]:
        why = f"time_s must be less than the period, {period_s:g} s (given: {time_s[last]:g})"
        raise ScenarioError(f"{recording.row(last)}: {why}")
    if not capacity_bps.any():
        raise ScenarioError(f"{recording.path}: the capacity is always zero: nothing could ever arrive")
    if period_s is None and capacity_bps[last] == 0:
        why = "the capacity stays zero for ever; add a later row, or give a period"
        raise ScenarioError(f"{recording.row(last)}: {why}")


def _first(wrong: NDArray[np.bool_]) -> int | None:
    """Return the first place where something is wrong."""
    return int(wrong.argmax()) if wrong.any() else None
