"""`metrics`: the metrics of the central test over virtual time."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flsim.observe.canvas import (
    BLUE,
    COLUMN,
    GREEN,
    LINES,
    MARKERS,
    ORANGE,
    PURPLE,
    VERMILION,
    label_time,
    legend_above,
    markers,
    new_figure,
    styled,
    tidy,
    time_unit,
)
from flsim.observe.measured import names_of, of_versions
from flsim.observe.tables import Tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE)
_SHARES = ("precision", "recall", "f1", "roc_auc", "average_precision")  # all between 0 and 1


@styled
def figure_metrics(tables: Tables) -> "Figure | None":
    """Return every metric that was asked for: shares together, the others each on its own axes."""
    names = names_of(tables)
    shares = [name for name in names if name in _SHARES]
    panels = [*([shares] if shares else []), *([name] for name in names if name not in _SHARES)]
    if not panels:
        return None
    times = dict(
        zip(tables.versions["version"].to_pylist(), tables.versions["time_s"].to_pylist(), strict=True)
    )
    unit, second = time_unit(max(times.values()))
    rows = [
        (times[version] / second, row["metrics"])
        for version, row in of_versions(tables).items()
        if row["metrics"] is not None
    ]
    figure = new_figure(COLUMN, 0.4 + 2.3 * len(panels))
    drawn = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    for axes, panel in zip(drawn, panels, strict=True):
        _draw_curves(axes, panel, rows)
        axes.set_xlim(0, max(times.values()) / second or 1)
        axes.set_ylabel("score (0 to 1)" if panel is shares else f"{panel[0]} (central test)")
        if panel is shares:
            axes.set_ylim(-0.02, 1.02)
    label_time(axes, unit)
    return figure


def _draw_curves(
    axes: "Axes", names: Sequence[str], rows: Sequence[tuple[float, Mapping[str, Any]]]
) -> None:
    """Draw metrics over their times. A null breaks the line: nothing is between its neighbours."""
    for place, name in enumerate(names):
        axes.plot(
            [time for time, _ in rows],
            [math.nan if values[name] is None else values[name] for _, values in rows],
            color=_COLOURS[place % len(_COLOURS)],
            linestyle=LINES[place % len(LINES)],
            clip_on=False,
            label=name,
            **markers(len(rows), MARKERS[place % len(MARKERS)]),
        )
    tidy(axes)
    legend_above(axes, 3)
