"""The journal of a hierarchy: two more tables, for the edge servers."""

from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from flsim.observe.blocks import Blocks
from flsim.observe.digest import EDGE_VERSION_COLUMNS, TableDigest
from flsim.observe.journal import ROW_GROUP_ROWS, ParquetJournal
from flsim.observe.schemas import EDGE_VERSIONS_SCHEMA
from flsim.records import EdgeVersionRecord, TaskRecord


class _EdgeTables(ParquetJournal):
    """`edge_tasks.parquet` and `edge_versions.parquet`: the same as for clients, one level up."""

    prefix: ClassVar[str] = "edge_"
    version_schema: ClassVar[pa.Schema] = EDGE_VERSIONS_SCHEMA
    version_columns: ClassVar[tuple[str, ...]] = EDGE_VERSION_COLUMNS


class HierarchyParquetJournal(ParquetJournal):
    """The journal that also writes what the edges do."""

    def __init__(
        self, folder: Path, row_group_rows: int = ROW_GROUP_ROWS, blocks: Blocks | None = None
    ) -> None:
        super().__init__(folder, row_group_rows, blocks)
        self._edges = _EdgeTables(folder, row_group_rows, blocks)

    def edge_task(self, record: TaskRecord) -> None:
        """Take the row of an edge's task that has ended. Rows may come in any order."""
        self._edges.task(record)

    def edge_version(self, record: EdgeVersionRecord) -> None:
        """Take the row of an edge's update."""
        self._edges.version(record)

    def end_block(self) -> None:
        self._edges.end_block()
        super().end_block()

    def digests(self) -> dict[str, TableDigest]:
        return super().digests() | self._edges.digests()

    def close(self) -> None:
        with ExitStack() as stack:  # one that fails does not keep the other from being finished
            stack.callback(super().close)
            stack.callback(self._edges.close)
