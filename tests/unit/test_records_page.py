"""docs/records.md says every table and every column of the records, and nothing that is not there."""

import re
from pathlib import Path

import pyarrow as pa

from flsim.observe import schemas
from flsim.observe.export.write import FORMATS
from flsim.observe.folder import RECORDS
from flsim.observe.timeline import MOST_EVENTS

PAGE = (Path(__file__).parents[2] / "docs" / "records.md").read_text()
SECTIONS = dict(re.findall(r"^### (\w+)\.parquet\n(.*?)(?=^### |\Z)", PAGE, re.MULTILINE | re.DOTALL))


def test_every_table_has_a_section() -> None:
    assert {f"{name}.parquet" for name in SECTIONS} == set(RECORDS)


def test_sections_have_the_columns_of_the_tables() -> None:
    for name, text in SECTIONS.items():
        columns = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
        if name == "edge_tasks":
            assert columns == []  # those of tasks
            continue
        schema: pa.Schema = getattr(schemas, f"{name.upper()}_SCHEMA")
        assert columns == schema.names, name


def test_every_format_is_there() -> None:
    rows = re.search(r"\| format \| what it writes \|\n\|---\|---\|\n(.*?)\n\n", PAGE, re.DOTALL)
    assert rows is not None
    assert re.findall(r"^\| `([\w-]+)` \|", rows[1], re.MULTILINE) == list(FORMATS)


def test_the_size_at_which_the_timeline_is_thinned() -> None:
    assert f"A run of more than {MOST_EVENTS:,} events" in PAGE


def test_every_table_that_is_written_is_a_record() -> None:
    """What is not, an earlier run would leave behind, and no export would have."""
    names = {name.removesuffix("_SCHEMA").lower() for name in vars(schemas) if name.endswith("_SCHEMA")}
    assert {f"{name}.parquet" for name in names | {"edge_tasks"}} == set(RECORDS)
