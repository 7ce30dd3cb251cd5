"""`participation`: how many tasks each client had, and what became of them."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from flsim.observe.canvas import COLUMN, OUTCOME_COLOURS, new_figure, styled, tidy
from flsim.observe.participation import grouped_by_rank, tasks_by_outcome
from flsim.observe.tables import Tables
from flsim.records import Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_CLIENT_NAMES = 20
_HATCHES = {Outcome.DISCARDED: "////", Outcome.DROPPED: "xxxx", Outcome.LOST: "...."}


@styled
def figure_participation(tables: Tables) -> "Figure | None":
    """Return how many tasks each client had, by outcome, from the busiest to the idlest; None without any.

    Of a large fleet each bar is the mean over a group of clients of neighbouring rank.
    """
    if not tables.tasks.num_rows:
        return None
    clients, counts = tasks_by_outcome(tables)
    means, edges = grouped_by_rank(counts)
    figure = new_figure(COLUMN, 2.6)
    axes = figure.subplots()
    bottom = np.zeros(len(means))
    for column, outcome in enumerate(Outcome):
        if counts[:, column].any():
            total = int(counts[:, column].sum())
            axes.bar(
                edges[:-1],
                means[:, column],
                width=np.diff(edges) * (0.85 if len(means) <= _MOST_CLIENT_NAMES else 1.0),
                bottom=bottom,
                align="center" if len(means) == len(clients) else "edge",
                color=OUTCOME_COLOURS[outcome],
                hatch=_HATCHES.get(outcome),
                edgecolor="white",  # of the hatch: bars have no edges
                linewidth=0,
                label=f"{outcome.value} ({total:,})",
            )
            bottom += means[:, column]
    tidy(axes)
    axes.grid(visible=False, axis="x")
    axes.margins(x=0.01, y=0.04)
    _label_clients(axes, clients, len(means))
    figure.legend(loc="outside upper center", ncols=2)
    return figure


def _label_clients(axes: "Axes", clients: NDArray[np.int64], bars: int) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(integer=bars == len(clients), nbins=7, steps=[1, 2, 5, 10]))
    if bars < len(clients):
        axes.set_ylabel("tasks per client")
        axes.set_xlabel(
            f"{len(clients):,} clients, busiest first (a bar: mean of {len(clients) / bars:,.3g})"
        )
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(lambda rank, _: f"{rank:,.0f}")
        return
    axes.set_ylabel("tasks")
    axes.set_xlabel("client, busiest first")
    if bars <= _MOST_CLIENT_NAMES:
        wide = max(len(str(client)) for client in clients) * bars > _MOST_CLIENT_NAMES
        names = [str(client) for client in clients]
        axes.set_xticks(range(bars), names, rotation=90 if wide else 0)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6, steps=[1, 2, 5, 10]))
        axes.set_xlabel(f"{len(clients)} clients by rank, busiest first")
