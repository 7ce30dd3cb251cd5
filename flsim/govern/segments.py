"""Segments of a file, by which a change can be placed: lines, column chunks of a table, or blocks.

That a file has changed is known from the hash of all of it. Where it has, 32 bits of each segment's hash
are enough to say. A file has at most 4,096 segments of lines, of rows and of bytes each: where it has more
lines, rows or blocks, several of them are one segment.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from pydantic import BaseModel, ConfigDict, Field

from flsim.errors import RunError
from flsim.govern.canonical import brief, canonical
from flsim.observe.table_file import table_within_limits

MOST = 4_096
BLOCK = 4_096
TEXTS = frozenset({".json", ".jsonl", ".csv", ".yaml", ".html", ".txt", ".md"})
TABLE = ".parquet"
_DIGITS = 8

Count = Annotated[int, Field(ge=0)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Chunk(_Frozen):
    """Where a table's file has the values of one column, of a row group."""

    column: str
    first_row: Count
    rows: Count
    start: Count
    bytes: Count
    digest: str


class Segments(_Frozen):
    """Digests of the parts of a file. `lines`, `blocks` and `rows` are digests put one after the other.

    `per`: how many lines, bytes or rows are one segment, except for the last. `chunks` and `rows` are of
    tables, the others of other files.
    """

    per: Count
    lines: str | None = None
    blocks: str | None = None
    rows: str | None = None
    chunks: tuple[Chunk, ...] = ()


def segments_of(path: Path, content: bytes) -> Segments:
    """Return the segments of a file that is whole."""
    if path.suffix == TABLE:
        return _of_table(content)
    if path.suffix in TEXTS:
        lines = content.splitlines(keepends=True)
        per = _per(len(lines))
        return Segments(
            per=per, lines=_digests(b"".join(lines[at : at + per]) for at in _starts(lines, per))
        )
    per = max(BLOCK, BLOCK * _per(-(-len(content) // BLOCK)))
    return Segments(per=per, blocks=_digests(content[at : at + per] for at in _starts(content, per)))


def place_of_change(known: Segments, content: bytes) -> str:
    """Return where content differs from that of which the segments are known, in words."""
    if known.lines is not None:
        lines = content.splitlines(keepends=True)
        per = known.per
        now = _digests(b"".join(lines[at : at + per]) for at in _starts(lines, per))
        return _ranges("line", known.lines, now, per, first=1)
    if known.blocks is not None:
        now = _digests(content[at : at + known.per] for at in _starts(content, known.per))
        return _ranges("byte", known.blocks, now, known.per, first=0)
    return _place_in_table(known, content)


def _per(count: int) -> int:
    return max(1, -(-count // MOST))


def _starts(sized: Sequence[object], per: int) -> range:
    return range(0, len(sized), per)


def _digests(parts: Iterator[bytes] | Sequence[bytes]) -> str:
    return "".join(brief(part) for part in parts)


def _split(digests: str) -> list[str]:
    return [digests[at : at + _DIGITS] for at in range(0, len(digests), _DIGITS)]


def _ranges(what: str, known: str, now: str, per: int, first: int) -> str:
    """Return which segments have changed, as a range of lines, bytes or rows; nothing if none has.

    What is the same before them and after them is left out, also where a line more or less moves the rest.
    """
    before, after = _split(known), _split(now)
    if before == after:
        return ""
    shorter = min(len(before), len(after))
    same = next((at for at in range(shorter) if before[at] != after[at]), shorter)
    left = shorter - same
    back = next((at for at in range(left) if before[-1 - at] != after[-1 - at]), left)
    low, high = first + same * per, first + max(same + 1, len(before) - back) * per - 1
    return f"{what} {low}" if low == high else f"{what}s {low} to {high}"


# Tables


def _of_table(content: bytes) -> Segments:
    with parquet.ParquetFile(pa.BufferReader(content)) as file:
        table = file.read()
        chunks = tuple(_chunks(file.metadata, content))
    per = _per(table.num_rows)
    return Segments(per=per, rows=_digests(_row_bytes(table, per)), chunks=chunks)


def _chunks(metadata: Any, content: bytes) -> Iterator[Chunk]:
    row = 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for place in range(group.num_columns):
            column = group.column(place)
            start = column.data_page_offset
            if column.dictionary_page_offset is not None:
                start = min(start, column.dictionary_page_offset)
            size = column.total_compressed_size
            yield Chunk(
                column=column.path_in_schema.partition(".")[0],
                first_row=row,
                rows=group.num_rows,
                start=start,
                bytes=size,
                digest=brief(content[start : start + size]),
            )
        row += group.num_rows


def _row_bytes(table: pa.Table, per: int) -> Iterator[bytes]:
    """Yield the values of so many rows at a time, as bytes."""
    columns = [_column_values(column.combine_chunks()) for column in table.columns]
    for start in range(0, table.num_rows, per):
        parts = (
            values[start : start + per].tobytes()
            if isinstance(values, np.ndarray)
            else canonical(values[start : start + per])
            for values in columns
        )
        yield b"\0".join(parts)


def _column_values(column: Any) -> "np.ndarray[Any, Any] | list[Any]":
    """Return a column as numbers where it has no nulls, and as values of Python's otherwise."""
    column = column if isinstance(column, pa.Array) else pa.concat_arrays(column.chunks)
    if pa.types.is_primitive(column.type) and not column.null_count:
        values: np.ndarray[Any, Any] = column.to_numpy(zero_copy_only=False)
        return values
    listed: list[Any] = json.loads(canonical(column.to_pylist()))
    return listed


def _place_in_table(known: Segments, content: bytes) -> str:
    """Return which columns and rows a table's file has elsewise, as far as that can be told."""
    wrong = [
        chunk
        for chunk in known.chunks
        if brief(content[chunk.start : chunk.start + chunk.bytes]) != chunk.digest
    ]
    if rows := _changed_rows(known, content):
        names = ", ".join(dict.fromkeys(chunk.column for chunk in wrong)) if len(wrong) <= 3 else ""
        return rows + (f", column {names}" if names else "")
    if not wrong:
        return "the table's head or footer, outside of all columns"
    low = min(chunk.first_row for chunk in wrong)
    high = max(chunk.first_row + chunk.rows for chunk in wrong) - 1
    names = ", ".join(dict.fromkeys(chunk.column for chunk in wrong))
    where = f"bytes {wrong[0].start} to {wrong[-1].start + wrong[-1].bytes - 1}"
    return f"column {names} of rows {low} to {high} ({where})"


def _changed_rows(known: Segments, content: bytes) -> str:
    """Return which rows say something else, if the table can still be read and does."""
    try:
        table = table_within_limits("it", lambda: pa.BufferReader(content), len(content))
        now = _digests(_row_bytes(table, known.per))
    except (OSError, pa.ArrowException, ValueError, TypeError, MemoryError, RunError):
        return ""
    return _ranges("row", known.rows or "", now, known.per, first=0)
