"""The file of the journal: frames one after the other, each hashed together with all before it.

The file begins with sixteen bytes that say what it is. A frame is a head of 24 bytes (the length of its
body as a little-endian number of eight bytes, and its name in sixteen bytes of ASCII, filled up with
zeros), the body, and the SHA-256 of the digest before it, the head and the body. The digest before the
first frame is that of the first sixteen bytes. So whatever is cut off, changed, moved or left out is found
at the first frame that it concerns, and every frame before that one stands.
"""

import fcntl
import hashlib
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from flsim.errors import RunError

MAGIC = b"flsim journal 1\n"
_HEAD = struct.Struct("<Q16s")
_DIGEST_BYTES = 32
_MOST_BYTES = 2**40  # of a body; a length beyond it is no length


class FrameAt(NamedTuple):
    """Where a whole frame is: its name, the places of its body and of its end, and its digest."""

    name: str
    start: int
    stop: int
    digest: bytes

    @property
    def end(self) -> int:
        """The place of the first byte after the frame."""
        return self.stop + _DIGEST_BYTES


@dataclass(frozen=True)
class Frames:
    """The whole frames at a file's beginning, and what is wrong with what follows; None if nothing is."""

    path: Path
    whole: Sequence[FrameAt]
    damage: str | None

    @property
    def end(self) -> int:
        """The place of the first byte after the last whole frame."""
        return self.whole[-1].end if self.whole else len(MAGIC)

    def bodies(self) -> Iterator[tuple[str, bytes]]:
        """Yield name and body of each frame."""
        with self.path.open("rb") as file:
            for frame in self.whole:
                file.seek(frame.start)
                yield frame.name, file.read(frame.stop - frame.start)


def read_frames(path: Path) -> Frames:
    """Return what is whole of a file of frames. Raises RunError if it cannot be read or is none."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            if (start := file.read(len(MAGIC))) != MAGIC and MAGIC.startswith(start):
                return Frames(path, [], _torn(path, 0, size))
            if start != MAGIC:
                raise RunError(
                    f"{path}: not a journal of this flsim: its first {len(MAGIC)} bytes are others"
                )
            whole: list[FrameAt] = []
            digest = hashlib.sha256(MAGIC).digest()
            place = len(MAGIC)
            while place < size:
                head = file.read(_HEAD.size)
                if len(head) < _HEAD.size:
                    return Frames(path, whole, _torn(path, len(whole), size))
                length, name = _HEAD.unpack(head)
                stop = place + _HEAD.size + length
                if length > _MOST_BYTES or stop + _DIGEST_BYTES > size:
                    return Frames(path, whole, _torn(path, len(whole), size))
                expected = _digest(digest, head, file.read(length))
                if file.read(_DIGEST_BYTES) != expected:
                    return Frames(path, whole, _changed(path, len(whole), place))
                digest, place = expected, stop + _DIGEST_BYTES
                word = name.rstrip(b"\0").decode("ascii", "replace")
                whole.append(FrameAt(word, stop - length, stop, digest))
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror or error}") from error
    return Frames(path, whole, None)


def _torn(path: Path, whole: int, size: int) -> str:
    return f"{path.name}: frame {whole + 1} is torn after byte {size}; {_told(whole)}"


def _changed(path: Path, whole: int, place: int) -> str:
    return f"{path.name}: frame {whole + 1}, which begins at byte {place}, was changed; {_told(whole)}"


def _told(whole: int) -> str:
    return f"{whole:,} frame{' is' if whole == 1 else 's are'} whole"


def check_free(path: Path) -> None:
    """Raise RunError if the file is there, and somebody is writing it."""
    if path.exists():
        FrameWriter(path, ()).close()


class FrameWriter:
    """Appends frames to a file, which it has for itself while it is open.

    One that goes on from frames of before first retraces them: it is given the same frames again, and
    compares them with those that are there. It cuts off what comes after, and appends, from the first new
    one on.
    """

    def __init__(self, path: Path, before: Sequence[FrameAt] | None = None) -> None:
        """`before`: the frames that are to be retraced; None: a new file.

        Raises RunError if the file cannot be written, or is being written by somebody else.
        """
        self._path = path
        self._before = before or ()
        self.frames = 0
        """How many frames there are so far."""
        self._digest = hashlib.sha256(MAGIC).digest()
        self._end = len(MAGIC)
        self._failed = False
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunError(
                    f"{path} is being written: the run of {path.parent} is still going on"
                ) from None
            if before is None:
                self._put(MAGIC, 0)
        except OSError as error:
            raise self._refused(error) from error

    @property
    def retraces(self) -> bool:
        """Whether frames of before are still to come."""
        return self.frames < len(self._before)

    def write(self, name: str, body: bytes) -> None:
        """Append a frame, or compare it with the one that is there. Raises RunError.

        One that an interruption cuts short is not there: the next one is written over it.
        """
        if self._failed:
            return  # behind a torn frame nobody would find another
        head = _HEAD.pack(len(body), name.encode("ascii"))
        digest = _digest(self._digest, head, body)
        if self.retraces:
            self._compare(name, digest)
        else:
            self._put(head + body + digest, self._end)
        end = self._end + _HEAD.size + len(body) + _DIGEST_BYTES
        self._end, self._digest, self.frames = end, digest, self.frames + 1

    def sync(self) -> None:
        """Wait until what was written is on the disk."""
        if self.retraces or self._failed:
            return
        try:
            os.fsync(self._file)
        except OSError as error:
            raise self._refused(error) from error

    def close(self) -> None:
        """Put everything on the disk, and let go of the file. Closing again does nothing."""
        if self._file < 0:
            return
        try:
            self.sync()
        finally:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _compare(self, name: str, digest: bytes) -> None:
        before = self._before[self.frames]
        if before.digest != digest:
            told = name if name == before.name else f"{name}, and {before.name} before"
            raise RunError(
                f"{self._path}: the run does not repeat itself: frame {self.frames + 1} ({told}) differs"
            )

    def _put(self, content: bytes, place: int) -> None:
        """Write at the end of what is whole, over whatever else is there."""
        try:
            if os.fstat(self._file).st_size > place:
                os.ftruncate(self._file, place)
            left, start = memoryview(content), place
            while left:
                written = os.pwrite(self._file, left, start)
                left, start = left[written:], start + written
        except OSError as error:
            self._failed = True
            with suppress(OSError):
                os.ftruncate(self._file, place)
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> RunError:
        return RunError(f"cannot write {self._path}: {error.strerror or error}")


def _digest(before: bytes, head: bytes, body: bytes) -> bytes:
    digest = hashlib.sha256(before)
    digest.update(head)
    digest.update(body)
    return digest.digest()
