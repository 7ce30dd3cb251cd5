"""Files that cannot be written: one of them by its name, or all that grow too long."""

import errno
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal
from unittest.mock import patch

from pyarrow import parquet

Step = Literal["open", "write", "close", "rename"]
_WRITING = set("wax+")


class Hits(list[str]):
    """The paths that a fault has struck."""


@contextmanager
def failing(name: str, step: Step, code: int = errno.ENOSPC, after: int = 0) -> Iterator[Hits]:
    """Let a step of writing each file called `name` fail with an error of the system.

    `after`: how many such steps go well before.

    A write leaves half of what it was given, as a disk does that fills up. What is written beside its place
    first, and moved there, counts as the file. Parquet files have no step `rename`.
    """
    hits, went_well = Hits(), iter(range(after))

    def fault(path: Any, at: Step) -> OSError | None:
        if at != step or not isinstance(path, str | Path):
            return None
        if Path(path).name not in (name, f".{name}.partial"):
            return None
        if next(went_well, None) is not None:
            return None
        hits.append(str(path))
        return OSError(code, os.strerror(code), str(path))

    with _python_files(fault), _parquet_files(fault):
        yield hits


@contextmanager
def _python_files(fault: Any) -> Iterator[None]:
    opened, moved = Path.open, Path.replace

    def open_or_fail(self: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if not _WRITING & set(mode):
            return opened(self, mode, *args, **kwargs)
        if error := fault(self, "open"):
            raise error
        return _File(opened(self, mode, *args, **kwargs), self, fault)

    def move_or_fail(self: Path, target: Any) -> Path:
        if error := fault(target, "rename"):
            raise error
        return moved(self, target)

    with patch.object(Path, "open", open_or_fail), patch.object(Path, "replace", move_or_fail):
        yield


class _File:
    """A file that is open for writing, some steps of which fail."""

    def __init__(self, file: IO[Any], path: Path, fault: Any) -> None:
        self._file, self._path, self._fault = file, path, fault

    def write(self, content: Any) -> int:
        if error := self._fault(self._path, "write"):
            self._file.write(content[: len(content) // 2])
            raise error
        written: int = self._file.write(content)
        return written

    def close(self) -> None:
        self._file.close()
        if error := self._fault(self._path, "close"):
            raise error

    def __enter__(self) -> "_File":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@contextmanager
def _parquet_files(fault: Any) -> Iterator[None]:
    class Writer(parquet.ParquetWriter):  # type: ignore[misc]
        def __init__(self, where: Any, *args: Any, **kwargs: Any) -> None:
            if error := fault(where, "open"):
                raise error
            super().__init__(where, *args, **kwargs)
            self._where = where

        def write_table(self, *args: Any, **kwargs: Any) -> None:
            if error := fault(self._where, "write"):
                raise error
            super().write_table(*args, **kwargs)

        def close(self) -> None:
            was_open = self.is_open
            super().close()
            if was_open and (error := fault(self._where, "close")):
                raise error

    with (
        patch.object(parquet, "ParquetWriter", Writer),
        patch.object(parquet.core, "ParquetWriter", Writer),
    ):
        yield


@contextmanager
def no_file_longer_than(size_bytes: int) -> Iterator[None]:
    """Let every write of this process fail beyond so many bytes of a file, whoever writes it.

    It is the operating system that refuses, with EFBIG instead of ENOSPC; so libraries meet it, too.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def left_behind(folder: Path) -> list[str]:
    """Return the files in a folder and below it that are only stations on the way to another one."""
    return [path.name for path in folder.rglob("*") if path.name.endswith(".partial")]
