"""`communication`: the bytes sent by a virtual time, and the accuracy that so many bytes bought."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from flsim.observe.canvas import (
    BLUE,
    COLUMN,
    GREEN,
    ORANGE,
    VERMILION,
    label_time,
    legend_above,
    markers,
    new_figure,
    prefixed,
    styled,
    thinned,
    tidy,
    time_unit,
)
from flsim.observe.metrics import traffic_by
from flsim.observe.states import end_of_run
from flsim.observe.tables import Tables
from flsim.units import SIZE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOMENTS = 1_000
_MOST_POINTS = 2_000

Reals = NDArray[np.float64]
Sizes = NDArray[np.int64]


@styled
def figure_communication(tables: Tables) -> "Figure | None":
    """Return bytes over virtual time and, where versions were tested, accuracy over bytes; or None.

    Bytes are those of all tasks that had ended, whatever became of them; in a hierarchy those between edges
    and server are drawn apart. The accuracy is over the bytes in all.
    """
    if not tables.tasks.num_rows:
        return None
    end_s = end_of_run(tables)
    moments = np.linspace(0.0, end_s, _MOMENTS + 1)
    curves = _curves(tables, moments)
    points = tables.versions.select(["time_s", "accuracy"]).drop_null()
    largest = max(float(sent.max()) for _, sent, _, _ in curves)
    figure = new_figure(COLUMN, 4.4 if points.num_rows else 2.4)
    panels = figure.subplots(2 if points.num_rows else 1, squeeze=False)[:, 0]
    size, size_b = prefixed(SIZE.base, largest)
    unit, second = time_unit(end_s)
    above: Axes = panels[0]
    for name, sent, colour, line in curves:
        above.plot(moments / second, sent / size_b, color=colour, linestyle=line, label=name)
    tidy(above)
    above.set_xlim(0, end_s / second or 1)
    above.set_ylim(bottom=0)
    above.set_ylabel(f"sent so far ({size})")
    label_time(above, unit)
    legend_above(above)
    if points.num_rows:
        _draw_accuracy(panels[1], tables, points["time_s"].to_numpy(), points["accuracy"].to_numpy())
    return figure


def _curves(tables: Tables, moments: Reals) -> list[tuple[str, Sizes, str, str]]:
    """Return names, bytes by each of the moments, colours and lines."""
    up, down = traffic_by(tables, moments)
    if (below := _backbone(tables)) is None:
        return [("up", up, VERMILION, "-"), ("down", down, BLUE, "--")]
    edges_up, edges_down = traffic_by(below, moments)
    return [
        ("clients to edges", up, VERMILION, "-"),
        ("edges to clients", down, BLUE, "--"),
        ("edges to server", edges_up, ORANGE, "-."),
        ("server to edges", edges_down, GREEN, ":"),
    ]


def _backbone(tables: Tables) -> Tables | None:
    """Return the tables with the edges' tasks in place of the clients'; None without a hierarchy."""
    if tables.edges is None:
        return None
    return replace(tables, tasks=tables.edges.tasks, secure_errands=None, messages=None)


def _draw_accuracy(axes: "Axes", tables: Tables, times: Reals, accuracy: Reals) -> None:
    kept = thinned(len(times), _MOST_POINTS)
    spent = np.add(*traffic_by(tables, times[kept]))
    if (below := _backbone(tables)) is not None:
        spent += np.add(*traffic_by(below, times[kept]))
    size, size_b = prefixed(SIZE.base, float(np.max(spent)))
    axes.plot(spent / size_b, accuracy[kept], color=BLUE, clip_on=False, **markers(len(kept)))
    tidy(axes)
    axes.set_xlim(left=0)
    axes.set_xlabel(f"sent up and down ({size})")
    axes.set_ylabel("accuracy (share of test samples)")
