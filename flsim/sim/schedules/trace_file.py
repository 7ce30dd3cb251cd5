"""Reading a trace of availability: a CSV or Parquet file with the columns client, on_s, off_s."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet
from numpy.typing import NDArray

from flsim.errors import ScenarioError, nearest
from flsim.sim.schedules.schedule import Flags, Instants
from flsim.sim.schedules.trace import Intervals
from flsim.untrusted import most_rows

MOST_BYTES = 256 * 2**20
MOST_ROWS = 50_000_000  # more than fit in a CSV of that size; a Parquet file may unfold to any number

_COLUMNS = {"client": pa.int64(), "on_s": pa.float64(), "off_s": pa.float64()}
_WHAT = {"client": "whole numbers", "on_s": "numbers of seconds", "off_s": "numbers of seconds"}
_KEY = "fleet.availability.file"


def read_intervals(path: str, period_s: float | None = None) -> Intervals:
    """Return the intervals of a trace. Its rows and its columns may stand in any order.

    Intervals of one client that touch are joined. `period_s`: how long the trace is, if it repeats.
    Raises ScenarioError, with the row, when the file cannot be read, is larger than `MOST_BYTES`, lacks
    a column, has no rows, or has an interval that is no interval, overlaps another one of its client, or
    ends after `period_s`. In a CSV the header is row 1.
    """
    file = _TraceFile(Path(path))
    client, on_s, off_s = file.columns()
    file.refuse(client < 0, "client {} is negative", client)
    file.refuse(on_s < 0, "on_s {:g} is negative", on_s)
    file.refuse(off_s <= on_s, "off_s {:g} is not after on_s {:g}", off_s, on_s)
    if period_s is not None:
        file.refuse(off_s > period_s, f"off_s {{:g}} is beyond the period of {period_s:g} s", off_s)
    order = _order(client, on_s)
    if order is not None:
        client, on_s, off_s = client[order], on_s[order], off_s[order]
    same = client[1:] == client[:-1]
    _refuse_overlaps(file, order, same & (on_s[1:] < off_s[:-1]), client)
    begins = np.concatenate([[True], ~(same & (on_s[1:] == off_s[:-1]))])
    if not begins.all():
        client, on_s, off_s = client[begins], on_s[begins], off_s[np.append(begins[1:], True)]
    firsts = np.flatnonzero(np.concatenate([[True], client[1:] != client[:-1], [True]]))
    return Intervals(firsts, on_s, off_s)


def _order(client: NDArray[np.int64], on_s: Instants) -> NDArray[np.int64] | None:
    """Return what sorts by client and beginning; None where it is so already."""
    same = client[1:] == client[:-1]
    if np.all((client[1:] > client[:-1]) | (same & (on_s[1:] >= on_s[:-1]))):
        return None
    return np.lexsort((on_s, client))


def _refuse_overlaps(
    file: "_TraceFile", order: NDArray[np.int64] | None, overlaps: Flags, client: NDArray[np.int64]
) -> None:
    if overlaps.any():
        second = int(np.argmax(overlaps)) + 1
        pair = sorted((second - 1, second) if order is None else order[second - 1 : second + 1].tolist())
        other = file.row(pair[0])
        file.fail(f"row {file.row(pair[1])}: overlaps row {other} of the same client, {client[second]}")


class _TraceFile:
    """The file, for reading it and for saying what is wrong with it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._csv = path.suffix.lower() == ".csv"
        if not self._csv and path.suffix.lower() != ".parquet":
            self.fail("a trace is a .csv or a .parquet file")

    def columns(self) -> tuple[NDArray[np.int64], Instants, Instants]:
        """Return client, on_s and off_s: finite, and at least one row."""
        try:
            if not self._path.is_file():
                self.fail("there is no such file")
            size = self._path.stat().st_size
            if size > MOST_BYTES:
                self.fail(f"has {size} bytes; at most {MOST_BYTES} (256 MiB) are read")
            table = self._csv_table() if self._csv else self._parquet_table()
        except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
            self._fail_to_read(error)
        if not table.num_rows:
            self.fail("has no rows")
        client, on_s, off_s = (self._column(table, name) for name in _COLUMNS)
        return client, on_s, off_s

    def refuse(self, bad: Flags, why: str, *values: NDArray[Any]) -> None:
        """Refuse the file if a row is bad: `why` is filled with the row's values."""
        if bad.any():
            index = int(np.argmax(bad))
            told = why.format(*(value[index] for value in values))
            self.fail(f"row {self.row(index)}: {told}")

    def row(self, index: int) -> int:
        """Return a row's number in the file, from its place among the rows with values."""
        return self._line(index + 2) if self._csv else index + 1

    def fail(self, why: str) -> NoReturn:
        """Refuse the file."""
        raise ScenarioError(f"{_KEY}: {self._path}: {why}")

    def _csv_table(self) -> Any:
        # One thread: only then Arrow knows the row of a value that is no number.
        alone = pa_csv.ReadOptions(use_threads=False)
        text = pa_csv.ConvertOptions(column_types=dict.fromkeys(_COLUMNS, pa.string()))
        with pa_csv.open_csv(self._path, read_options=alone, convert_options=text) as opened:
            self._check_names(opened.schema.names)
        numbers = pa_csv.ConvertOptions(
            include_columns=list(_COLUMNS), column_types=_COLUMNS, null_values=[""]
        )
        return pa_csv.read_csv(self._path, read_options=alone, convert_options=numbers)

    def _parquet_table(self) -> Any:
        with pa_parquet.ParquetFile(self._path) as opened:
            schema, rows = opened.schema_arrow, opened.metadata.num_rows
            self._check_names(schema.names)
            most = min(MOST_ROWS, most_rows(self._path.stat().st_size))
            if rows > most:
                self.fail(f"has {rows} rows; at most {most} are read of a file of its size")
            for name in _COLUMNS:
                given = schema.field(name).type
                is_number = pa.types.is_integer(given) or (name != "client" and pa.types.is_floating(given))
                if not is_number:
                    self.fail(f"the column {name} holds {given}, not {_WHAT[name]}")
            return opened.read(columns=list(_COLUMNS))

    def _check_names(self, names: Sequence[str]) -> None:
        for name in _COLUMNS:
            if names.count(name) > 1:
                self.fail(f"has more than one column {name}")
            if name not in names:
                others = [other for other in names if other not in _COLUMNS]
                self.fail(f"has no column {name}; its columns: {', '.join(names)}{nearest(name, others)}")

    def _column(self, table: Any, name: str) -> NDArray[Any]:
        column = table[name]
        if column.null_count:
            missing = column.is_null().to_numpy()
            self.refuse(missing, f"{name} is missing")
        try:
            values: NDArray[Any] = column.cast(_COLUMNS[name]).to_numpy()
        except pa.ArrowInvalid as error:  # a whole number that 64 bits do not hold
            self.fail(f"the column {name}: {error}")
        self.refuse(~np.isfinite(values), f"{name} is {{}}, not a finite number", values)
        return values

    def _fail_to_read(self, error: Exception) -> NoReturn:
        told = str(error).splitlines()[0]
        found = re.search(r"Row #(\d+): (.*)", told) if self._csv else None
        if found is None:
            self.fail(f"cannot be read: {told}")
        column = re.search(r"CSV column #(\d+)", told)
        place = f"{list(_COLUMNS)[int(column[1])]}: " if column else ""
        self.fail(f"row {self._line(int(found[1]))}: {place}{found[2]}")

    def _line(self, record: int) -> int:
        """Return the line of the file that holds a record, both counted from 1: lines can be empty."""
        with self._path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                record -= bool(line.strip(b"\r\n"))
                if not record:
                    return number
        return number + record
