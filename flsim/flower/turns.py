"""Two threads that take turns: the world, and a program that is written as if it were alone.

A ServerApp is an ordinary function that waits for answers. It runs in a thread of its own, and only while
the world stands still; so nothing depends on how threads are scheduled.
"""

import threading
from collections.abc import Callable

from flsim.messages import Pause


class _Over(BaseException):
    """Raised in the program where it waits, when the run is over."""


class Turns:
    """Owns the program's thread, and whose turn it is."""

    def __init__(self, program: Callable[[], None]) -> None:
        self._program = program
        self._thread: threading.Thread | None = None
        self._programs_turn, self._worlds_turn = threading.Semaphore(0), threading.Semaphore(0)
        self._pause: Pause | None = None
        self._is_over = False
        self.failure: BaseException | None = None
        """What the program has raised."""

    @property
    def is_programs(self) -> bool:
        """Whether this is the program's thread."""
        return threading.current_thread() is self._thread

    def go_on(self) -> Pause | None:
        """The world's side: let the program go on until it waits; None if it is at its end."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="ServerApp", daemon=True)
            self._thread.start()
        elif not self._thread.is_alive():
            return None
        else:
            self._programs_turn.release()
        self._worlds_turn.acquire()
        return self._pause

    def wait(self, pause: Pause) -> None:
        """The program's side: let the world go on until there is something new, or the pause is over."""
        if self._is_over:
            raise _Over
        self._pause = pause
        self._worlds_turn.release()
        self._programs_turn.acquire()
        if self._is_over:
            raise _Over

    def end(self) -> None:
        """The world's side: end the program, if it waits. Whatever it does about that, it does last."""
        if self._thread is None or not self._thread.is_alive() or self._is_over:
            return
        self._is_over = True
        self._programs_turn.release()
        self._worlds_turn.acquire()

    def _run(self) -> None:
        try:
            self._program()
        except _Over:
            pass
        except BaseException as error:
            if not self._is_over:  # what it raises while it is ended is nobody's concern
                self.failure = error
        finally:
            self._pause = None
            self._worlds_turn.release()
