"""`accuracy`, `loss` and `attack_success`: one number of every version's central test over virtual time."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from flsim.observe.canvas import (
    BLUE,
    COLUMN,
    GREY,
    SMALL,
    VERMILION,
    label_time,
    markers,
    new_figure,
    styled,
    thinned,
    tidy,
    time_unit,
)
from flsim.observe.tables import Tables, version_records
from flsim.records import VersionRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_POINTS = 5_000  # of a curve: more than the page has dots
_VERSION_TICKS = 6

Curve = list[tuple[VersionRecord, float]]


@styled
def figure_accuracy(tables: Tables) -> "Figure | None":
    """Return the accuracy of every evaluated version; None without any."""
    return _draw_curve(_curve(tables, lambda row: row.accuracy), "accuracy (share of test samples)", max)


@styled
def figure_loss(tables: Tables) -> "Figure | None":
    """Return the loss of every evaluated version; None without any."""
    return _draw_curve(_curve(tables, lambda row: row.loss), "loss (mean per test sample)", min)


@styled
def figure_attack_success(tables: Tables) -> "Figure | None":
    """Return how often the trigger of a backdoor works, of every evaluated version; None without any."""
    what = "attack success (share of test samples)"
    return _draw_curve(_curve(tables, lambda row: row.attack_success), what, max, "highest")


def _curve(tables: Tables, value: Callable[[VersionRecord], float | None]) -> Curve:
    points = [(row, value(row)) for row in version_records(tables.versions)]
    return [(row, y) for row, y in points if y is not None and math.isfinite(y)]


def _draw_curve(
    curve: Curve, what: str, best_of: Callable[[list[float]], float], best_is: str = "best"
) -> "Figure | None":
    """Return one value per evaluated version over virtual time, with the versions along the top."""
    if not curve:
        return None
    best = best_of([value for _, value in curve])
    champion = next(row for row, value in curve if value == best)
    curve = [curve[place] for place in thinned(len(curve), _MOST_POINTS)]
    unit, second = time_unit(curve[-1][0].time_s)
    figure = new_figure(COLUMN, 2.6)
    axes = figure.subplots()
    axes.plot(
        [row.time_s / second for row, _ in curve],
        [value for _, value in curve],
        color=BLUE,
        clip_on=False,
        **markers(len(curve)),
    )
    axes.plot(
        champion.time_s / second,
        best,
        color=VERMILION,
        marker="o",
        markersize=7,
        markerfacecolor="none",
        markeredgewidth=1.3,
        linestyle="",
        clip_on=False,
        label=f"{best_is}: {best:.4g} at version {champion.version:,}",
    )
    tidy(axes)
    axes.set_xlim(0, max(row.time_s for row, _ in curve) / second or 1)
    axes.set_ylabel(what)
    label_time(axes, unit)
    figure.legend(loc="outside lower center")
    _label_versions(axes, [row for row, _ in curve], second)
    return figure


def _label_versions(axes: "Axes", rows: list[VersionRecord], second: float) -> None:
    """Put version numbers on top, at about equal distances in time, each where that version is."""
    times = np.array([row.time_s for row in rows])
    wanted = np.linspace(times[0], times[-1], _VERSION_TICKS)
    places = np.unique(np.abs(times[None, :] - wanted[:, None]).argmin(axis=1))
    spread = 0.1 * (times[-1] - times[0])
    kept: list[int] = []
    for place in places.tolist():
        if not kept or times[place] - times[kept[-1]] > spread:
            kept.append(place)
    top = axes.twiny()
    top.set_xlim(axes.get_xlim())
    top.set_xticks(times[kept] / second, [f"{rows[place].version:,}" for place in kept])
    top.set_xlabel("version")
    top.tick_params(labelsize=SMALL, length=2.5, width=0.6)
    top.spines[["right", "bottom", "left"]].set_visible(False)
    top.spines["top"].set_color(GREY)
