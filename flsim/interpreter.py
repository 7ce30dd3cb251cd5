"""What Python does besides: it looks for garbage among modules, and frees all memory at the end."""

import atexit
import gc
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn


@contextmanager
def importing() -> Iterator[None]:
    """Import modules in the block without looking for garbage among them, now and later.

    There is none, and torch with all that it imports has hundreds of thousands of objects: a quarter of the
    time that importing takes. Where all modules are there already, nothing is kept from being collected.
    """
    modules, was_enabled = len(sys.modules), gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > modules:
            gc.freeze()
        if was_enabled:
            gc.enable()


def leave(code: int) -> NoReturn:
    """End the process, with all that is to be done at its end but freeing memory object by object.

    With torch loaded, that alone takes a second. Threads that have to come to their end do so.
    """
    others = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    if not all(thread.daemon for thread in others):
        sys.exit(code)
    atexit._run_exitfuncs()
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:  # so it is when somebody closed it
                stream.flush()
    except (OSError, ValueError):
        sys.exit(code)  # which says what Python says about it
    os._exit(code)
