"""How worker processes start."""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import forkserver, get_context, resource_tracker
from types import ModuleType

# Not fork: the threads that torch and other libraries have started by now do not survive it. Not spawn:
# every worker would import torch for itself, 2.5 s of a core each. A fork server imports it once, for
# all workers of all executors, starts no thread, and then forks a worker in some 20 ms.
PROCESSES = get_context("forkserver")


FOR_SERVER = "FLSIM_FORK_SERVER_IMPORTS"
"""In the environment of a fork server that was started ahead: what else it imports, separated by spaces."""

_running: set[int] = set()  # this process, if it has started a fork server


def start_importing(preloaded: str, also: Sequence[str] = ()) -> None:
    """Start the fork server, if it is not running: it imports while this process does something else.

    `also`: modules that `preloaded` sees to, as one that cannot be imported would end the server.
    """
    with starting(preloaded):
        os.environ[FOR_SERVER] = " ".join(also)
        try:
            forkserver.ensure_running()
        finally:
            del os.environ[FOR_SERVER]


def is_running() -> bool:
    """Return whether this process has started the fork server."""
    return os.getpid() in _running


@contextmanager
def starting(preloaded: str) -> Iterator[None]:
    """In the block, start processes that hear no ^C, and do not run the main script again.

    ^C goes to the whole group, and only the parent acts on it. Python would have each of them import the
    script that it was started with, for what may be defined there; nothing is, and a script without a guard
    would start all over.
    `preloaded`: the module that the fork server imports, if it is not running yet.
    """
    resource_tracker.ensure_running()  # when it starts, it unblocks the signal
    PROCESSES.set_forkserver_preload([preloaded])
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    _running.add(os.getpid())
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
