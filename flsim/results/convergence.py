"""How a run converges, as a picture: accuracy and loss over time, rounds or bytes."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from flsim.errors import RunError
from flsim.observe.canvas import (
    BLUE,
    COLUMN,
    VERMILION,
    label_time,
    label_versions,
    legend_above,
    markers,
    new_figure,
    prefixed,
    save,
    styled,
    tidy,
    time_unit,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from flsim.results.fl_metrics import FLMetrics, Over, Reals


@styled
def draw_convergence(metrics: "FLMetrics", over: "Over", path: Path | None = None) -> "Figure":
    """Return a panel each for accuracy and for loss, as far as there are finite ones, over one axis.

    The best version is circled. Writes the figure to `path`, if given. Raises RunError if no version was
    tested, or if that cannot be written.
    """
    panels = [
        (what, values, best)
        for what, values, best in (
            ("accuracy (share)", metrics.accuracy, np.nanargmax),
            ("loss (mean)", metrics.loss, np.nanargmin),
        )
        if np.isfinite(values).any()
    ]
    if not panels:
        raise RunError(f"{metrics.name}: no convergence: nothing was trained or tested")
    figure = new_figure(COLUMN, 0.6 + 1.6 * len(panels))
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
            label_versions(axes)
            return metrics.rounds.astype(np.float64)
        case "bytes":
            unit, size = prefixed("B", float(metrics.bytes[-1]))
            axes.set_xlabel(f"traffic, both ways ({unit})")
            return metrics.bytes / size
    raise RunError(f"over: '{over}' is not one of time, rounds, bytes")


def _draw(axes: "Axes", x: "Reals", values: "Reals", best: int, what: str) -> None:
    tested = ~np.isnan(values)
    axes.plot(x[tested], values[tested], color=BLUE, clip_on=False, **markers(int(tested.sum())))
    axes.plot(
        x[best],
        values[best],
        marker="o",
        markersize=7,
        markerfacecolor="none",
        markeredgecolor=VERMILION,
        linestyle="",
        clip_on=False,
        label=f"best: {values[best]:.4g}",
    )
    tidy(axes)
    axes.set_xlim(0, float(x[-1]) or 1)
    axes.set_ylabel(what)
    legend_above(axes)
