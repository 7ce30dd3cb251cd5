"""Worker processes that are killed, or never come to work."""

import itertools
import os
import signal
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from unittest.mock import patch

from flsim.learn.executors.processes import ProcessesExecutor


def workers_of(executor: ProcessesExecutor) -> list[int]:
    """Return the process ids of an executor's workers."""
    pids = [worker._process.pid for worker in executor._workers]
    return [pid for pid in pids if pid is not None]


class Waits:
    """The times that a parent waits for its workers, counted from one: some, or all."""

    def __init__(self, *numbers: int) -> None:
        self._numbers: Collection[int] = numbers

    def __contains__(self, number: int) -> bool:
        return not self._numbers or number in self._numbers


@contextmanager
def killed(waits: Waits, every: bool = False) -> Iterator[list[int]]:
    """Kill the first worker that has work, or every worker, as the parent waits; yield whom."""
    ready, calls, victims = ProcessesExecutor._ready, itertools.count(1), list[int]()

    def kill_first(self: ProcessesExecutor):  # type: ignore[no-untyped-def]
        if next(calls) in waits:
            busy = [worker._process.pid for worker in self._workers if worker.tasks]
            for pid in busy if every else busy[:1]:
                assert pid is not None
                with suppress(ProcessLookupError):  # killed before, and not replaced yet
                    os.kill(pid, signal.SIGKILL)
                victims.append(pid)
        return ready(self)

    with patch.object(ProcessesExecutor, "_ready", kill_first):
        yield victims


def alive(pids: Collection[int]) -> list[int]:
    """Return which of these processes are still there, and are more than an entry in a table."""
    left = []
    for pid in pids:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
            if stat.rpartition(")")[2].split()[0] != "Z":
                left.append(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return left
