"""What methods are called in the charts of a comparison, and how they are told apart there."""

from collections.abc import Sequence
from html import escape
from textwrap import wrap

COLOURS = ("--blue", "--orange", "--green", "--vermilion", "--purple", "--sky", "--grey")
DASHES = ("solid", "dash", "dot", "dashdot")
_WIDTH = 24  # of a line, in characters


def chart_labels(methods: Sequence[str], lines: int = 3) -> list[str]:
    """Return the methods as text of a chart: in a few short lines, the rest cut off, all of them different.

    A chart takes a few tags for markup; here none is.

    >>> chart_labels(["sync, cohort 10, over_selection 1.3", "<b>"])
    ['sync, cohort 10,<br>over_selection 1.3', '&lt;b&gt;']
    """
    cut = []
    for method in methods:
        found = wrap(method, _WIDTH, break_on_hyphens=False) or [""]
        if len(found) > lines:
            found = [*found[: lines - 1], f"{found[lines - 1][: _WIDTH - 1].rstrip()}…"]
        cut.append("<br>".join(escape(line, quote=False) for line in found))
    return [
        label if cut.count(label) == 1 else f"{number}: {label}"
        for number, label in enumerate(cut, start=1)
    ]


def some(parts: Sequence[str], most: int = 5) -> str:
    """Return parts of a sentence side by side: the first few, and how many more there are.

    >>> some(["one", "two", "three"], most=2)
    'one; two; and 1 more, as the table says'
    """
    rest = [f"and {len(parts) - most:,} more, as the table says"] if len(parts) > most else []
    return "; ".join([*parts[:most], *rest])


def look(place: int) -> tuple[str, str]:
    """Return the colour and the dash of the lines of a method, by its place."""
    return COLOURS[place % len(COLOURS)], DASHES[place // len(COLOURS) % len(DASHES)]
