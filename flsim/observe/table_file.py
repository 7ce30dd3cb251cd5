"""A Parquet file of a run's folder: written whole or not at all; read within limits, and checked.

Somebody else may have written it, and a Parquet file can be a bomb: a few kilobytes that stand for any
number of rows, or for a long text in each of them. Every row of a run's table says something of its own
(an id, an instant), which takes room.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as parquet

from flsim.errors import RunError, nearest
from flsim.observe.files import whole_file
from flsim.records import Outcome
from flsim.untrusted import most_rows, most_unpacked

MOST_ID = 100_000_000
"""Of a client, an edge or a version: what is counted for each of them has to fit into the memory."""

MOST_S = 1e15
"""Of virtual time, 30 million years: what pictures and traces make of more is no number any more."""

_NUMBERED = frozenset({"client", "edge", "version"})


def write_table(path: Path, table: pa.Table, compression: str = "zstd") -> None:
    """Put `table` at `path` in one step: a reader sees the old file or the new one.

    Raises RunError if it cannot be written.
    """
    with whole_file(path) as file:
        parquet.write_table(table, file, compression=compression)


def read_table(path: Path, schema: pa.Schema | None = None) -> pa.Table:
    """Return the table in a file, with the columns of `schema` in its order; all as they are without one.

    Raises RunError if there is no such file, or it was cut off, is larger than what a table of so many
    bytes comes to, lacks a column, or has values that the schema does not allow.
    """
    if not path.is_file():
        raise RunError(f"{path} is missing; is {path.parent} the folder of a run?")
    try:
        size = path.stat().st_size
        table = table_within_limits(str(path), lambda: path, size, schema)
    except (OSError, pa.ArrowException, ValueError, TypeError, OverflowError, MemoryError) as error:
        raise RunError(f"{path} cannot be read: {_first_line(error)}; was the run killed?") from error
    if schema is not None:
        return fitting(str(path), table, schema)
    for field in table.schema:
        if not _is_known_kind(field.type):
            raise RunError(
                f"{path}: the column {field.name} holds {field.type}, which no table of a run does"
            )
    return table


def table_within_limits(
    where: str, source: Callable[[], Any], size: int, schema: pa.Schema | None = None
) -> pa.Table:
    """Return the table in something that pyarrow reads, of so many bytes, with texts as plain text.

    `source`: gives it, anew each time. `where`: what messages call it. With a `schema`, only its columns.
    Raises RunError if it is larger than what a table of so many bytes comes to, and what pyarrow raises.
    """
    with parquet.ParquetFile(source()) as file:
        _refuse_bomb(where, file, size)
        words = [field.name for field in file.schema_arrow if pa.types.is_string(field.type)]
    with parquet.ParquetFile(source(), read_dictionary=words) as file:
        names = file.schema_arrow.names
        if schema is None:
            _check_names(where, names, names)
        else:
            _check_columns(where, names, schema)
        table = file.read(columns=None if schema is None else schema.names)
    table = _spelled(where, table, words, size)
    table.validate(full=True)  # offsets, codes of dictionaries, UTF-8
    return table


def fitting(where: str, table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the columns of a schema, in its order. `where`: what messages call the table.

    Raises RunError if one is missing, or has values that a run's records never have.
    """
    _check_columns(where, table.column_names, schema)
    table = table.select(schema.names)
    for field in schema:
        _check(where, field, table[field.name])
    return table


def _refuse_bomb(path: str, file: parquet.ParquetFile, size: int) -> None:
    facts = file.metadata
    if facts.num_rows > most_rows(size):
        raise RunError(f"{path}: {facts.num_rows:,} rows in {size:,} bytes; it is not a table of a run")
    unpacked = sum(facts.row_group(place).total_byte_size for place in range(facts.num_row_groups))
    if not 0 <= unpacked <= most_unpacked(size):
        raise RunError(f"{path}: {unpacked:,} bytes packed into {size:,}; it is not a table of a run")


def _check_columns(path: str, names: Sequence[str], schema: pa.Schema) -> None:
    if missing := [name for name in schema.names if name not in names]:
        raise RunError(f"{path} has no column {', '.join(missing)}; it is not a table of this flsim")
    _check_names(path, names, schema.names)


def _check_names(path: str, names: Sequence[str], needed: Sequence[str]) -> None:
    if twice := [name for name in dict.fromkeys(needed) if names.count(name) > 1]:
        raise RunError(f"{path} has more than one column {', '.join(twice)}")


def _spelled(path: str, table: pa.Table, words: Sequence[str], size: int) -> pa.Table:
    """Return the table with its texts, which were read as codes and a dictionary, written out."""
    for name in words:
        if name not in table.column_names:
            continue
        column = table[name]
        if pa.types.is_dictionary(column.type):
            length = sum(
                compute.sum(compute.binary_length(chunk.dictionary).take(chunk.indices)).as_py() or 0
                for chunk in column.chunks
            )
            if length > most_unpacked(size):
                raise RunError(f"{path}: the texts of the column {name} take {length:,} bytes")
            place = table.column_names.index(name)
            field = table.schema.field(place).with_type(pa.string())
            table = table.set_column(place, field, column.cast(pa.string()))
    return table


def _check(path: str, field: pa.Field, column: pa.ChunkedArray) -> None:
    """Refuse a column with values that a run's records never have."""
    if column.type != field.type:
        raise RunError(f"{path}: the column {field.name} holds {column.type}, not {field.type}")
    if not field.nullable and column.null_count:
        raise RunError(f"{path}: the column {field.name} has {column.null_count} rows without a value")
    if not len(column):
        return
    if pa.types.is_integer(field.type):
        lowest, highest = (each.as_py() for each in compute.min_max(column).values())
        if lowest is not None and lowest < 0:
            raise RunError(f"{path}: the column {field.name} has {lowest}; expected none below 0")
        if highest is not None and field.name in _NUMBERED and highest >= MOST_ID:
            raise RunError(f"{path}: the column {field.name} has {highest}; at most {MOST_ID:,} are there")
    elif pa.types.is_floating(field.type) and field.name.endswith("_s"):
        lowest, highest = (each.as_py() for each in compute.min_max(column).values())
        wrong = compute.any(compute.invert(compute.is_finite(column))).as_py()
        if wrong or (lowest is not None and (lowest < 0 or highest > MOST_S)):
            why = f"expected finite ones from 0 to {MOST_S:g} s"
            raise RunError(f"{path}: the column {field.name} has a time that no run has; {why}")
    elif field.name == "outcome" and pa.types.is_dictionary(field.type):
        words = set(compute.unique(column.cast(pa.string())).to_pylist())
        if pa.types.is_dictionary(column.type):  # those that no row has are hashed with the others
            words.update(str(word) for chunk in column.chunks for word in chunk.dictionary.to_pylist())
        if unknown := sorted(words - set(Outcome)):
            hint = nearest(unknown[0], Outcome)
            accepted = ", ".join(Outcome)
            raise RunError(f"{path}: no outcome is {unknown[0][:60]!r}; accepted: {accepted}{hint}")


def _is_known_kind(kind: pa.DataType) -> bool:
    """Whether a table of a run may have such a column: numbers, truth values, words, or lists of them."""
    if pa.types.is_list(kind) or pa.types.is_dictionary(kind):
        return _is_known_kind(kind.value_type)
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_string(kind)
    )


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__
