"""The tables of a run as they are, column by column, for the formats that take any table."""

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from flsim.observe.folder import RECORDS
from flsim.observe.table_file import read_table


def tables_in(folder: Path) -> Iterator[tuple[str, pa.Table]]:
    """Yield the name and the rows of each table that the run in `folder` wrote.

    Words are plain text, not codes of a dictionary. Raises RunError if a table cannot be read.
    """
    for name in RECORDS:
        path = folder / name
        if not path.is_file():
            continue
        yield path.stem, plain(read_table(path))


def plain(table: pa.Table) -> pa.Table:
    """Return a table with every dictionary column spelled out."""
    fields = [
        field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field
        for field in table.schema
    ]
    return table.cast(pa.schema(fields))


def flat(table: pa.Table) -> pa.Table:
    """Return a table with every list as text: JSON, with its numbers to their last digit."""
    for place, field in enumerate(table.schema):
        if pa.types.is_list(field.type):
            texts = [None if row is None else json.dumps(row) for row in table.column(place).to_pylist()]
            table = table.set_column(place, field.name, pa.array(texts, pa.string()))
    return table
