"""What a report is made of: tabs of tiles, notes, tables and figures. All is data, and nothing is HTML.

A figure is what plotly.js is given: traces and a layout, as plain lists and dicts. Colours that begin with
`--` are names of the page's CSS variables, so that they follow the light and the dark theme.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flsim.observe.canvas import time_unit
from flsim.observe.states import State
from flsim.records import Outcome

Trace = dict[str, Any]
Plot = Mapping[str, Any]
"""`data` and `layout` of plotly.js."""

MOST_POINTS = 1_500  # of a curve: more than a page has dots
_BYTE_UNITS = ("B", "kB", "MB", "GB", "TB")
MOST_ROWS = 60  # of the table beside a figure

STATE_COLOURS: dict[State, str] = {
    "download": "--sky",
    "compute": "--orange",
    "upload": "--green",
    "waiting": "--purple",
    "idle": "--idle",
}
OUTCOME_COLOURS = {
    Outcome.AGGREGATED: "--blue",
    Outcome.DISCARDED: "--orange",
    Outcome.DROPPED: "--vermilion",
    Outcome.LOST: "--purple",
    Outcome.REJECTED: "--ink",
    Outcome.UNFINISHED: "--grey",
}


@dataclass(frozen=True)
class Tile:
    """A headline number, and a few words below it."""

    label: str
    value: str
    detail: str = ""


@dataclass(frozen=True)
class Tiles:
    """The headline numbers, side by side."""

    tiles: Sequence[Tile]


@dataclass(frozen=True)
class Note:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Terms:
    """Words and what they mean here."""

    terms: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Source:
    """A text that is shown as it is."""

    title: str
    text: str


@dataclass(frozen=True)
class Table:
    """Rows of text under headings. The first column names the row; others are numbers unless `words`."""

    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: frozenset[int] = frozenset()
    note: str = ""


@dataclass(frozen=True)
class Figure:
    """A chart: its title, what it shows in words, one view or several to choose from, and the numbers.

    `name`: its id on the page. `table`: what it shows, for those who do not see it. `height`: in pixels.
    """

    name: str
    title: str
    says: str
    views: Sequence[tuple[str, Plot]]
    table: Table
    height: int = 340
    buttons: bool = False  # for zooming, beside the drag of a pointer


Part = Tiles | Note | Terms | Source | Table | Figure


@dataclass(frozen=True)
class Tab:
    """A page of the report."""

    name: str
    title: str
    parts: Sequence[Part] = field(default=())


def numbers(values: Iterable[float] | NDArray[Any], digits: int = 6) -> list[float | None]:
    """Return values to so many significant digits, and None for what is not finite: the page has no more.

    >>> numbers([1 / 3, float("nan")])
    [0.333333, None]
    """
    array = np.asarray(values, np.float64)
    return [float(f"{value:.{digits}g}") if np.isfinite(value) else None for value in array.tolist()]


def thinned(count: int, most: int = MOST_POINTS) -> NDArray[np.int64]:
    """Return at most so many evenly spaced places of `count`, the first and the last among them."""
    if count <= most:
        return np.arange(count)
    return np.linspace(0, count - 1, most).astype(np.int64)


def plot(traces: Sequence[Trace], x: str, y: str, **layout: Any) -> Plot:
    """Return a figure whose axes have these titles. `xaxis` and `yaxis` add to what an axis is given."""
    axes = {"xaxis": {"title": {"text": x}}, "yaxis": {"title": {"text": y}}}
    for name in axes:
        axes[name] |= layout.pop(name, {})
    return {"data": list(traces), "layout": {"showlegend": len(traces) > 1, **axes, **layout}}


def bars(
    name: str,
    x: Sequence[float | None],
    y: NDArray[Any],
    width: Sequence[float | None],
    colour: str,
    hover: str,
    about: Sequence[Any] | None = None,
) -> Trace:
    """Return bars of these middles, heights and widths. `hover`: what a bar says, `about`: its data."""
    trace: Trace = {
        "type": "bar",
        "name": name,
        "x": x,
        "y": numbers(y),
        "width": width,
        "marker": {"color": colour, "line": {"width": 0}},
        "hovertemplate": f"{hover}<extra></extra>",
    }
    return trace if about is None else trace | {"customdata": about}


def time_axis(seconds: float) -> tuple[str, float]:
    """Return the title of an axis of virtual time of that length, and the length of its unit in seconds."""
    unit, second = time_unit(seconds)
    return f"virtual time ({unit})", second


def byte_unit(size: float) -> tuple[str, float]:
    """Return the unit in which so many bytes read best.

    >>> byte_unit(5e6)
    ('MB', 1000000.0)
    """
    power = min(int(np.log10(max(size, 1.0)) // 3), len(_BYTE_UNITS) - 1)
    return _BYTE_UNITS[power], 1000.0**power


def sampled(rows: Sequence[Sequence[str]], what: str) -> tuple[Sequence[Sequence[str]], str]:
    """Return at most sixty rows, evenly spaced, and a note that says so."""
    if len(rows) <= MOST_ROWS:
        return rows, ""
    places = thinned(len(rows), MOST_ROWS)
    return [rows[place] for place in places], f"{MOST_ROWS} of {len(rows):,} {what}, evenly spaced."


def per_cent(value: float) -> str:
    """Return a share in per cent.

    >>> per_cent(0.125)
    '12.5 %'
    """
    return f"{100 * value:.1f} %"


def share(part: float, whole: float) -> str:
    """Return a part of a whole in per cent.

    >>> share(1, 3), share(0, 0)
    ('33.3 %', '–')
    """
    return per_cent(part / whole) if whole else "–"


def real(value: float | None, digits: int = 4) -> str:
    """Return a number to so many significant digits; a dash where there is none."""
    return "–" if value is None or not np.isfinite(value) else f"{value:.{digits}g}"
