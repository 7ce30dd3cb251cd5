"""Who draws the pictures of a run: this process and, where workers train, another one beside it."""

import os
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Self

from flsim.children import PROCESSES, is_running, starting
from flsim.interpreter import importing
from flsim.observe.canvas import new_figure, written
from flsim.observe.tables import Tables, read_tables

_GIVES_WAY = 10  # to the workers, while it imports
_END_S = 5.0


class Drawing:
    """Owns the process that draws beside this one, if there is one.

    Where workers have a fork server it starts in no time. It imports what drawing takes while the run goes
    on; then the two of them take one picture after the other.
    """

    def __init__(self, formats: Sequence[str]) -> None:
        self._formats = formats
        self._helper: _Helper | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._helper is not None:
            self._helper.end()

    def prepare(self) -> None:
        """The run goes on: let another process prepare to draw, if that costs little."""
        if self._helper is None and self._formats and is_running():
            self._helper = _Helper()

    def begin(self, folder: Path) -> None:
        """The tables are in the run's folder: let the other process begin."""
        if self._helper is not None:
            self._helper.tell(folder, self._formats)

    def draw(self, folder: Path, tables: Tables) -> None:
        """Write all pictures into `plots` in the run's folder. Raises RunError if one cannot be written."""
        if not self._formats:
            return
        with importing():
            from flsim.observe.plots import PICTURES, write_plots  # imports matplotlib

        left = set(PICTURES)
        if self._helper is not None:
            left -= _draw_untaken(folder, tables, self._formats, self._helper.taken)
            if self._helper.is_done():
                return
        write_plots(folder / "plots", tables, self._formats, left)


class _Helper:
    """The other process, its pipe, and how many pictures are taken."""

    def __init__(self) -> None:
        self.taken: Synchronized[int] = PROCESSES.Value("i", 0)
        self._pipe, theirs = PROCESSES.Pipe()
        self._process = PROCESSES.Process(target=_help, args=(theirs, self.taken), daemon=True)
        with starting(__name__):
            self._process.start()
        theirs.close()

    def tell(self, folder: Path, formats: Sequence[str]) -> None:
        """Say where the tables are. One that has died is not told."""
        with suppress(OSError):
            self._pipe.send((folder, formats))

    def is_done(self) -> bool:
        """Wait until it has written what it took; return False if it has not."""
        try:
            return bool(self._pipe.recv())
        except (EOFError, OSError):
            return False

    def end(self) -> None:
        """Let it end, which it does when it has nothing to do."""
        self._pipe.close()
        self._process.join(_END_S)
        self._process.kill()
        self._process.join()


def _help(pipe: Connection, taken: "Synchronized[int]") -> None:
    """What the other process does. Its errors are the first process's to tell, which meets them, too."""
    os.nice(_GIVES_WAY)
    with importing():
        figure = new_figure(2.0, 2.0)
        figure.add_subplot().plot([0.0, 1.0])
        written(figure, "png")  # which imports what any picture takes
    with suppress(Exception):
        folder, formats = pipe.recv()
        _draw_untaken(folder, read_tables(folder), formats, taken)
        pipe.send(True)


def _draw_untaken(
    folder: Path, tables: Tables, formats: Sequence[str], taken: "Synchronized[int]"
) -> set[str]:
    """Write pictures until all are taken; return which. The last ones, which are large, go first."""
    from flsim.observe.plots import PICTURES, write_plots

    names = list(PICTURES)[::-1]
    mine: set[str] = set()
    while True:
        with taken.get_lock():
            place = taken.value
            taken.value += 1
        if place >= len(names):
            return mine
        write_plots(folder / "plots", tables, formats, {names[place]})
        mine.add(names[place])
