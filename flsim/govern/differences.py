"""Two folders of one scenario's runs: whether they say the same, and if not, which record is the first."""

import gzip
import math
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from flsim.errors import RunError
from flsim.govern.manifest import FOLDER, MANIFEST
from flsim.govern.segments import TEXTS
from flsim.observe.table_file import read_table
from flsim.untrusted import MEBIBYTE, MOST_BYTES, content_of, json_of

MOST_UNPACKED = 256 * MEBIBYTE
"""Of a packed file: a timeline of as many events as are written takes a fifth of that."""

_MANIFEST = f"{FOLDER}/{MANIFEST}"
TOLD_APART = {
    "summary.json": ("wall_time_s", "scenario_sha256", "tracking"),
    _MANIFEST: ("environment", "artefacts", "config", "seal"),
}
"""Keys that differ between two runs of one scenario: by clocks, the machine, the place, and who is told."""

_COMPARED = frozenset({".parquet", ".json", ".jsonl", ".csv", ".gz", ".pt", ".safetensors"})
_TENSORS = (".pt", ".safetensors")  # compared byte by byte, however large a model is
_FOLDERS = ("", FOLDER, "checkpoints")  # of a run's own
_INSTANTS = ("time_s", "ended_s", "virtual_time_s")
_MISSING = "(missing)"


@dataclass(frozen=True)
class Difference:
    """The first record in which two runs differ.

    `record`: a row of a table, from 0 on, a line of a text, from 1 on, or a key of summary.json. `at_s`:
    when that was, in virtual time; None where the record does not say.
    """

    file: str
    record: str
    column: str | None
    first: object
    second: object
    at_s: float | None = None

    def __str__(self) -> str:
        column = "" if self.column is None else f", column {self.column}"
        when = "" if self.at_s is None else f" at {self.at_s:g} s"
        return f"{self.file}, {self.record}{when}{column}: {_shown(self.first)} and {_shown(self.second)}"


@dataclass(frozen=True)
class Compared:
    """What comparing two folders gave.

    `differences`: the first in each file, the earliest in virtual time first. `same`: files that say the
    same, and `not_compared` those that nobody looked at: pictures of the records, and what is
    not the run's.
    """

    differences: tuple[Difference, ...]
    same: tuple[str, ...]
    not_compared: tuple[str, ...]


def compare_folders(
    first: Path, second: Path, ignored: Mapping[str, Collection[str]] = TOLD_APART, *, logs: bool = True
) -> Compared:
    """Compare the records of two runs, and what is folded from them.

    `ignored`: keys of summary.json that may differ. `logs`: whether audit logs are compared, too. Raises
    RunError where a table cannot be read.
    """
    differences, same, not_compared = [], [], []
    for name in sorted(_files(first) | _files(second)):
        if not _is_compared(name) or (not logs and name.startswith(FOLDER)):
            not_compared.append(name)
        elif not (first / name).is_file() or not (second / name).is_file():
            there = [("there" if (folder / name).is_file() else _MISSING) for folder in (first, second)]
            differences.append(Difference(name, "the file", None, there[0], there[1]))
        elif (found := _difference(first / name, second / name, name, ignored.get(name, ()))) is not None:
            differences.append(found)
        else:
            same.append(name)
    differences.sort(key=lambda found: (math.inf if found.at_s is None else found.at_s, _rank(found.file)))
    return Compared(tuple(differences), tuple(same), tuple(not_compared))


def _files(folder: Path) -> set[str]:
    if not folder.is_dir():
        raise RunError(f"{folder}: no such folder")
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def _is_compared(name: str) -> bool:
    """Return whether a file is of the records; others are pictures of them, or somebody else's."""
    path = PurePosixPath(name)
    parent = "" if len(path.parts) == 1 else path.parts[0]
    return path.suffix in _COMPARED and parent in _FOLDERS


def _rank(name: str) -> tuple[bool, bool, str]:
    """Return which file is named first, of those that differ at one instant: records before folds."""
    return (not name.endswith(".parquet"), name != "tasks.parquet", name)


def _difference(first: Path, second: Path, name: str, ignored: Collection[str]) -> Difference | None:
    if name.endswith(".parquet"):
        return table_difference(_table(first), _table(second), name)
    before, after = (_content(path) for path in (first, second))
    if before == after:
        return None
    if name in TOLD_APART:
        return _key_difference(_object(first, before), _object(second, after), name, ignored)
    if first.suffix == ".gz" or first.suffix in TEXTS:
        return _line_difference(before, after, name)
    return _byte_difference(before, after, name)


