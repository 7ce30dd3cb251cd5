"""All trackers of a run: each is told of every version, and one that fails is left out from there on."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from pydantic import TypeAdapter, ValidationError

from flsim.errors import RunError
from flsim.observe.ending import ending_of
from flsim.observe.folder import SCENARIO
from flsim.observe.tables import Tables, read_tables, version_records
from flsim.observe.trackers.build import writer_for
from flsim.observe.trackers.points import early, finished, late
from flsim.observe.trackers.writer import Finished, Point, Told, Writer, told_of
from flsim.records import VersionRecord
from flsim.scenario.tracking import AnyTracker, Tracker, with_kinds

_log = logging.getLogger(__name__)


class Position(NamedTuple):
    """How far a tracker is: how many versions it has been told of, and where its writer is."""

    versions: int = 0
    mark: str = ""


class Tracking:
    """Owns the writers of a run's trackers. Nothing that they do reaches the run or its records.

    A failure is logged once, and is what `outcomes` says of the tracker.
    """

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        """Raises ScenarioError if a tracker's package is not there."""
        self._writers: dict[str, Writer] = {tracker.kind: writer_for(tracker) for tracker in trackers}
        self._versions = dict.fromkeys(self._writers, 0)
        self._open: set[str] = set()
        self._failures: dict[str, str] = {}

    def start(self, told: Told, positions: Mapping[str, Position] | None = None) -> None:
        """Begin to track a run: anew, or each tracker from where it was."""
        for kind, writer in self._writers.items():
            at = (positions or {}).get(kind, Position())
            self._versions[kind] = at.versions
            self._open.add(kind)
            self._try(kind, writer.start, told, at.mark)

    def positions(self) -> dict[str, Position]:
        """Return where the trackers are, for `start` of a run that goes on from here."""
        found: dict[str, Position] = {}
        for kind in sorted(self._open):
            self._try(kind, self._locate, kind, found)
        return found

    def version(self, row: VersionRecord) -> None:
        """Take the row of a version. One that a tracker knows already is not told to it again."""
        for kind in self._among_open():
            if row.version >= self._versions[kind]:
                self._try(kind, self._writers[kind].write, early(row))
                self._versions[kind] = row.version + 1

    def finish(self, tables: Tables) -> None:
        """The run is over, and these are its tables: tell what else there is, and close."""
        if not self._open:
            return
        if (ending := ending_of(tables.ending)) is None:
            raise RunError("a run without an ending cannot be tracked to its end")
        points, end = list(late(tables)), finished(tables, ending)
        for kind in self._among_open():
            self._try(kind, self._end, kind, points, end)
        self._open.clear()

    @property
    def outcomes(self) -> dict[str, str] | None:
        """What became of every tracker: `written`, or why not; None without trackers."""
        if not self._writers:
            return None
        return {kind: self._failures.get(kind, "written") for kind in self._writers}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close what is still open, if the run has broken off."""
        for name in self._among_open():
            self._try(name, self._writers[name].finish, None)
        self._open.clear()

    def _among_open(self) -> Iterable[str]:
        return [kind for kind in self._writers if kind in self._open]

    def _locate(self, kind: str, found: dict[str, Position]) -> None:
        found[kind] = Position(self._versions[kind], self._writers[kind].mark())

    def _end(self, kind: str, points: Iterable[Point], end: Finished) -> None:
        for point in points:
            self._writers[kind].write(point)
        self._writers[kind].finish(end)

    def _try(self, kind: str, step: Callable[..., None], *given: Any) -> None:
        """Take a step of a tracker; if that fails, the tracker is out."""
        try:
            step(*given)
        except Exception as error:  # whatever a tracker does, the run goes on
            why = f"{type(error).__name__}: {error}"
            self._failures[kind] = f"failed: {why}"
            self._open.discard(kind)
            _log.warning("tracking: %s has failed and is left out from here on: %s", kind, why)
            with suppress(Exception):  # it has failed already, and that has been said
                self._writers[kind].finish(None)


def trackers_of(folder: Path, kinds: Sequence[str]) -> tuple[Tracker, ...]:
    """Return the trackers of these kinds, with the keys that a run's scenario gives them; or all it has.

    Raises RunError if the folder holds no scenario, or one of another flsim.
    """
    given = told_of(folder).scenario.get("tracking") or ()
    try:
        known = TypeAdapter(tuple[AnyTracker, ...]).validate_python(tuple(given))
    except (TypeError, ValidationError) as error:
        raise RunError(f"{folder / SCENARIO}: tracking cannot be read: {error}") from error
    if not kinds:
        return known
    return tuple(tracker for tracker in with_kinds(known, kinds) if tracker.kind in kinds)


def track(folder: Path, trackers: Sequence[Tracker]) -> dict[str, str]:
    """Track a finished run from its records, as if it had been tracked; return what became of each tracker.

    Raises ScenarioError if a tracker's package is not there, and RunError if a record is missing.
    """
    tracking, told, tables = Tracking(trackers), told_of(folder), read_tables(folder)
    if tables.ending is None:
        raise RunError(f"{folder} has no ending.parquet: the run was killed, or still goes on")
    with tracking:
        tracking.start(told)
        for row in version_records(tables.versions):
            tracking.version(row)
        tracking.finish(tables)
    return tracking.outcomes or {}
