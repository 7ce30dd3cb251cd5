"""CSV: a file for each table, with a head line; what is null is an empty cell.

Text that a spreadsheet would take for a formula gets an apostrophe in front (OWASP, "CSV Injection"):
text that begins with =, +, -, @, a tab or a carriage return. Numbers are never touched, and are written
to their last digit.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.csv as csv

from flsim.observe.export.records import Named, flat
from flsim.observe.files import whole_file

_FORMULA = r"^([=+\-@\t\r])"


def write_csv(tables: Named, out: Path) -> None:
    """Write a run's tables into the folder `out`. Raises RunError if a file cannot be read or written."""
    for name, table in tables:
        with whole_file(out / f"{name}.csv") as file:
            csv.write_csv(harmless(flat(table)), file)


def harmless(table: pa.Table) -> pa.Table:
    """Return a table in which no text is a formula."""
    for place, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            texts = compute.replace_substring_regex(table.column(place), _FORMULA, r"'\1")
            table = table.set_column(place, field, texts)
    return table
