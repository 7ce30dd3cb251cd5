"""Where a person sees how far a run or a sweep has come, in a notebook: a bar below the cell.

It is a widget of ipywidgets (extra `notebook`) or, without these, a line of HTML. It goes away at the end.
"""

import html
import sys
from contextlib import AbstractContextManager
from importlib import import_module
from types import ModuleType
from typing import Any, Protocol, Self

from flsim.sweeping import Outcome
from flsim.terminal.display import Display, Progressed
from flsim.terminal.sweeps import Counts

_EVERY_S = 0.25  # what a browser is told of more often, nobody sees


class NotebookBar(Display):
    """A bar with a text beside it."""

    every_s = _EVERY_S

    def __init__(self, name: str) -> None:
        self._name = name
        self._shown: _Shown = _shown()

    def show(self, progressed: Progressed) -> None:
        self.fill(progressed.share, progressed.line)

    def fill(self, share: float, text: str) -> None:
        """Fill a share of the bar."""
        self._shown.update(share, f"{self._name}: {text}")

    def __enter__(self) -> Self:
        self._shown.begin(self._name)
        return self

    def __exit__(self, *_: object) -> None:
        self._shown.end()


class NotebookSweepWatcher(AbstractContextManager["NotebookSweepWatcher"]):
    """Shows how many runs of a sweep are done."""

    def __init__(self, name: str) -> None:
        self._counts = Counts()
        self._bar = NotebookBar(name)

    def __enter__(self) -> Self:
        self._bar.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.__exit__()

    def __call__(self, outcome: Outcome, runs: int) -> None:
        """Take what became of one of so many runs."""
        self._counts.take(outcome)
        self._bar.fill(self._counts.ended / runs, self._counts.of(runs))


def in_notebook() -> bool:
    """Whether the program runs in a notebook: in a kernel of IPython's."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and hasattr(shell, "kernel")


class _Shown(Protocol):
    def begin(self, text: str) -> None: ...
    def update(self, share: float, text: str) -> None: ...
    def end(self) -> None: ...


def _shown() -> _Shown:
    display = import_module("IPython.display")
    try:
        return _Widget(import_module("ipywidgets"), display)
    except ImportError:
        return _Html(display)


class _Widget:
    def __init__(self, ipywidgets: ModuleType, display: ModuleType) -> None:
        self._display = display
        self._bar = ipywidgets.FloatProgress(max=1.0)
        self._text = ipywidgets.Label()
        self._box = ipywidgets.HBox([self._bar, self._text])

    def begin(self, text: str) -> None:
        self._text.value = text
        self._display.display(self._box)

    def update(self, share: float, text: str) -> None:
        self._bar.value, self._text.value = share, text

    def end(self) -> None:
        for widget in (self._box, self._bar, self._text):
            widget.close()


class _Html:
    def __init__(self, display: ModuleType) -> None:
        self._display = display
        self._handle: Any = None

    def begin(self, text: str) -> None:
        self._handle = self._display.display(self._display.HTML(_line(0.0, text)), display_id=True)

    def update(self, share: float, text: str) -> None:
        self._handle.update(self._display.HTML(_line(share, text)))

    def end(self) -> None:
        self._handle.update(self._display.HTML(""))


def _line(share: float, text: str) -> str:
    """Return a bar and its text.

    >>> _line(0.5, "a < b")
    '<progress value="0.5"></progress> a &lt; b'
    """
    return f'<progress value="{share:.4g}"></progress> {html.escape(text)}'
