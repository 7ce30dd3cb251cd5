"""`client_reports`: how long the clients train, how far they get, and how many have converged."""

from typing import TYPE_CHECKING, Any

import numpy as np

from flsim.observe.canvas import (
    BLUE,
    COLUMN,
    GREEN,
    SKY,
    label_time,
    legend_above,
    markers,
    new_figure,
    styled,
    thinned,
    tidy,
    time_unit,
)
from flsim.observe.client_reports import reports
from flsim.observe.tables import Tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_POINTS = 2_000  # as many as the page has dots


@styled
def figure_client_reports(tables: Tables) -> "Figure | None":
    """Return losses by epoch, training time and the share of converged tasks over virtual time, or None.

    One panel each, of the mean over every version's tasks. A panel that would be empty is left out.
    """
    found = reports(tables)
    if not found:
        return None
    shown = [sorted(found)[place] for place in thinned(len(found), _MOST_POINTS)]
    times = dict(
        zip(tables.versions["version"].to_pylist(), tables.versions["time_s"].to_pylist(), strict=True)
    )
    unit, second = time_unit(times[shown[-1]])
    x = [times[version] / second for version in shown]
    rows = [found[version] for version in shown]
    epochs = max(len(row["losses"]) for row in rows)
    panels = ["time"]
    if epochs:
        panels.insert(0, "loss")
    if any(row["converged_share"] is not None for row in rows):
        panels.append("share")
    figure = new_figure(COLUMN, 0.6 + 1.3 * len(panels))
    for axes, panel in zip(
        figure.subplots(len(panels), sharex=True, squeeze=False).flat, panels, strict=True
    ):
        if panel == "loss":
            _draw_losses(axes, x, rows, epochs)
        elif panel == "time":
            _draw(axes, x, [row["mean_training_time_s"] for row in rows], BLUE)
            axes.set_ylim(bottom=0)
            axes.set_ylabel("training time (s)")
        else:
            _draw(axes, x, [row["converged_share"] for row in rows], GREEN)
            axes.set_ylim(-0.02, 1.02)
            axes.set_ylabel("converged (share)")
        tidy(axes)
    axes.set_xlim(0, x[-1] or 1)
    label_time(axes, unit)
    figure.align_ylabels()
    return figure


def _draw_losses(axes: "Axes", x: list[float], rows: list[dict[str, Any]], epochs: int) -> None:
    """Draw the first and the last epoch's loss, and what lies between them."""
    first = [row["losses"][0] for row in rows]
    _draw(axes, x, first, SKY, "first epoch" if epochs > 1 else None, "--")
    if epochs > 1:
        last = [row["losses"][-1] for row in rows]
        _draw(axes, x, last, BLUE, f"last epoch ({epochs})")
        axes.fill_between(x, _numbers(first), _numbers(last), color=SKY, alpha=0.2, linewidth=0)
        legend_above(axes)
    axes.set_ylabel("training loss (mean)")


def _draw(
    axes: "Axes",
    x: list[float],
    values: list[float | None],
    colour: str,
    name: str | None = None,
    line: str = "-",
) -> None:
    axes.plot(
        x,
        _numbers(values),
        color=colour,
        linestyle=line,
        label=name,
        clip_on=False,
        **markers(len(x)),
    )


def _numbers(values: list[float | None]) -> list[float]:
    return [np.nan if value is None else value for value in values]
