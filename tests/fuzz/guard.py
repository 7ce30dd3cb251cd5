"""What an input may not do: raise anything but FlsimError, take a second or 512 MiB, write elsewhere."""

import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flsim.errors import FlsimError
from tests.fuzz import place
from tests.fuzz.target import Target

_TRIES = 3
LIMIT_S = 1.0  # of the processor's time: a busy machine is no fault of an input
LIMIT_BYTES = 512 * 2**20
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = {  # which arguments are paths that are changed, and which one is the open folder of each, if any
    "os.chmod": ((0, 2),),
    "os.link": ((1, 3),),
    "os.mkdir": ((0, 2),),
    "os.remove": ((0, 1),),
    "os.rename": ((0, 2), (1, 3)),
    "os.rmdir": ((0, 1),),
    "os.symlink": ((1, 2),),
    "os.truncate": ((0, None),),
    "shutil.rmtree": ((0, None),),
}
_NEVER = frozenset(
    (
        "subprocess.Popen",
        "os.system",
        "os.exec",
        "os.fork",
        "os.posix_spawn",
        "socket.connect",
        "pickle.find_class",
    )
)


class Hang(BaseException):
    """An input has taken too long."""


class Elsewhere(BaseException):
    """An input has made something be written elsewhere, or be executed."""


def peak_bytes() -> int:
    """Return the most memory that this process has ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Guard:
    """Watches a process that is for fuzzing alone: what it puts in place stays there."""

    def __init__(self) -> None:
        self._watching = False
        self.slowest_s = 0.0
        self.grown = 0
        self._before = peak_bytes()
        self._writable = place.folder().resolve()
        signal.signal(signal.SIGPROF, self._too_long)
        sys.addaudithook(self._audit)

    def begin(self) -> None:
        """Count memory from here on: what the parsers take for themselves is there by now."""
        self._before, self.grown, self.slowest_s = peak_bytes(), 0, 0.0

    def fault(self, target: Target, content: bytes, limit_s: float = LIMIT_S) -> str | None:
        """Read an input, and return what was wrong about that: a traceback, or a sentence.

        What takes too long is tried three times: others on the machine cost time of the processor, too.
        """
        for _ in range(_TRIES):
            wrong = self._fault(target, content, limit_s)
            if wrong is None or Hang.__name__ not in wrong:
                break
        return wrong

    def _fault(self, target: Target, content: bytes, limit_s: float) -> str | None:
        try:
            with self._watched(limit_s):
                target.parse(content)
        except FlsimError as error:
            if not str(error).strip():
                return "an error without a message"
        except BaseException:
            if isinstance(sys.exception(), KeyboardInterrupt):
                raise
            return traceback.format_exc()
        self.grown = max(self.grown, peak_bytes() - self._before)
        if self.grown > LIMIT_BYTES:
            grown, self.grown = self.grown, 0
            self.begin()
            return f"took {grown >> 20} MiB"
        return None

    @contextmanager
    def _watched(self, limit_s: float) -> Iterator[None]:
        begun_s = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, limit_s)
        self._watching = True
        try:
            yield
        finally:
            self._watching = False
            signal.setitimer(signal.ITIMER_PROF, 0)
            took_s = time.process_time() - begun_s
            self.slowest_s = max(self.slowest_s, took_s)

    def _too_long(self, *_: Any) -> None:
        if self._watching:
            raise Hang(f"more than {LIMIT_S:g} s of the processor's time")

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if not self._watching:
            return
        if event in _NEVER:
            raise Elsewhere(f"{event}{args!r:.200}")
        if event == "open" and isinstance(args[2], int) and args[2] & _WRITES:
            self._check(event, args[0])
        elif event in _CHANGES:
            for path, folder in _CHANGES[event]:
                self._check(event, args[path], -1 if folder is None else args[folder])

    def _check(self, event: str, path: Any, folder: int = -1) -> None:
        """Refuse a change elsewhere. `folder`: the open one that a path is relative to, if there is one."""
        if not isinstance(path, str | bytes | Path):
            return
        named = Path(os.fsdecode(path))
        if folder >= 0:
            named = Path(f"/proc/self/fd/{folder}").readlink() / named
        # A link is changed itself, and not what it leads to; what is opened is that.
        there = named.resolve() if event == "open" else named.parent.resolve() / named.name
        if not there.is_relative_to(self._writable) and "__pycache__" not in there.parts:
            raise Elsewhere(f"{event} {there}")
