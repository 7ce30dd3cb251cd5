"""Writing a table whole or not at all."""

from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from flsim.observe.files import whole_file


def write_table(path: Path, table: pa.Table, compression: str = "zstd") -> None:
    """Put `table` at `path` in one step: a reader sees the old file or the new one.

    Raises RunError if it cannot be written.
    """
    with whole_file(path) as file:
        parquet.write_table(table, file, compression=compression)
