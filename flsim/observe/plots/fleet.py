"""`fleet`: what the clients are: speed by device class, bandwidth, and of a run also latency and samples.

`flsim describe` draws a fleet before anything has run, with the time of a task and who is there over a day.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flsim.observe.canvas import (
    BLUE,
    GREEN,
    LINES,
    ORANGE,
    PAGE,
    PURPLE,
    SKY,
    VERMILION,
    legend_above,
    new_figure,
    prefixed,
    styled,
    tidy,
)
from flsim.observe.tables import Tables
from flsim.records import Devices
from flsim.units import RATE, SPEED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BINS = 40
_HEIGHT = 4.4
_CLASS_COLOURS = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY)
_MOST_CLASSES = len(_CLASS_COLOURS)  # the smallest ones share a colour

Column = NDArray[np.float64]


@dataclass(frozen=True)
class FleetPicture:
    """What is drawn: devices and task times [clients], and the share there at even times of a day."""

    devices: Devices
    task_s: Column
    share_there: Column
    day_s: float


class _Group(NamedTuple):
    """Values that are drawn as one histogram."""

    name: str
    values: Column
    colour: str


@styled
def figure_of_fleet(picture: FleetPicture) -> "Figure":
    """Return a picture of a fleet before anything has run."""
    figure = new_figure(PAGE, _HEIGHT)
    (speed, bandwidth), (task, day) = figure.subplots(2, 2)
    _draw_speed(speed, picture.devices)
    _draw_bandwidth(bandwidth, picture.devices)
    _draw_spread(task, [_Group("", picture.task_s, GREEN)], "first task, alone on the network (s)")
    _draw_day(day, picture.share_there, picture.day_s)
    return figure


@styled
def figure_fleet(tables: Tables) -> "Figure | None":
    """Return the fleet of a run; None where it recorded no clients."""
    if not tables.clients.num_rows:
        return None
    devices = _devices(tables)
    samples = tables.clients["samples"].to_numpy().astype(np.float64)
    figure = new_figure(PAGE, _HEIGHT)
    (speed, bandwidth), (latency, held) = figure.subplots(2, 2)
    _draw_speed(speed, devices)
    _draw_bandwidth(bandwidth, devices)
    _draw_spread(latency, [_Group("", devices.latency_s * 1e3, GREEN)], "latency (ms)")
    _draw_spread(held, [_Group("", samples, PURPLE)], "samples held (count)")
    return figure


def _devices(tables: Tables) -> Devices:
    names, classes = np.unique(tables.clients["device_class"].to_numpy(), return_inverse=True)
    columns = ("speed_flops", "downlink_bps", "uplink_bps", "latency_s")
    speed, down, up, latency = (
        tables.clients[name].to_numpy().astype(np.float64) for name in columns
    )  # a speed that is null becomes NaN
    return Devices(tuple(names.tolist()), classes.astype(np.uint8), speed, down, up, latency)


def _draw_speed(axes: "Axes", devices: Devices) -> None:
    """Draw a histogram for each device class, the largest classes first."""
    counts = np.bincount(devices.device_class, minlength=len(devices.class_names))
    order = np.argsort(-counts, kind="stable")
    known = ~np.isnan(devices.speed_flops)
    parts = [(devices.class_names[place], devices.device_class == place) for place in order.tolist()]
    if len(parts) > _MOST_CLASSES:
        rest = np.isin(devices.device_class, order[_MOST_CLASSES - 1 :])
        parts = [*parts[: _MOST_CLASSES - 1], (f"{len(parts) - _MOST_CLASSES + 1} others", rest)]
    unit, factor = prefixed(SPEED.base, float(devices.speed_flops[known].max(initial=0.0)))
    groups = [
        _Group(f"{name} ({own.sum():,})", devices.speed_flops[own & known] / factor, colour)
        for (name, own), colour in zip(parts, _CLASS_COLOURS, strict=False)
        if (own & known).any()
    ]
    if groups:
        _draw_spread(axes, groups, f"compute speed ({unit})")
        return
    axes.set_axis_off()
    axes.text(0.5, 0.5, "durations are drawn per task,\nnot from a speed", ha="center", va="center")


def _draw_bandwidth(axes: "Axes", devices: Devices) -> None:
    unit, factor = prefixed(
        RATE.base, max(float(devices.downlink_bps.max()), float(devices.uplink_bps.max()))
    )
    down, up = devices.downlink_bps / factor, devices.uplink_bps / factor
    _draw_spread(
        axes, [_Group("downlink", down, BLUE), _Group("uplink", up, ORANGE)], f"bandwidth ({unit})"
    )


def _draw_spread(axes: "Axes", groups: list[_Group], label: str) -> None:
    """Draw histograms over a logarithmic axis, or a single bar where all values are the same."""
    everything = np.concatenate([group.values for group in groups])
    if everything.max() <= 0:  # which a logarithmic axis cannot show
        axes.set_axis_off()
        axes.text(0.5, 0.5, f"{label}: 0 for everybody", ha="center", va="center")
        return
    low, high = max(everything.min(), 1e-6 * everything.max()), everything.max()
    if high / low < 1.0001:
        low, high = low / 2, high * 2
    bins = np.geomspace(low, high, _BINS + 1).tolist()
    for place, group in enumerate(groups):
        values = np.maximum(group.values, low)
        line = LINES[place % len(LINES)]
        axes.hist(values, bins, color=group.colour, alpha=0.35 if len(groups) > 1 else 0.65)
        if len(groups) > 1:  # outlines tell apart what lies on top of each other
            axes.hist(values, bins, color=group.colour, histtype="step", linestyle=line, label=group.name)
    tidy(axes)
    axes.set_xscale("log")
    _label_ticks(axes, np.log10(high / low))
    axes.set_xlabel(label)
    axes.set_ylabel("clients")
    if len(groups) > 1:
        legend_above(axes, 3)


def _label_ticks(axes: "Axes", decades: float) -> None:
    """Label as many values of a logarithmic axis as there is room for."""
    from matplotlib.ticker import LogLocator, NullFormatter

    per_decade = (1, 2, 5) if decades < 2 else (1, 3) if decades < 3 else (1,)
    axes.xaxis.set_major_locator(LogLocator(10, per_decade))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(lambda clients, _: f"{clients:,.0f}")


def _draw_day(axes: "Axes", shares: Column, day_s: float) -> None:
    hours = (np.arange(len(shares)) + 0.5) / len(shares) * day_s / 3600
    axes.fill_between(hours, 100 * shares, color=SKY, alpha=0.5, linewidth=0)
    axes.plot(hours, 100 * shares, color=BLUE)
    tidy(axes)
    axes.set_xlim(0, day_s / 3600)
    axes.set_ylim(0, 102)
    axes.set_xticks(range(0, 25, 6))
    axes.set_xlabel("virtual time (h)")
    axes.set_ylabel("clients there (%)")
