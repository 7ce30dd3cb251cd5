"""The tables of a run as they are, column by column, for the formats that take any table."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path

import pyarrow as pa

from flsim.observe.folder import RECORDS
from flsim.observe.table_file import read_table
from flsim.observe.tables import Tables, was_killed

Named = Iterable[tuple[str, pa.Table]]


def tables_in(folder: Path, tables: Tables) -> Iterator[tuple[str, pa.Table]]:
    """Yield the name and the rows of each table of the run in `folder`, whose records are `tables`.

    They are those that the run wrote, or, of one that was killed, those of its journal. Words are plain
    text, not codes of a dictionary. Raises RunError if a table cannot be read.
    """
    if was_killed(folder):
        yield from _of_journal(tables)
        return
    for name in RECORDS:
        path = folder / name
        if not path.is_file():
            continue
        yield path.stem, plain(read_table(path))


def _of_journal(tables: Tables) -> Iterator[tuple[str, pa.Table]]:
    for each in fields(tables):
        if isinstance(table := getattr(tables, each.name), pa.Table):
            yield each.name, plain(table)
    if (edges := tables.edges) is not None:
        yield "edge_tasks", plain(edges.tasks)
        yield "edge_versions", plain(edges.versions)


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
