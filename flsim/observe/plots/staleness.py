"""`staleness`: how stale the updates were that the server used, in all and version by version."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from flsim.observe.canvas import (
    BLUE,
    COLUMN,
    SKY,
    VERMILION,
    label_versions,
    legend_above,
    markers,
    new_figure,
    styled,
    thinned,
    tidy,
)
from flsim.observe.tables import Tables, outcomes
from flsim.records import Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_BARS = 60
_MOST_POINTS = 2_000

Counts = NDArray[np.int64]


@styled
def figure_staleness(tables: Tables) -> "Figure | None":
    """Return the distribution of staleness, and its mean and largest by version; None if all were fresh.

    Of the updates that went into versions of the server; in a hierarchy those are the edges'.
    """
    versions, staleness = _aggregated(tables)
    if not staleness.any():
        return None
    figure = new_figure(COLUMN, 4.0)
    above, below = figure.subplots(2)
    _draw_distribution(above, staleness)
    _draw_by_version(below, versions, staleness)
    figure.align_ylabels()
    return figure


def _aggregated(tables: Tables) -> tuple[Counts, Counts]:
    """Return the version that each used update went into, and its staleness."""
    used = tables.aggregated.filter(outcomes(tables.aggregated) == Outcome.AGGREGATED.value)
    rows = used.select(["aggregated_version", "staleness"]).drop_null()
    return rows["aggregated_version"].to_numpy(), rows["staleness"].to_numpy()


def _draw_distribution(axes: "Axes", staleness: Counts) -> None:
    width = int(staleness.max()) // _MOST_BARS + 1
    counts = np.bincount(staleness // width)
    shares = 100 * counts / len(staleness)
    axes.bar((np.arange(len(counts)) + 0.5) * width - 0.5, shares, width=0.9 * width, color=SKY)
    mean = float(staleness.mean())
    low, high = np.percentile(staleness, [50, 95])
    looks = ((mean, VERMILION, "--", "mean"), (low, BLUE, "-", "median"), (high, BLUE, ":", "95 % below"))
    for value, colour, line, name in looks:
        axes.axvline(
            float(value), color=colour, linestyle=line, linewidth=1.1, label=f"{name}: {value:.3g}"
        )
    tidy(axes)
    axes.grid(visible=False, axis="x")
    axes.set_xlabel("staleness (versions)" + (f"; a bar: {width} versions" if width > 1 else ""))
    axes.set_ylabel("updates (%)")
    legend_above(axes, 3)


def _draw_by_version(axes: "Axes", versions: Counts, staleness: Counts) -> None:
    distinct, places = np.unique(versions, return_inverse=True)
    means = np.bincount(places, staleness) / np.bincount(places)
    largest = np.zeros(len(distinct), np.int64)
    np.maximum.at(largest, places, staleness)
    kept = thinned(len(distinct), _MOST_POINTS)
    x = distinct[kept]
    axes.plot(x, largest[kept], color=SKY, linewidth=0.9, label="largest", **markers(len(x), "s"))
    axes.plot(x, means[kept], color=VERMILION, linestyle="--", label="mean", **markers(len(x)))
    tidy(axes)
    axes.set_xlim(0, max(int(distinct[-1]), 1))
    axes.set_ylim(bottom=0)
    label_versions(axes)
    axes.set_ylabel("staleness (versions)")
    legend_above(axes)
