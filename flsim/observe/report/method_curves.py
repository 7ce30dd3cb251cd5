"""How methods learn, over their seeds: a line for the mean, a band from the lowest seed to the highest."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flsim.observe.comparison import FinishedRun, Seeds
from flsim.observe.report.method_labels import chart_labels, look, some
from flsim.observe.report.parts import (
    Figure,
    Plot,
    Table,
    Trace,
    byte_unit,
    numbers,
    plot,
    real,
    sampled,
    thinned,
    time_axis,
)
from flsim.units import SIZE, TIME

MOST_METHODS = 12  # with a curve: more than one can tell apart
_MOST_POINTS = 400  # of a curve

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Band:
    """What the model that a method has at `x` is worth. All [points]; it stays the same until the next."""

    x: Array
    mean: Array
    low: Array
    high: Array


def band(runs: Seeds, across: str, value: str) -> Band | None:
    """Return a method's `value` against `across`, both columns of `spent_columns`; None without any.

    At every x a seed counts with its last test by then. It begins where each seed has been tested, and a
    seed that has ended keeps what it had.
    """
    curves = [_curve(run, across, value) for run in runs.values()]
    if not curves or any(not len(x) for x, _ in curves):
        return None
    first = max(float(x[0]) for x, _ in curves)
    x = np.unique(np.concatenate([x for x, _ in curves]))
    x = x[x >= first]
    x = x[thinned(len(x), _MOST_POINTS)]
    values = np.array([y[np.searchsorted(own, x, side="right") - 1] for own, y in curves])
    return Band(x, values.mean(axis=0), values.min(axis=0), values.max(axis=0))


def _curve(run: FinishedRun, across: str, value: str) -> tuple[Array, Array]:
    rows = [row for row in run.versions if row.get(value) is not None]
    return np.array([ACROSS[across](row) for row in rows]), np.array([row[value] for row in rows], float)


ACROSS: Mapping[str, Callable[[Mapping[str, float]], float]] = {
    "Virtual time": lambda row: float(row["time_s"]),
    "Bytes": lambda row: float(row["bytes_up_cumulative"] + row["bytes_down_cumulative"]),
    "Updates": lambda row: float(row["version"]),
}


def method_curves(methods: Mapping[str, Seeds], value: str) -> Figure | None:
    """Return the figure of "accuracy" or "loss" of central tests; None where nothing was tested."""
    names = list(methods)[:MOST_METHODS]
    labels = chart_labels(names, lines=2)
    found = {across: [band(methods[name], across, value) for name in names] for across in ACROSS}
    if not any(found["Virtual time"]):
        return None
    axis = f"{value} (central test)"
    views = [(across, _view(across, bands, labels, axis)) for across, bands in found.items()]
    left_out = len(methods) - len(names)
    ends = some(
        [
            f"{name} {real(float(each.mean[-1]))}"
            for name, each in zip(names, found["Virtual time"], strict=True)
            if each is not None
        ]
    )
    says = (
        f"Lines are means over the seeds, bands go from the lowest seed to the highest. A run that has "
        f"ended keeps its last {value}. At the end: {ends}."
    )
    if left_out:
        says += f" {left_out} more methods are in the tables only."
    height = 300 + 12 * max(4, sum(1 + label.count("<br>") for label in labels))
    table = _table(names, found["Virtual time"], value)
    return Figure(value, value.capitalize(), says, views, table, height)


def _view(across: str, bands: list[Band | None], labels: list[str], axis: str) -> Plot:
    drawn = [(place, each) for place, each in enumerate(bands) if each is not None]
    title, unit = _axis(across, max(float(each.x[-1]) for _, each in drawn))
    spread = [(place, each) for place, each in drawn if np.any(each.high > each.low)]
    areas = [_area(each, unit, place, labels[place]) for place, each in spread]
    lines = [_line(each, unit, place, labels[place]) for place, each in drawn]
    legend = {"maxheight": 2_000}  # all of it, and nothing to scroll
    return plot(
        [*areas, *lines], title, axis, xaxis={"rangemode": "tozero"}, showlegend=True, legend=legend
    )


def _axis(across: str, end: float) -> tuple[str, float]:
    if across == "Virtual time":
        return time_axis(end)
    if across == "Bytes":
        unit, size = byte_unit(end)
        return f"traffic up and down ({unit})", size
    return "server updates", 1.0


def _line(found: Band, unit: float, place: int, label: str) -> Trace:
    colour, dash = look(place)
    return {
        "type": "scatter",
        "mode": "lines",
        "x": numbers(found.x / unit),
        "y": numbers(found.mean),
        "customdata": [list(pair) for pair in zip(numbers(found.low), numbers(found.high), strict=True)],
        "line": {"color": colour, "width": 2, "dash": dash, "shape": "hv"},
        "name": label,
        "legendgroup": f"{place}",
        "hovertemplate": "%{fullData.name}: %{y:.4g} (%{customdata[0]:.4g} to %{customdata[1]:.4g})"
        "<extra></extra>",
    }


def _area(found: Band, unit: float, place: int, label: str) -> Trace:
    """Return the band as one outline, in steps as the line is."""
    x = np.repeat(found.x / unit, 2)[1:]
    high, low = (np.repeat(edge, 2)[:-1] for edge in (found.high, found.low))
    return {
        "type": "scatter",
        "mode": "lines",
        "x": numbers(np.concatenate([x, x[::-1]])),
        "y": numbers(np.concatenate([high, low[::-1]])),
        "fill": "toself",
        "line": {"width": 0, "color": look(place)[0]},
        "opacity": 0.45,
        "name": label,
        "legendgroup": f"{place}",
        "showlegend": False,
        "hoverinfo": "skip",
    }


def _table(names: list[str], bands: list[Band | None], value: str) -> Table:
    rows = [
        (name, TIME.format(x), real(mean), real(low), real(high))
        for name, each in zip(names, bands, strict=True)
        if each is not None
        for x, mean, low, high in (
            (float(each.x[place]), each.mean[place], each.low[place], each.high[place])
            for place in thinned(len(each.x), max(2, 60 // len(names))).tolist()
        )
    ]
    shown, note = sampled(rows, "points")
    headings = ("Method", "Virtual time", "mean", "lowest seed", "highest seed")
    return Table(f"{value.capitalize()} by virtual time", headings, shown, note=note)


def spent(across: str, amount: float) -> str:
    """Return an amount of what is spent with its unit.

    >>> spent("Bytes", 5e6), spent("Updates", 12.0)
    ('5 MB', '12')
    """
    if across == "Virtual time":
        return TIME.format(amount)
    return SIZE.format(amount) if across == "Bytes" else f"{amount:.4g}"
