"""The journal's file as blocks of rows: what is still there when a run was killed.

Rows reach the file in blocks: of 4,096 rows of a table, or fewer at a server update. Where one block ends and the
next begins follows from the run alone, so the same run gives the same file. Only when the file is put on the
disk goes by the clock, which changes no byte of it.
"""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa

from flsim.observe.frames import FrameAt, FrameWriter

JOURNAL = "journal.flsim"
BUSY_ROWS = 256  # in a block that a server update ends, where nothing trains and rows come by the thousand
_SYNC_S = 5.0

Json = dict[str, object] | list[object]


class Blocks:
    """Owns the file, and the answers of the learner that are still to be written to it."""

    def __init__(
        self,
        path: Path,
        fewest_rows: int = 1,
        before: Sequence[FrameAt] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`fewest_rows`: so many make a block at a server update. `before`: see `FrameWriter`."""
        self.fewest_rows = fewest_rows
        self._file = FrameWriter(path, before)
        self._schemas: dict[str, pa.Schema] = {}
        self._answers: list[object] = []
        self._clock = clock
        self._synced_s = clock()

    @property
    def retraces(self) -> bool:
        """Whether the file has more of what a run has done before than this one has done so far."""
        return self._file.retraces

    def rows(self, table: str, batch: pa.RecordBatch) -> None:
        """Write rows of a table. Those of a table have one schema."""
        if table not in self._schemas:
            self._schemas[table] = schema = pa.schema([_plain(field) for field in batch.schema])
            self._file.write("schema", table.encode().ljust(16, b"\0") + schema.serialize().to_pybytes())
        columns = [
            column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
            for column in batch.columns
        ]
        plain = pa.RecordBatch.from_arrays(columns, schema=self._schemas[table])
        self._file.write(table, plain.serialize().to_pybytes())
        self._sync_now_and_then()

    def note(self, name: str, data: Json) -> None:
        """Write something that is no row."""
        self._file.write(name, json.dumps(data, sort_keys=True, separators=(",", ":")).encode())

    def answer(self, data: object) -> None:
        """Take something that the learner has told the world, to be written with the next block."""
        self._answers.append(data)

    def end(self) -> None:
        """A block has ended: write the answers that belong to it."""
        if self._answers:
            answers, self._answers = self._answers, []
            self.note("answers", answers)
        self._sync_now_and_then()

    def sync(self) -> None:
        """Wait until everything is on the disk."""
        self._file.sync()
        self._synced_s = self._clock()

    def close(self) -> None:
        """Put everything on the disk, and let go of the file. Closing again does nothing."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _sync_now_and_then(self) -> None:
        if self._clock() - self._synced_s >= _SYNC_S:
            self.sync()


def _plain(field: pa.Field) -> pa.Field:
    """Return the field without a dictionary, which a batch of rows would not bring along."""
    return field.with_type(pa.string()) if pa.types.is_dictionary(field.type) else field
