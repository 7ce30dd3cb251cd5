"""A picture of a fleet: speed, bandwidth, the time of a task, and who is there over a day."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from flsim.observe.canvas import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, new_figure, tidy
from flsim.records import Devices

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BINS = 40
_CLASS_COLOURS = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY)

Column = NDArray[np.float64]


@dataclass(frozen=True)
class FleetPicture:
    """What is drawn: devices and task times [clients], and the share there at even times of a day."""

    devices: Devices
    task_s: Column
    share_there: Column
    day_s: float


def figure_of_fleet(picture: FleetPicture) -> "Figure":
    """Return a picture of a fleet."""
    figure = new_figure(8.0, 5.6)
    (speed, bandwidth), (task, day) = figure.subplots(2, 2)
    _draw_speed(speed, picture.devices)
    down, up = picture.devices.downlink_bps / 1e6, picture.devices.uplink_bps / 1e6
    _draw_spread(bandwidth, [("downlink", down, BLUE), ("uplink", up, ORANGE)], "bandwidth (Mbit/s)")
    _draw_spread(task, [("", picture.task_s, GREEN)], "first task, alone on the network (s)")
    _draw_day(day, picture.share_there, picture.day_s)
    return figure


def _draw_speed(axes: "Axes", devices: Devices) -> None:
    groups = []
    for index, name in enumerate(devices.class_names):
        speeds = devices.speed_flops[devices.device_class == index] / 1e9
        if len(speeds) and not np.isnan(speeds).all():
            groups.append((name, speeds, _CLASS_COLOURS[index % len(_CLASS_COLOURS)]))
    if groups:
        _draw_spread(axes, groups, "compute speed (GFLOP/s)")
        return
    axes.set_axis_off()
    axes.text(0.5, 0.5, "durations are drawn per task,\nnot from a speed", ha="center", va="center")


def _draw_spread(axes: "Axes", groups: list[tuple[str, Column, str]], label: str) -> None:
    """Draw histograms over a logarithmic axis, or a single bar where all values are the same."""
    everything = np.concatenate([values for _, values, _ in groups])
    low, high = max(everything.min(), 1e-9), max(everything.max(), 1e-9)
    if high / low < 1.0001:
        low, high = low / 2, high * 2
    bins = np.geomspace(low, high, _BINS + 1).tolist()
    for name, values, colour in groups:
        axes.hist(np.maximum(values, low), bins, color=colour, alpha=0.65, label=name or None)
    tidy(axes)
    axes.set_xscale("log")
    axes.set_xlabel(label)
    axes.set_ylabel("clients")
    if any(name for name, _, _ in groups):
        axes.legend(frameon=False, fontsize="small")


def _draw_day(axes: "Axes", shares: Column, day_s: float) -> None:
    hours = (np.arange(len(shares)) + 0.5) / len(shares) * day_s / 3600
    axes.fill_between(hours, 100 * shares, color=SKY, alpha=0.5, linewidth=0)
    axes.plot(hours, 100 * shares, color=BLUE, linewidth=1.4)
    tidy(axes)
    axes.set_xlim(0, day_s / 3600)
    axes.set_ylim(0, 100)
    axes.set_xticks(range(0, 25, 6))
    axes.set_xlabel("virtual time (h)")
    axes.set_ylabel("clients there (%)")
