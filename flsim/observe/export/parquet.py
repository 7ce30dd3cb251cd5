"""Parquet for readers of few types: words are plain text, and nothing in the file is of Arrow alone."""

from pathlib import Path

import pyarrow.parquet as parquet

from flsim.observe.export.records import Named
from flsim.observe.files import whole_file


def write_parquet(tables: Named, out: Path) -> None:
    """Write a run's tables into the folder `out`. Raises RunError if a file cannot be read or written."""
    for name, table in tables:
        with whole_file(out / f"{name}.parquet") as file:
            parquet.write_table(
                table.replace_schema_metadata(), file, compression="snappy", store_schema=False
            )
