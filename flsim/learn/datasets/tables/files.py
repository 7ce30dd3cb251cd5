"""Files of rows and columns, read a batch at a time: CSV and Parquet."""

from codecs import getincrementaldecoder
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as parquet

from flsim.errors import ScenarioError

_BATCH_ROWS = 65_536
_BLOCK_BYTES = 2**20


class Source(Protocol):
    """Where rows come from."""

    @property
    def name(self) -> str:
        """What messages call it."""

    def names(self) -> list[str]:
        """Return the names of its columns. Raises ScenarioError if it cannot be read."""

    def batches(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield these columns of all rows, batch by batch. Raises ScenarioError if it cannot be read."""

    def place(self, row: int) -> str:
        """Return what messages call a row; the first one is row 0."""


@dataclass(frozen=True)
class CsvFile:
    """A CSV file, all of it text. A row is a line, so the first row is line 2."""

    path: Path
    delimiter: str = ","

    @property
    def name(self) -> str:
        return str(self.path)

    def names(self) -> list[str]:
        _check_exists(self.path)
        if not self.path.stat().st_size:
            raise ScenarioError(
                f"{self.path} is empty; accepted: a line of column names, and a line for each row"
            )
        self._check_text()
        try:
            # Broken rows are nothing to the names; who reads the rows will hear of them.
            with self._opened(csv.ConvertOptions(), lambda _: "skip") as reader:
                names = list(reader.schema.names)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _unreadable(self.path, error) from error
        return _checked(names, self.path)

    def batches(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        text = csv.ConvertOptions(
            include_columns=list(names),
            column_types=dict.fromkeys(names, pa.string()),
            strings_can_be_null=False,
        )
        self._check_text()
        broken: list[csv.InvalidRow] = []

        def skip(row: csv.InvalidRow) -> str:
            broken.append(row)
            return "skip"

        try:
            with self._opened(text, skip) as reader:
                for batch in reader:
                    self._check(broken)
                    yield batch
                self._check(broken)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _unreadable(self.path, error) from error

    def place(self, row: int) -> str:
        return f"line {row + 2}"

    def _opened(self, convert: csv.ConvertOptions, broken: object = None) -> csv.CSVStreamingReader:
        return csv.open_csv(
            self.path,
            # One thread: the lines of broken rows are only counted there.
            csv.ReadOptions(block_size=_BLOCK_BYTES, use_threads=False),
            csv.ParseOptions(
                delimiter=self.delimiter, ignore_empty_lines=False, invalid_row_handler=broken
            ),
            convert,
        )

    def _check_text(self) -> None:
        """Raise ScenarioError unless all is UTF-8: of rows that are not, pyarrow complains by itself."""
        if self._undecodable is not None:
            raise ScenarioError(f"{self.path} is not UTF-8: see its byte {self._undecodable:,}; convert it")

    @cached_property
    def _undecodable(self) -> int | None:
        """The place of the first byte that is not UTF-8, if there is one. It takes a pass over the file."""
        decoder, read = getincrementaldecoder("utf-8")(), 0
        try:
            with self.path.open("rb") as file:
                while block := file.read(_BLOCK_BYTES):
                    decoder.decode(block)
                    read += len(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            return read + len(block) - len(error.object) + error.start
        except OSError as error:
            raise _unreadable(self.path, error) from error
        return None

    def _check(self, broken: Sequence[csv.InvalidRow]) -> None:
        if broken:
            row = broken[0]
            raise ScenarioError(
                f"{self.path}, line {row.number}: {row.actual_columns} values, but the first line names "
                f"{row.expected_columns} columns (separated by {self.delimiter!r}): {row.text[:80]!r}"
            )


@dataclass(frozen=True)
class ParquetFile:
    """A Parquet file, of which one row group at a time is in memory."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path)

    def names(self) -> list[str]:
        _check_exists(self.path)
        try:
            with parquet.ParquetFile(self.path) as file:
                names = list(file.schema_arrow.names)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _unreadable(self.path, error) from error
        return _checked(names, self.path)

    def batches(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        try:
            with parquet.ParquetFile(self.path) as file:
                for group in range(file.num_row_groups):
                    for batch in file.iter_batches(
                        _BATCH_ROWS, row_groups=[group], columns=list(names), use_threads=False
                    ):
                        batch.validate(full=True)  # text that is not UTF-8, which Arrow takes as it is
                        yield batch
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _unreadable(self.path, error) from error

    def place(self, row: int) -> str:
        return f"row {row + 1}"


def file_of(path: Path) -> Source:
    """Return a file to be read by its suffix: Parquet if it is .parquet, else CSV."""
    return ParquetFile(path) if path.suffix == ".parquet" else CsvFile(path)


def _check_exists(path: Path) -> None:
    if path.is_dir():
        raise ScenarioError(f"{path} is a folder, not a file")
    if not path.is_file():
        raise ScenarioError(f"{path} does not exist; dataset.file is relative to the scenario's own folder")


def _checked(names: list[str], path: Path) -> list[str]:
    """Return column names that are all there, and all different."""
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ScenarioError(f"{path}: the columns {', '.join(twice)} are there more than once")
    return names


def _unreadable(path: Path, error: Exception) -> ScenarioError:
    return ScenarioError(f"{path} cannot be read: {error}")
