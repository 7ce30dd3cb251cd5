"""`accuracy`, `loss` and `attack_success`: one number of every version's central test over virtual time."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from flsim.observe.canvas import BLUE, VERMILION, label_time, new_figure, tidy, time_unit
from flsim.observe.tables import Tables, version_records
from flsim.records import VersionRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_POINTS = 5_000  # of a curve: more than the page has dots
_MOST_MARKERS = 60
_VERSION_TICKS = 6

Curve = list[tuple[VersionRecord, float]]


def figure_accuracy(tables: Tables) -> "Figure | None":
    """Return the accuracy of every evaluated version; None without any."""
    return _draw_curve(_curve(tables, lambda row: row.accuracy), "accuracy", max)


def figure_loss(tables: Tables) -> "Figure | None":
    """Return the loss of every evaluated version; None without any."""
    return _draw_curve(_curve(tables, lambda row: row.loss), "loss", min)


def figure_attack_success(tables: Tables) -> "Figure | None":
    """Return how often the trigger of a backdoor works, of every evaluated version; None without any."""
    what = "share of samples that the trigger decides"
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
    if len(curve) > _MOST_POINTS:
        curve = [curve[place] for place in np.linspace(0, len(curve) - 1, _MOST_POINTS).astype(int)]
    unit, second = time_unit(curve[-1][0].time_s)
    figure = new_figure(6.4, 4.0)
    axes = figure.subplots()
    axes.plot(
        [row.time_s / second for row, _ in curve],
        [value for _, value in curve],
        color=BLUE,
        linewidth=1.6,
        marker="o" if len(curve) <= _MOST_MARKERS else "",
        markersize=3.5,
        clip_on=False,
    )
    axes.plot(
        champion.time_s / second,
        best,
        marker="o",
        markersize=8,
        markerfacecolor="none",
        markeredgecolor=VERMILION,
        markeredgewidth=1.6,
        linestyle="",
        clip_on=False,
        label=f"{best_is}: {best:.4g} at version {champion.version:,}",
    )
    tidy(axes)
    axes.set_xlim(0, max(row.time_s for row, _ in curve) / second or 1)
    axes.set_ylabel(f"{what} (central test)")
    label_time(axes, unit)
    axes.legend(frameon=False, loc="lower right" if best_of is max else "upper right")
    _label_versions(axes, [row for row, _ in curve], second)
    return figure


def _label_versions(axes: "Axes", rows: list[VersionRecord], second: float) -> None:
    """Put version numbers on top, at about equal distances in time, each where that version is."""
    times = np.array([row.time_s for row in rows])
    wanted = np.linspace(times[0], times[-1], _VERSION_TICKS)
    places = np.unique(np.abs(times[None, :] - wanted[:, None]).argmin(axis=1))
    spread = 0.05 * (times[-1] - times[0])
    kept: list[int] = []
    for place in places.tolist():
        if not kept or times[place] - times[kept[-1]] > spread:
            kept.append(place)
    top = axes.twiny()
    top.set_xlim(axes.get_xlim())
    top.set_xticks(times[kept] / second, [f"{rows[place].version:,}" for place in kept])
    top.set_xlabel("version")
    top.spines[["right", "bottom", "left"]].set_visible(False)
    top.spines["top"].set_color("#999999")
