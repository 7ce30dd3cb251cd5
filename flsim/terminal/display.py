"""Where a person sees how far a run has come: a bar on a terminal, or a line now and then."""

from contextlib import AbstractContextManager
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

_REFRESH_S = 0.1
_LINE_EVERY_S = 5.0


class Progressed(NamedTuple):
    """How far a run has come, in words; `share` is from 0 to 1. An empty text is not shown."""

    share: float
    virtual: str
    version: int
    accuracy: str
    rate: str

    @property
    def line(self) -> str:
        """All of it in a line."""
        parts = [f"virtual {self.virtual}", f"version {self.version}", self.accuracy, self.rate]
        return "  ".join(part for part in parts if part)


class Display(AbstractContextManager["Display"], Protocol):
    """Shows a run for the length of a `with`, at most every so many seconds."""

    every_s: float

    def show(self, progressed: Progressed) -> None: ...


class Nothing(Display):
    """Shows nothing."""

    every_s = _REFRESH_S

    def show(self, progressed: Progressed) -> None: ...

    def __exit__(self, *_: object) -> None: ...


class Lines(Display):
    """A line now and then, where there is no terminal."""

    every_s = _LINE_EVERY_S

    def __init__(self, console: Console) -> None:
        self._console = console

    def show(self, progressed: Progressed) -> None:
        self._console.print(progressed.line, highlight=False)

    def __exit__(self, *_: object) -> None: ...


class Bar(Display):
    """A bar on a terminal, which is gone afterwards."""

    every_s = _REFRESH_S

    def __init__(self, console: Console, name: str) -> None:
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("virtual {task.fields[virtual]}"),
            TextColumn("version {task.fields[version]}"),
            TextColumn("[green]{task.fields[accuracy]}"),
            TextColumn("[dim]{task.fields[rate]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._task = self._progress.add_task(
            escape(name), total=1.0, virtual="0 s", version=0, accuracy="", rate=""
        )

    def show(self, progressed: Progressed) -> None:
        share, fields = progressed.share, progressed._asdict()
        del fields["share"]
        self._progress.update(self._task, completed=share, **fields)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()


def display_on(console: Console, name: str, quiet: bool) -> Display:
    """Return what suits a console: a bar on a terminal, lines elsewhere, nothing if it is to be quiet."""
    if quiet:
        return Nothing()
    return Bar(console, name) if console.is_terminal else Lines(console)
