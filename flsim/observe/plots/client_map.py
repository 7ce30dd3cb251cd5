"""`client_accuracy_map`: the accuracy of each client's own test of each version, as a heat map."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from flsim.observe.canvas import FAINT, PAGE, SEQUENTIAL, SMALL, new_figure, styled, thinned, tidy
from flsim.observe.participation import MOST_BARS, rank_bounds
from flsim.observe.tables import Tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_CLIENT_NAMES = 40
_MOST_VERSIONS = 200
_TICKS = 12

Accuracies = NDArray[np.float64]


@styled
def figure_client_accuracy_map(tables: Tables) -> "Figure | None":
    """Return clients by versions, the client of the highest mean accuracy on top; None if none was tested.

    Of more than a hundred clients a row is the mean over a group of clients of neighbouring rank. Of more
    than 200 versions, so many are shown. What was not tested is grey.
    """
    clients, versions, accuracy = accuracies(tables)
    if not len(clients):
        return None
    kept = thinned(len(versions), _MOST_VERSIONS)
    versions, shown = versions[kept], _grouped(accuracy[:, kept])
    figure = new_figure(PAGE, 1.1 + max(0.12 * min(len(shown), _MOST_CLIENT_NAMES), 1.2))
    axes = figure.subplots()
    tidy(axes)
    axes.grid(visible=False)
    axes.set_facecolor(FAINT)
    extent = (-0.5, len(versions) - 0.5, len(clients) - 0.5, -0.5)
    image = axes.imshow(
        shown, cmap=SEQUENTIAL, vmin=0, vmax=1, aspect="auto", extent=extent, interpolation="nearest"
    )
    places = thinned(len(versions), _TICKS)
    axes.set_xticks(places, [f"{versions[place]:,}" for place in places])
    axes.set_xlabel("tested version")
    _label_clients(axes, clients, len(shown))
    bar = figure.colorbar(image, ax=axes, pad=0.015, aspect=25)
    bar.set_label("accuracy (share of own samples)")
    bar.ax.tick_params(labelsize=SMALL, length=2.5, width=0.6)
    bar.outline.set_visible(False)
    return figure


def accuracies(tables: Tables) -> tuple[NDArray[np.int64], NDArray[np.int64], Accuracies]:
    """Return the tested clients, the best first, the tested versions, and [clients, versions].

    NaN: this client did not test that version. All are empty where there is no accuracy.
    """
    tested = tables.client_accuracy
    if tested is None or not tested.num_rows or tested["accuracy"].null_count:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, 0))
    clients, rows = np.unique(tested["client"].to_numpy(), return_inverse=True)
    versions, columns = np.unique(tested["version"].to_numpy(), return_inverse=True)
    accuracy = np.full((len(clients), len(versions)), np.nan)
    accuracy[rows, columns] = tested["accuracy"].to_numpy()
    order = np.argsort(-np.nanmean(accuracy, axis=1), kind="stable")
    return clients[order], versions, accuracy[order]


def _grouped(accuracy: Accuracies) -> Accuracies:
    """Return the means of groups of neighbouring rows, of those that have a number."""
    if len(accuracy) <= MOST_BARS:
        return accuracy
    starts = rank_bounds(len(accuracy))[:-1]
    there = np.add.reduceat(~np.isnan(accuracy), starts, dtype=np.int64)
    sums = np.add.reduceat(np.nan_to_num(accuracy), starts)
    return np.where(there > 0, sums / np.maximum(there, 1), np.nan)


def _label_clients(axes: "Axes", clients: NDArray[np.int64], rows: int) -> None:
    if len(clients) <= _MOST_CLIENT_NAMES:
        axes.set_yticks(range(len(clients)), [str(client) for client in clients])
        axes.set_ylabel("client, best first")
        return
    means = "" if rows == len(clients) else f"\n(a row: mean of {len(clients) / rows:,.3g})"
    axes.yaxis.set_major_formatter(lambda rank, _: f"{rank:,.0f}")
    axes.set_ylabel(f"{len(clients):,} clients, best first{means}")
