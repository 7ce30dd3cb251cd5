"""Checkpoints: when they are taken, what they are called, and which ones are kept.

A checkpoint is a file of the learner's state, and an entry of the journal with its hash. It is written with
another name, put on the disk, and renamed before the entry is made; older ones go when the entry is on the
disk. So at any instant, the last entry's file is there.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from errno import ENOENT
from pathlib import Path
from typing import Any, NamedTuple

from flsim.durable.answers import Answers
from flsim.durable.recorded import Resumable
from flsim.errors import RunError
from flsim.observe.folder import below
from flsim.scenario.checkpoint import Checkpoint
from flsim.untrusted import is_count

FOLDER = "checkpoints"


class Taken(NamedTuple):
    """A checkpoint: the version just made, how many answers the learner had given, and its file's hash."""

    version: int
    answers: int
    sha256: str

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"version-{self.version}.safetensors"


class Checkpoints:
    """Takes a run's checkpoints or, up to the one that it goes on from, finds those that were taken.

    Owns the folder, and the list of them.
    """

    def __init__(
        self,
        spec: Checkpoint | None,
        folder: Path,
        learner: Resumable,
        answers: Answers,
        note: Callable[[str, dict[str, object]], None],
        before: Sequence[Taken] = (),
    ) -> None:
        """`note`: makes an entry of the journal, on the disk. `before`: those of the run so far, in order.

        The run goes on from the last of these.
        """
        self._spec = spec
        self._folder = folder / FOLDER
        self._learner = learner
        self._answers = answers
        self._note = note
        self._before = {taken.version: taken for taken in before}
        self._last = before[-1] if before else None
        self._kept: list[Taken] = []
        self._version = 0

    def made(self) -> None:
        """A version has been made."""
        self._version += 1
        if self._spec is None or self._version % self._spec.every:
            return
        retraces = self._last is not None and self._version <= self._last.version
        self._answers.settle()
        taken = self._before[self._version] if retraces else self._taken()
        self._note("checkpoint", taken._asdict())
        self._kept.append(taken)
        if taken is self._last:
            self._learner.load(self._folder / taken.file)
        if taken is self._last or not retraces:  # the run may have been killed before it could forget
            self._forget_old(self._spec)

    def _taken(self) -> Taken:
        taken = Taken(self._version, self._answers.calls, "")
        path = self._folder / taken.file
        partial = path.with_name(f".{path.name}.partial")
        try:
            self._folder.mkdir(exist_ok=True)
            self._learner.save(partial)
            sha256 = _synced(partial)
            partial.replace(path)
            _sync(self._folder)
        except (OSError, RunError) as error:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            if isinstance(error, RunError):
                raise
            raise RunError(f"cannot write {path}: {error.strerror or error}") from error
        return taken._replace(sha256=sha256)

    def _forget_old(self, spec: Checkpoint) -> None:
        """Remove the files of those that need not be kept."""
        if (keep := spec.kept) is None:
            return
        for old in self._kept[:-keep]:
            (self._folder / old.file).unlink(missing_ok=True)
        del self._kept[:-keep]


def usable(folder: Path, entries: Sequence[Any]) -> tuple[list[Taken], list[str]]:
    """Return a run's checkpoints up to the last one whose file is whole, and what is wrong with later ones.

    `entries`: those of its journal, in order. Raises TypeError or ValueError if one is none.
    """
    taken = [_checked(Taken(**entry)) for entry in entries]
    below(folder, FOLDER)
    wrong: list[str] = []
    while taken:
        path = folder / FOLDER / taken[-1].file
        try:
            if not path.is_file():  # reading a device may never end
                raise FileNotFoundError(ENOENT, "no such file")
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() == taken[-1].sha256:
                    break
            wrong.append(f"{path} was changed: it has another hash than in the journal")
        except OSError as error:
            wrong.append(f"{path} cannot be read: {error.strerror or error}")
        taken.pop()
    return taken, wrong


def _checked(taken: Taken) -> Taken:
    """Return a checkpoint by whose version a file can be called. Raises ValueError for anything else."""
    if not (is_count(taken.version) and is_count(taken.answers) and isinstance(taken.sha256, str)):
        raise ValueError("an entry of a checkpoint says something else")
    return taken


def _synced(path: Path) -> str:
    """Put a file on the disk, and return its hash."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(folder: Path) -> None:
    """Put a folder's list of files on the disk."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
