"""`utilisation`: how many clients are at work, and how fast the server's link runs, over virtual time."""

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flsim.observe.canvas import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PAGE,
    PURPLE,
    SKY,
    SMALL,
    VERMILION,
    label_time,
    legend_above,
    new_figure,
    prefixed,
    styled,
    tidy,
    time_unit,
)
from flsim.observe.states import BUSY, State, end_of_run, fleet_size, mean_level, stage_bounds, stretches
from flsim.observe.tables import Tables
from flsim.units import RATE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BINS = 150
_COLOURS: dict[State, str] = {"download": SKY, "compute": ORANGE, "upload": GREEN, "waiting": PURPLE}
_HATCHES: dict[State, str] = {"download": "...", "upload": "//", "waiting": "\\\\"}

Reals = NDArray[np.float64]


@styled
def figure_utilisation(tables: Tables) -> "Figure | None":
    """Return the clients in every state that is not idle, and the server's link; None if nothing took time.

    Each step is the mean over a 150th of the run. The link's rate counts the bytes that were moved, evenly
    over the stage in which a task moved them; in a hierarchy it is that between edges and server.
    """
    end_s = end_of_run(tables)
    if not tables.tasks.num_rows or end_s <= 0:
        return None
    bounds = np.linspace(0.0, end_s, _BINS + 1)
    unit, second = time_unit(end_s)
    figure = new_figure(PAGE, 4.2)
    above, below = figure.subplots(2, sharex=True, height_ratios=(3, 2))
    _draw_clients(figure, above, tables, bounds, second)
    _draw_link(below, tables, bounds, second)
    below.set_xlim(0, end_s / second)
    label_time(below, unit)
    figure.align_ylabels()
    return figure


def _draw_clients(figure: "Figure", axes: "Axes", tables: Tables, bounds: Reals, second: float) -> None:
    levels = {state: mean_level(own, bounds) for state, own in stretches(tables).items()}
    fleet, floor = fleet_size(tables), np.zeros(_BINS)
    for state, level in levels.items():
        if level.any():
            axes.stairs(
                floor + level,
                bounds / second,
                baseline=floor,
                fill=True,
                facecolor=_COLOURS[state],
                hatch=_HATCHES.get(state),
                edgecolor="white",  # of the hatch
                linewidth=0,
                label=state,
            )
            floor = floor + level
    tidy(axes)
    axes.set_ylim(0, 1.05 * float(floor.max()) or 1)
    axes.set_ylabel("clients")
    share = axes.twinx()
    share.set_ylim(0, 100 * axes.get_ylim()[1] / fleet)
    share.spines[:].set_visible(False)
    share.set_ylabel("share of the fleet (%)")
    share.tick_params(labelsize=SMALL, length=2.5, width=0.6)
    busy = float(np.sum([levels[state] for state in BUSY], axis=0).mean()) / fleet
    waiting = float(levels["waiting"].mean()) / fleet
    axes.set_title(
        f"On average {100 * busy:.3g} % of {fleet:,} clients are at work, {100 * waiting:.3g} % wait, "
        f"{100 * (1 - busy - waiting):.3g} % are idle",
        loc="left",
    )
    figure.legend(loc="outside upper right", ncols=4)


def _draw_link(axes: "Axes", tables: Tables, bounds: Reals, second: float) -> None:
    up, down = link_rates(tables, bounds)
    unit, factor = prefixed(RATE.base, max(float(up.max()), float(down.max())))
    x = bounds / second
    for name, rate, colour, sign in (("up", up, VERMILION, 1), ("down, below zero", down, BLUE, -1)):
        mean = f"{rate.mean() / factor:.3g} {unit}"
        axes.stairs(sign * rate / factor, x, fill=True, color=colour, label=f"{name} (mean {mean})")
    axes.axhline(0, color=BLACK, linewidth=0.6)
    tidy(axes)
    axes.yaxis.set_major_formatter(lambda rate, _: f"{abs(rate):g}")
    axes.set_ylabel(f"server's link ({unit})")
    legend_above(axes)


def link_rates(tables: Tables, bounds: Reals) -> tuple[Reals, Reals]:
    """Return the mean rates, up and down, of the server's link over every bin, in bit/s: [bins] each.

    bounds: [bins + 1] seconds, increasing. The records have the bytes of a task, not when each was moved:
    they count evenly over its download, and over its upload. What no time was spent on is left out.
    """
    tasks = tables.aggregated
    dispatched, downloaded, trained, ended = stage_bounds(tasks)
    received = np.where(np.isnan(downloaded), ended, downloaded)
    parts = [(_column(tasks, "bytes_up"), trained, ended)]
    down = [(_column(tasks, "bytes_down"), dispatched, received)]
    if (errands := tables.errands) is not None:
        asked, done = (_column(errands, name) for name in ("asked_s", "ended_s"))
        parts.append((_column(errands, "bytes_up"), asked, done))
        down.append((_column(errands, "bytes_down"), asked, done))
    return _rate(parts, bounds), _rate(down, bounds)


def _column(table: pa.Table, name: str) -> Reals:
    column: Reals = table[name].to_numpy().astype(np.float64)
    return column


def _rate(parts: list[tuple[Reals, Reals, Reals]], bounds: Reals) -> Reals:
    sizes, starts, ends = (np.concatenate(column) for column in zip(*parts, strict=True))
    took = (ends - starts > 0) & (sizes > 0)  # a NaN took none
    sizes, starts, ends = sizes[took], starts[took], ends[took]
    per_second = 8 * sizes / (ends - starts)

    def moved(instants: Reals) -> Reals:
        """Return what would have been moved by each bound if all had gone on since their instants."""
        order = np.argsort(instants, kind="stable")
        before = np.searchsorted(instants[order], bounds)
        rates = np.concatenate([np.zeros(1), np.cumsum(per_second[order])])
        since = np.concatenate([np.zeros(1), np.cumsum((per_second * instants)[order])])
        whole: Reals = rates[before] * bounds - since[before]
        return whole

    rate: Reals = np.diff(moved(starts) - moved(ends)) / np.diff(bounds)
    return np.maximum(rate, 0.0)  # round-off
