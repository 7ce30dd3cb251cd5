"""`client_accuracy`: how the accuracy is spread over the clients, version by version."""

from typing import TYPE_CHECKING

from flsim.observe.canvas import (
    BLUE,
    COLUMN,
    SKY,
    VERMILION,
    label_time,
    markers,
    new_figure,
    styled,
    tidy,
    time_unit,
)
from flsim.observe.client_accuracy import distributions
from flsim.observe.tables import Tables

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@styled
def figure_client_accuracy(tables: Tables) -> "Figure | None":
    """Return mean, median, tenths and extremes of the clients' own tests over virtual time, or None."""
    spread = distributions(tables)
    if not spread:
        return None
    times = dict(
        zip(tables.versions["version"].to_pylist(), tables.versions["time_s"].to_pylist(), strict=True)
    )
    unit, second = time_unit(times[max(spread)])
    x = [times[version] / second for version in spread]

    def row(name: str) -> list[float]:
        return [each[name] for each in spread.values()]

    figure = new_figure(COLUMN, 2.7)
    axes = figure.subplots()
    axes.fill_between(x, row("min"), row("max"), color=SKY, alpha=0.2, linewidth=0, label="all clients")
    axes.fill_between(x, row("p10"), row("p90"), color=SKY, alpha=0.5, linewidth=0, label="the middle 80 %")
    axes.plot(x, row("median"), color=BLUE, clip_on=False, label="median", **markers(len(x)))
    axes.plot(x, row("mean"), color=VERMILION, linestyle="--", clip_on=False, label="mean")
    if len(x) == 1:  # bands need a width
        axes.vlines(x, row("min"), row("max"), color=SKY, linewidth=1.0)
        axes.vlines(x, row("p10"), row("p90"), color=SKY, linewidth=3.0)
    tidy(axes)
    axes.set_xlim(0, x[-1] or 1)
    axes.set_ylim(-0.02, 1.02)
    axes.set_ylabel("clients' accuracy (share of own samples)")
    label_time(axes, unit)
    figure.legend(loc="outside upper center", ncols=2)
    return figure
