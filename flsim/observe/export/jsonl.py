"""JSON Lines: a file for each table, an object for each row with all of its columns.

What is null is null, and so is what JSON cannot say: NaN and the infinities.
"""

import json
from pathlib import Path

from flsim.observe.export.records import Named
from flsim.observe.files import whole_file, without_nan

_ROWS = 4_096  # at a time


def write_jsonl(tables: Named, out: Path) -> None:
    """Write a run's tables into the folder `out`. Raises RunError if a file cannot be read or written."""
    for name, table in tables:
        with whole_file(out / f"{name}.jsonl") as file:
            for batch in table.to_batches(_ROWS):
                rows = (json.dumps(without_nan(row), ensure_ascii=False) for row in batch.to_pylist())
                file.write("".join(f"{row}\n" for row in rows).encode())
