"""The journal: every row of a run, written to parquet as the run goes.

Taking a row costs a list append. Every 4,096 rows become columns while they are still in the cache.
Every 65,536 rows, these become a row group of the file, and a step of the running hash and totals, so a
summary needs no second look at the files.

A parquet file that was not finished cannot be read. So the same columns also go to the blocks of
`journal.flsim`, when there are 4,096 rows or a server update is made.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

from flsim.errors import RunError
from flsim.observe.blocks import Blocks, Json
from flsim.observe.digest import TASK_COLUMNS, VERSION_COLUMNS, TableDigest, combined
from flsim.observe.schemas import (
    ABSENCES_SCHEMA,
    MESSAGES_SCHEMA,
    METADATA_SCHEMA,
    SECURE_ERRANDS_SCHEMA,
    SECURE_SESSIONS_SCHEMA,
    TASKS_SCHEMA,
    VERSIONS_SCHEMA,
)
from flsim.records import (
    AbsenceRecord,
    EdgeVersionRecord,
    ErrandRecord,
    MessageRecord,
    MetadataRecord,
    Outcome,
    SecureSessionRecord,
    TaskRecord,
    VersionRecord,
)

ROW_GROUP_ROWS = 65_536
_PACK_ROWS = 4_096

_OTHERS = ("metadata", "absences", "secure_sessions", "secure_errands", "messages")
_FOLDED = ("secure_errands", "messages")  # which of them add to the totals
_OUTCOMES = pa.array([outcome.value for outcome in Outcome], pa.string())
_OUTCOME_CODES = {outcome: code for code, outcome in enumerate(Outcome)}


@dataclass(frozen=True)
class Totals:
    """What all tasks that have ended come to: how many per outcome, and the bytes they moved.

    Bytes and energy of holders' errands, and of messages that are no tasks, are in it, too.
    """

    tasks: Mapping[Outcome, int] = field(default_factory=lambda: dict.fromkeys(Outcome, 0))
    bytes_down: int = 0
    bytes_up: int = 0
    energy_j: float | None = None  # None where no task was metered

    @property
    def dispatched(self) -> int:
        """All tasks: every dispatched task ends in exactly one outcome."""
        return sum(self.tasks.values())

    def extended(self, batch: pa.RecordBatch) -> "Totals":
        """Return these totals with the task rows of `batch` added."""
        codes = batch.column("outcome").indices.to_numpy(zero_copy_only=False)
        counts = np.bincount(codes, minlength=len(Outcome)).tolist()
        return Totals(
            {outcome: self.tasks[outcome] + counts[code] for outcome, code in _OUTCOME_CODES.items()},
            self.bytes_down + int(batch.column("bytes_down").to_numpy().sum()),
            self.bytes_up + int(batch.column("bytes_up").to_numpy().sum()),
            self._energy_with(batch.column("energy_j")),
        )

    def with_errands(self, batch: pa.RecordBatch) -> "Totals":
        """Return these totals with what the errands of `batch` took."""
        return Totals(
            self.tasks,
            self.bytes_down + int(batch.column("bytes_down").to_numpy().sum()),
            self.bytes_up + int(batch.column("bytes_up").to_numpy().sum()),
            self._energy_with(batch.column("energy_j")),
        )

    def _energy_with(self, column: pa.Array) -> float | None:
        metered = column.drop_null()
        if not len(metered):
            return self.energy_j
        return (self.energy_j or 0.0) + math.fsum(metered.to_pylist())


class _TableWriter:
    """One parquet file that is written a row group at a time."""

    def __init__(
        self,
        path: Path,
        schema: pa.Schema,
        fold: Callable[[pa.RecordBatch], Callable[[], None]],
        blocks: Blocks | None = None,
    ) -> None:
        self._blocks = blocks
        self._rows: list[NamedTuple] = []
        self._packs: list[pa.RecordBatch] = []  # rows that are columns already
        self._packed = 0  # rows in the packs
        self._path = path
        self._schema = schema
        self._fold = fold
        try:
            self._file = parquet.ParquetWriter(
                path, schema, compression="zstd", use_dictionary=_words(schema)
            )
        except OSError as error:
            raise RunError(f"cannot write {path}: {error}") from error

    @property
    def pending(self) -> int:
        """How many rows are in no block yet."""
        return len(self._rows)

    def take(self, row: NamedTuple, row_group_rows: int) -> None:
        """Take a row, and write a row group when there are so many."""
        self._rows.append(row)
        rows = len(self._rows)
        if rows >= _PACK_ROWS or self._packed + rows >= row_group_rows:
            self.pack()
            if self._packed >= row_group_rows:
                self.flush()

    def flush(self) -> None:
        """Write the rows taken so far as a row group.

        An interruption leaves the rows in the buffer or in the file, and never in both: what is
        folded is made ready first, and taken over when the write is over, however it went.
        """
        self.pack()
        if not self._packs:
            return
        [batch] = pa.Table.from_batches(self._packs).combine_chunks().to_batches()
        take_over = self._fold(batch)
        try:
            self._file.write_batch(batch)
        except OSError as error:
            raise RunError(f"cannot write {self._path}: {error}") from error
        finally:
            self._packs.clear()
            self._packed = 0
            take_over()

    def close(self) -> None:
        """Finish the file. Closing again does nothing."""
        try:
            self._file.close()
        except OSError as error:
            raise RunError(f"cannot write {self._path}: {error}") from error

    def pack(self) -> None:
        """Make columns of the rows, which are then a block."""
        if not self._rows:
            return
        columns = zip(*self._rows, strict=True)
        arrays = [_array(column, kind) for column, kind in zip(columns, self._schema.types, strict=True)]
        pack = pa.RecordBatch.from_arrays(arrays, schema=self._schema)
        if self._blocks is not None:
            self._blocks.rows(self._path.stem, pack)
        try:
            self._packs.append(pack)
        finally:
            self._packed += len(self._rows)
            self._rows.clear()


def _words(schema: pa.Schema) -> list[str]:
    """Return the columns whose values recur. A dictionary of instants only costs time."""
    return [
        column.name
        for column in schema
        if not (pa.types.is_floating(column.type) or pa.types.is_nested(column.type))
    ]


def _array(column: Sequence[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(kind):
        codes = pa.array([_OUTCOME_CODES[outcome] for outcome in column], pa.int8())
        return pa.DictionaryArray.from_arrays(codes, _OUTCOMES)
    return pa.array(column, kind)


class ParquetJournal:
    """The Journal that writes `tasks.parquet`, `versions.parquet`, and, if they have rows, others.

    These are `metadata.parquet`, `absences.parquet`, `secure_sessions.parquet`, `secure_errands.parquet`
    and `messages.parquet`.

    folder: where they go; made if missing. The first two exist from the start and can be read once the
    journal is closed, also with no rows. Rows keep the order in which they were handed over.
    Raises RunError if a file cannot be written.
    """

    prefix: ClassVar[str] = ""  # of the files' names
    version_schema: ClassVar[pa.Schema] = VERSIONS_SCHEMA
    version_columns: ClassVar[tuple[str, ...]] = VERSION_COLUMNS

    def __init__(
        self, folder: Path, row_group_rows: int = ROW_GROUP_ROWS, blocks: Blocks | None = None
    ) -> None:
        """`blocks`: where rows also go, to be found if the run is killed. Not closed with the journal."""
        self._row_group_rows = row_group_rows
        self._blocks = blocks
        self._totals = Totals()
        self._task_digest = TableDigest(TASK_COLUMNS)
        self._version_digest = TableDigest(self.version_columns)
        self._closed = False
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"cannot make the folder {folder}: {error.strerror or error}") from error
        tasks, versions = (folder / f"{self.prefix}{name}.parquet" for name in ("tasks", "versions"))
        self._tasks = _TableWriter(tasks, TASKS_SCHEMA, self._fold_tasks, blocks)
        self._versions = _TableWriter(versions, self.version_schema, self._fold_versions, blocks)
        self._folder = folder
        self._others: dict[str, _TableWriter] = {}  # by table: those that not every run has

    def task(self, record: TaskRecord) -> None:
        """Take the row of a task that has ended. Rows may come in any order."""
        if self._closed:
            raise RunError(f"the journal is closed; it cannot take {record}")
        self._tasks.take(record, self._row_group_rows)

    def version(self, record: VersionRecord | EdgeVersionRecord) -> None:
        """Take the row of a server update."""
        if self._closed:
            raise RunError(f"the journal is closed; it cannot take {record}")
        self._versions.take(record, self._row_group_rows)
        if (
            self._blocks is not None
            and self._tasks.pending + self._versions.pending >= self._blocks.fewest_rows
        ):
            self.end_block()

    def end_block(self) -> None:
        """Let all rows so far be in blocks."""
        for writer in self._writers():
            writer.pack()
        if self._blocks is not None:
            self._blocks.end()

    def note(self, name: str, data: Json) -> None:
        """Write something else to `journal.flsim`, behind all rows so far, and put it on the disk."""
        if self._blocks is not None:
            self.end_block()
            self._blocks.note(name, data)
            self._blocks.sync()

    def metadata(self, record: MetadataRecord) -> None:
        """Take the row of what came with a task's update."""
        self._take("metadata", METADATA_SCHEMA, record)

    def absence(self, record: AbsenceRecord) -> None:
        """Take the row of a time that a client was away."""
        self._take("absences", ABSENCES_SCHEMA, record)

    def secure_session(self, record: SecureSessionRecord) -> None:
        """Take the row of a phase of a session that has ended."""
        self._take("secure_sessions", SECURE_SESSIONS_SCHEMA, record)

    def errand(self, record: ErrandRecord) -> None:
        """Take the row of what a holder did in a recovery."""
        self._take("secure_errands", SECURE_ERRANDS_SCHEMA, record, self._fold_errands)

    def message(self, record: MessageRecord) -> None:
        """Take the row of a message that is over."""
        self._take("messages", MESSAGES_SCHEMA, record, self._fold_messages)

    def _take(
        self,
        table: str,
        schema: pa.Schema,
        record: NamedTuple,
        fold: Callable[[pa.RecordBatch], Callable[[], None]] | None = None,
    ) -> None:
        """Take a row of a table that not every run has. `fold`: what its rows add to; None for nothing."""
        if self._closed:
            raise RunError(f"the journal is closed; it cannot take {record}")
        if table not in self._others:
            path = self._folder / f"{table}.parquet"
            self._others[table] = _TableWriter(path, schema, fold or _fold_nothing, self._blocks)
        self._others[table].take(record, self._row_group_rows)

    def totals(self) -> Totals:
        """Return what the tasks so far come to."""
        self._flush()
        return self._totals

    def records_sha256(self) -> str:
        """Return the hash of the timing of all rows so far, in hexadecimal.

        It covers who did what when and the bytes it took; not weights, losses, accuracies or models.
        """
        return combined(**self.digests())

    def digests(self) -> dict[str, TableDigest]:
        """Return the hashes of the timing of all rows so far, by table."""
        self._flush()
        return {f"{self.prefix}tasks": self._task_digest, f"{self.prefix}versions": self._version_digest}

    def close(self) -> None:
        """Write what is left and finish the files. Closing again does nothing."""
        if self._closed:
            return
        self._closed = True
        with ExitStack() as stack:  # a file that fails does not keep the others from being finished
            for writer in reversed(self._writers()):
                stack.callback(writer.close)
                if self._blocks is None or not self._blocks.retraces:
                    stack.callback(writer.flush)
            if self._blocks is not None and not self._blocks.retraces:
                stack.callback(self.end_block)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the files. Where something has failed already, that is what is said."""
        try:
            self.close()
        except RunError as another:
            if error is None:
                raise
            error.add_note(f"After that: {another}")

    def _writers(self) -> list[_TableWriter]:
        """Return what there is, in the order in which blocks are written."""
        others = [self._others[table] for table in _OTHERS if table in self._others]
        return [self._tasks, self._versions, *others]

    def _flush(self) -> None:
        if not self._closed:
            self._tasks.flush()
            self._versions.flush()
            for table in _FOLDED:
                if table in self._others:
                    self._others[table].flush()

    def _fold_tasks(self, batch: pa.RecordBatch) -> Callable[[], None]:
        totals, digest = self._totals.extended(batch), self._task_digest.extended(batch)

        def take_over() -> None:
            self._totals, self._task_digest = totals, digest

        return take_over

    def _fold_errands(self, batch: pa.RecordBatch) -> Callable[[], None]:
        totals = self._totals.with_errands(batch)

        def take_over() -> None:
            self._totals = totals

        return take_over

    def _fold_messages(self, batch: pa.RecordBatch) -> Callable[[], None]:
        return self._fold_errands(batch.filter(batch.column("task").is_null()))  # the others are tasks' own

    def _fold_versions(self, batch: pa.RecordBatch) -> Callable[[], None]:
        digest = self._version_digest.extended(batch)

        def take_over() -> None:
            self._version_digest = digest

        return take_over


def _fold_nothing(batch: pa.RecordBatch) -> Callable[[], None]:
    """What was learned, absences and phases of sessions have no part in the hash and in the totals."""
    return lambda: None
