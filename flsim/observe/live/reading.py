"""How far a run has come, for whoever shows it: from `progress.jsonl`, or from a finished run's tables."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

from flsim.errors import RunError
from flsim.observe.ending import ending_of
from flsim.observe.files import without_nan
from flsim.observe.folder import SCENARIO
from flsim.observe.live.progress_file import COLUMNS, FILE
from flsim.observe.tables import Tables, outcomes, read_tables
from flsim.records import Outcome
from flsim.untrusted import MEBIBYTE, is_count, is_number, json_of

Row = list[Any]
"""What `COLUMNS` are of a version."""

State = Literal["starting", "running", "finished"]
_WORDS = frozenset(Outcome)
_MOST_AT_ONCE = 64 * MEBIBYTE  # of what is new: the rest is read the next time
_STANDING = ("now_s", "in_flight", "ended", "bytes_down", "bytes_up")


@dataclass(frozen=True)
class Progress:
    """How a run stands. `run`: tells it from another one that is written into the same folder later.

    `versions`: a row for each version so far. `standing`: virtual time, tasks and bytes, as the file has
    them; empty as long as nothing has happened. `silent_s`: the wall time since it last said something.
    """

    run: str
    state: State
    versions: list[Row] = field(default_factory=list)
    standing: Mapping[str, Any] = field(default_factory=dict)
    silent_s: float = 0.0
    ended: str = ""  # why, in a sentence


class ProgressReader:
    """Reads one folder again and again; what it has read of a file it does not read twice.

    Not to be used by several threads at once.
    """

    def __init__(self, folder: Path) -> None:
        """Raises RunError if the folder is not a run's."""
        if not (folder / SCENARIO).is_file():
            raise RunError(f"{folder / SCENARIO} is missing; is {folder} the folder of a run?")
        self._folder = folder
        self._tail: _Tail | None = None
        self._finished: Progress | None = None

    def read(self) -> Progress:
        """Return how the run stands."""
        if (finished := self._read_tables()) is not None:
            self.close()
            return finished
        path = self._folder / FILE
        try:
            if self._tail is None or not self._tail.is_of(path):
                self.close()
                self._tail = _Tail(path.open("rb"))
        except FileNotFoundError:
            return Progress("", "starting")
        tail = self._tail
        tail.read()
        silent_s = max(0.0, time.time() - tail.changed_s)
        return Progress(tail.run, "running", list(tail.versions), tail.standing, silent_s)

    def close(self) -> None:
        """Let go of the file."""
        if self._tail is not None:
            self._tail.file.close()
            self._tail = None

    def _read_tables(self) -> Progress | None:
        """Return how the run ended; None if it has not, or is just about to."""
        try:
            facts = (self._folder / "ending.parquet").stat()
            run = f"{facts.st_ino}-{facts.st_mtime_ns}"
            if self._finished is None or self._finished.run != run:
                self._finished = _of_tables(run, read_tables(self._folder))
        except (FileNotFoundError, RunError):
            return None
        return self._finished


class _Tail:
    """A file that grows: what its whole lines have said so far.

    It stays open, so that no other file can be taken for it.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.versions: list[Row] = []
        self.standing: dict[str, Any] = {}
        facts = os.fstat(file.fileno())
        self.run = f"{facts.st_ino}-{facts.st_mtime_ns}"
        self._offset = 0

    @property
    def changed_s(self) -> float:
        """When it was last written to, on the wall clock."""
        return os.fstat(self.file.fileno()).st_mtime

    def is_of(self, path: Path) -> bool:
        """Return whether it is the file at `path`. Raises FileNotFoundError if there is none."""
        return os.path.samestat(path.stat(), os.fstat(self.file.fileno()))

    def read(self) -> None:
        """Take in the lines that are new, but for one that is not complete yet."""
        self.file.seek(self._offset)
        text = self.file.read(_MOST_AT_ONCE)
        whole = text[: text.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            if (said := _said(line)) is not None:
                self.versions += said["versions"]
                self.standing = {name: said[name] for name in _STANDING}


def _said(line: bytes) -> dict[str, Any] | None:
    """Return what a line says; None for one that no run has written, which is passed over."""
    try:
        said = json_of(line)
    except ValueError:
        return None
    if not isinstance(said, dict) or not isinstance(said.get("versions"), list):
        return None
    ended = said.get("ended")
    fits = (
        is_number(said.get("now_s"))
        and all(is_count(said.get(name)) for name in ("in_flight", "bytes_down", "bytes_up"))
        and isinstance(ended, dict)
        and all(name in _WORDS and is_count(count) for name, count in ended.items())
        and all(_is_row(row) for row in said["versions"])
    )
    return said if fits else None


def _is_row(row: object) -> bool:
    """Whether it is what `COLUMNS` are of a version."""
    return (
        isinstance(row, list)
        and len(row) == len(COLUMNS)
        and is_count(row[0])
        and all(value is None or is_number(value) for value in row)
    )


def _of_tables(run: str, tables: Tables) -> Progress:
    ending = ending_of(tables.ending)
    if ending is None:
        raise RunError("the run has not ended")
    words = outcomes(tables.tasks)
    columns = (tables.versions[name].to_pylist() for name in COLUMNS)
    standing = {
        "now_s": ending.virtual_time_s,
        "in_flight": 0,
        "ended": {each.value: int((words == each.value).sum()) for each in Outcome},
        "bytes_down": int(tables.tasks["bytes_down"].to_numpy().sum()),
        "bytes_up": int(tables.tasks["bytes_up"].to_numpy().sum()),
    }
    rows = [[without_nan(value) for value in row] for row in zip(*columns, strict=True)]
    return Progress(run, "finished", rows, standing, ended=ending.stop_detail)
