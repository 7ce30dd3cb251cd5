"""The journal's file as blocks of rows: what is still there when a run was killed.

Rows reach the file in blocks: of 4,096 rows of a table, or fewer at a server update. Where one block ends
and the next begins follows from the run alone, so the same run gives the same file. Only when the file is
put on the disk goes by the clock, which changes no byte of it.
"""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa

from flsim.observe.framed import FrameAt, FrameWriter
from flsim.untrusted import json_of

JOURNAL = "journal.flsim"
BUSY_ROWS = 1024  # in a block that a server update ends, where nothing trains and rows come by the thousand
WORDS = b"words"  # the words that the numbers of a column stand for, as metadata of its field
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
        self._coded: dict[str, list[int]] = {}  # which columns of a table are written as numbers of words
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
            schema = pa.schema([_plain(*each) for each in zip(batch.schema, batch.columns, strict=True)])
            self._file.write("schema", table.encode().ljust(16, b"\0") + schema.serialize().to_pybytes())
            self._coded[table] = [
                place for place, kind in enumerate(batch.schema.types) if pa.types.is_dictionary(kind)
            ]
            self._schemas[table] = schema
        columns = batch.columns
        for place in self._coded[table]:
            columns[place] = columns[place].indices
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


def _plain(field: pa.Field, column: pa.Array) -> pa.Field:
    """Return a field with its words beside it: a batch of rows would not bring a dictionary along."""
    if not pa.types.is_dictionary(field.type):
        return field
    words = json.dumps(column.dictionary.to_pylist())
    return field.with_type(field.type.index_type).with_metadata({WORDS: words})


def batch_of(body: bytes, schema: pa.Schema) -> pa.RecordBatch:
    """Return the rows in a frame's body. Raises ValueError or an error of Arrow's if there are none.

    Rows that are packed are refused: a few bytes of them can stand for any number.
    """
    message = pa.ipc.read_message(pa.py_buffer(body))
    if message.type != "record batch" or _is_packed(message.metadata.to_pybytes()):
        raise ValueError("a frame holds something else than rows as they are")
    batch = pa.ipc.read_record_batch(message, schema)
    batch.validate(full=True)
    return batch


def _is_packed(metadata: bytes) -> bool:
    """Whether the header of rows says that they are compressed: `compression` in Arrow's Message.fbs.

    Arrow has checked that it is a table of Flatbuffers, whose fields are found by way of a list of offsets.
    """

    def field(table: int, number: int) -> int:
        offsets = table - int.from_bytes(metadata[table : table + 4], "little", signed=True)
        place = 4 + 2 * number
        if place >= int.from_bytes(metadata[offsets : offsets + 2], "little"):
            return 0
        offset = int.from_bytes(metadata[offsets + place : offsets + place + 2], "little")
        return table + offset if offset else 0

    root = int.from_bytes(metadata[:4], "little")
    header = field(root, 2)
    header += int.from_bytes(metadata[header : header + 4], "little")
    return field(header, 3) > 0


def with_words(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return rows as they were handed to `Blocks.rows`, of rows that were read from a frame."""
    fields, columns = [], []
    for field, column in zip(batch.schema, batch.columns, strict=True):
        if field.metadata and WORDS in field.metadata:
            words = pa.array(json_of(field.metadata[WORDS]), pa.string())
            column = pa.DictionaryArray.from_arrays(column, words)
            field = pa.field(field.name, column.type, field.nullable)
        fields.append(field)
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))