def _content(path: Path) -> bytes:
    try:
        if path.suffix != ".gz":
            return content_of(path, None if path.suffix in _TENSORS else MOST_BYTES)
        with gzip.open(path) as file:
            content = file.read(MOST_UNPACKED + 1)
        if len(content) > MOST_UNPACKED:
            raise ValueError(f"it unpacks to more than {MOST_UNPACKED / MEBIBYTE:g} MiB")
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise RunError(f"{path} cannot be read: {error}") from error
    return content


def _object(path: Path, content: bytes) -> dict[str, Any]:
    try:
        data = json_of(content)
    except ValueError as error:
        raise RunError(f"{path} cannot be read: {error}") from error
    return data if isinstance(data, dict) else {}


def _table(path: Path) -> pa.Table:
    return read_table(path)


def table_difference(first: pa.Table, second: pa.Table, name: str) -> Difference | None:
    """Return the first row in which two tables differ, and its first column; None if they do not."""
    if first.column_names != second.column_names:
        return Difference(name, "the columns", None, first.column_names, second.column_names)
    rows = min(first.num_rows, second.num_rows)
    at, column = rows, None
    for other in first.column_names:
        here = _first_unequal(first[other], second[other], at)
        if here < at:
            at, column = here, other
    if column is not None:
        before, after = (table[column][at].as_py() for table in (first, second))
        return Difference(name, f"row {at}", column, before, after, _instant(first, at))
    if first.num_rows != second.num_rows:
        longer = first if first.num_rows > rows else second
        counts = [f"{table.num_rows} rows" for table in (first, second)]
        return Difference(name, f"row {rows}", None, counts[0], counts[1], _instant(longer, rows))
    return None


def _first_unequal(first: pa.ChunkedArray, second: pa.ChunkedArray, rows: int) -> int:
    """Return the first of so many rows in which two columns differ; `rows` if they do not.

    Found by halving: the rows up to the middle are the same or not.
    """
    low, high = 0, rows
    if _same(first, second, low, high):
        return rows
    while high - low > 1:
        middle = (low + high) // 2
        if _same(first, second, low, middle):
            low = middle
        else:
            high = middle
    return low


def _same(first: pa.ChunkedArray, second: pa.ChunkedArray, low: int, high: int) -> bool:
    """Return whether a stretch of rows is the same. A NaN is the same as a NaN."""
    before, after = first.slice(low, high - low), second.slice(low, high - low)
    if before.equals(after):
        return True
    if not pa.types.is_floating(first.type):
        return False
    return all(
        one == two or (one is not None and two is not None and math.isnan(one) and math.isnan(two))
        for one, two in zip(before.to_pylist(), after.to_pylist(), strict=True)
    )


def _instant(table: pa.Table, row: int) -> float | None:
    for name in _INSTANTS:
        if name in table.column_names:
            at: float | None = table[name][row].as_py()
            return at
    return None


def _key_difference(
    first: Mapping[str, Any], second: Mapping[str, Any], name: str, ignored: Collection[str]
) -> Difference | None:
    for key in sorted(first.keys() | second.keys()):
        before, after = first.get(key, _MISSING), second.get(key, _MISSING)
        if key not in ignored and before != after:
            return Difference(name, f"key {key}", None, before, after)
    return None


def _line_difference(first: bytes, second: bytes, name: str) -> Difference:
    before, after = (content.splitlines() for content in (first, second))
    shorter = min(len(before), len(after))
    at = next((row for row in range(shorter) if before[row] != after[row]), shorter)
    return Difference(name, f"line {at + 1}", None, _line(before, at), _line(after, at))


def _byte_difference(first: bytes, second: bytes, name: str) -> Difference:
    shorter = min(len(first), len(second))
    at = next((place for place in range(shorter) if first[place] != second[place]), shorter)
    values = [content[at] if at < len(content) else _MISSING for content in (first, second)]
    return Difference(name, f"byte {at}", None, values[0], values[1])


def _line(lines: Sequence[bytes], at: int) -> str:
    return lines[at].decode(errors="replace") if at < len(lines) else _MISSING


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 200 else f"{text[:197]}…"
