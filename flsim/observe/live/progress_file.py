"""`progress.jsonl`: how far a run has come, for those who look at it while it goes on.

Parquet files cannot be read until they are closed. A line is a JSON object: `versions` has, for each
version whose row was written since the last line, the values of `COLUMNS`; the other keys say how the run
stands. A server update has a line of its own, unless updates follow each other so fast that writing would
take more than a fiftieth of the run's time: a line then has several, those of a second at most. The file is
no record: it is removed when the records are complete, and only a run that broke off leaves it behind.
"""

import json
import logging
import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from flsim.observe.files import without_nan
from flsim.records import Outcome, TaskRecord, VersionRecord

FILE = "progress.jsonl"
COLUMNS = ("version", "time_s", "tasks", "mean_staleness", "accuracy", "loss")
_REST = 50  # times as long as it took to write a line, nothing is written, but no longer than a second
_LONGEST_REST_S = 1.0

_log = logging.getLogger(__name__)


class ProgressFile:
    """Writes the file of one run. Should that fail, the run goes on without it, and the log says so."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._rows: list[VersionRecord] = []  # not written yet
        self._ended: Counter[Outcome] = Counter()
        self._bytes_down = self._bytes_up = 0
        self._now_s, self._in_flight = 0.0, 0
        self._rests_until_s = 0.0  # on the wall clock
        self._broken = False
        self._write()

    def task(self, record: TaskRecord) -> None:
        """Take note of a task that has ended."""
        self._ended[record.outcome] += 1
        self._bytes_down += record.bytes_down
        self._bytes_up += record.bytes_up

    def version(self, record: VersionRecord) -> None:
        """Take the row of a version."""
        self._rows.append(record)
        self._write_now_and_then()

    def moment(self, now_s: float, in_flight: int) -> None:
        """Take note of where virtual time is, and of how many tasks are under way."""
        self._now_s, self._in_flight = now_s, in_flight
        if self._rows:
            self._write_now_and_then()

    def remove(self) -> None:
        """The records are complete, and say more."""
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Write what has not been written."""
        if self._rows:
            self._write()

    def _write_now_and_then(self) -> None:
        if time.monotonic() >= self._rests_until_s:
            self._write()

    def _write(self) -> None:
        begun_s = time.monotonic()
        line = {
            "now_s": self._now_s,
            "in_flight": self._in_flight,
            "ended": {outcome.value: self._ended[outcome] for outcome in Outcome},
            "bytes_down": self._bytes_down,
            "bytes_up": self._bytes_up,
            "versions": [[getattr(row, name) for name in COLUMNS] for row in self._rows],
        }
        self._rows.clear()
        if not self._broken:
            try:
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(_json(line))
            except OSError as error:
                self._broken = True
                _log.warning("%s cannot be written: %s. The run goes on without it.", self._path, error)
        written_s = time.monotonic()
        self._rests_until_s = written_s + min(_REST * (written_s - begun_s), _LONGEST_REST_S)


def _json(line: dict[str, Any]) -> str:
    try:
        return json.dumps(line, separators=(",", ":"), allow_nan=False) + "\n"
    except ValueError:  # a loss that is not finite, which is rare and takes longer
        return _json(cast(dict[str, Any], without_nan(line)))
