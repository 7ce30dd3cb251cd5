"""`ending.parquet`: how a run ended, as a record like the others: a table of one row."""

from pathlib import Path

import pyarrow as pa

from flsim.observe.schemas import ENDING_SCHEMA
from flsim.observe.table_file import write_table
from flsim.records import EndingRecord


def write_ending(folder: Path, record: EndingRecord) -> None:
    """Write `folder/ending.parquet`. Raises RunError if it cannot be written."""
    table = pa.Table.from_pylist([record._asdict()], ENDING_SCHEMA)
    write_table(folder / "ending.parquet", table, compression="snappy")


def ending_of(table: pa.Table | None) -> EndingRecord | None:
    """Return the row of the table; None if the run was killed, and left none."""
    rows = [] if table is None else table.to_pylist()
    return EndingRecord(**rows[0]) if rows else None
