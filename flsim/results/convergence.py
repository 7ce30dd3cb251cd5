"""How a run converges, as a picture: accuracy and loss over time, rounds or bytes."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from flsim.errors import RunError
from flsim.observe.canvas import BLUE, VERMILION, label_time, new_figure, save, tidy, time_unit
from flsim.units import SIZE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from flsim.results.fl_metrics import FLMetrics, Over, Reals

_MOST_MARKERS = 60


def draw_convergence(metrics: "FLMetrics", over: "Over", path: Path | None = None) -> "Figure":
    """Return a panel each for accuracy and for loss, as far as there are finite ones, over one axis.

    The best version is circled. Writes the figure to `path`, if given. Raises RunError if no version was
    tested, or if that cannot be written.
    """
    panels = [
        (what, values, best)
        for what, values, best in (
            ("accuracy", metrics.accuracy, np.nanargmax),
            ("loss", metrics.loss, np.nanargmin),
        )
        if np.isfinite(values).any()
    ]
    if not panels:
        raise RunError(f"{metrics.name}: no convergence: nothing was trained or tested")
    figure = new_figure(6.4, 1.0 + 2.2 * len(panels))
    all_axes = figure.subplots(len(panels), sharex=True, squeeze=False).flat
    for axes, (what, values, best) in zip(all_axes, panels, strict=True):
        finite = np.where(np.isfinite(values), values, np.nan)
        x = _across(metrics, over, axes)
        _draw(axes, x, finite, int(best(finite)), what)
    for axes in figure.axes[:-1]:
        axes.set_xlabel("")
    figure.align_ylabels()
    if path is not None:
        save(figure, path)
    return figure


def _across(metrics: "FLMetrics", over: "Over", axes: "Axes") -> "Reals":
    """Return where the versions are on the horizontal axis, and label that."""
    match over:
        case "time":
            unit, second = time_unit(float(metrics.times[-1]))
            label_time(axes, unit)
            return metrics.times / second
        case "rounds":
            axes.set_xlabel("server updates")
            return metrics.rounds.astype(np.float64)
        case "bytes":
            unit = SIZE.format(float(metrics.bytes[-1])).partition(" ")[2]
            axes.set_xlabel(f"traffic, both ways ({unit})")
            return metrics.bytes / SIZE.factors[unit]
    raise RunError(f"over: '{over}' is not one of time, rounds, bytes")


def _draw(axes: "Axes", x: "Reals", values: "Reals", best: int, what: str) -> None:
    tested = ~np.isnan(values)
    marker = "o" if tested.sum() <= _MOST_MARKERS else ""
    axes.plot(
        x[tested], values[tested], color=BLUE, linewidth=1.6, marker=marker, markersize=3.0, clip_on=False
    )
    axes.plot(
        x[best],
        values[best],
        marker="o",
        markersize=8,
        markerfacecolor="none",
        markeredgecolor=VERMILION,
        markeredgewidth=1.6,
        linestyle="",
        clip_on=False,
        label=f"best: {values[best]:.4g}",
    )
    tidy(axes)
    axes.set_xlim(0, float(x[-1]) or 1)
    axes.set_ylabel(what)
    axes.legend(frameon=False, loc="lower right" if what == "accuracy" else "upper right")
