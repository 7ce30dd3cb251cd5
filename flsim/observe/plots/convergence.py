"""`convergence`: how accuracy, loss and updates settle, version by version."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from flsim.observe.canvas import (
    BLUE,
    COLUMN,
    GREEN,
    GREY,
    VERMILION,
    label_versions,
    legend_above,
    markers,
    new_figure,
    styled,
    thinned,
    tidy,
)
from flsim.observe.measured import of_versions
from flsim.observe.metrics import mean_train_losses
from flsim.observe.tables import Tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_POINTS = 2_000
_MEASURED = {
    "distance": ("divergence_mean", "divergence_max", "update_norm_mean"),
    "cosine": ("cosine_mean", "cosine_min"),
}
_LABELS = {
    "divergence_mean": "to the new version, mean",
    "divergence_max": "to the new version, largest",
    "update_norm_mean": "of an update, mean",
    "cosine_mean": "mean",
    "cosine_min": "least",
}
_SHARES = (0.5, 0.9, 0.99)  # of the best accuracy: where each was first reached is marked

Points = Mapping[int, float]
"""One finite number by version, in the order of versions."""


@styled
def figure_convergence(tables: Tables) -> "Figure | None":
    """Return accuracy and the best so far, losses, and what each update moved, over versions; or None.

    `accuracy`: of the central test; marked is where 50, 90 and 99 % of the best were first reached. `loss`:
    of the central test, and the mean of the clients' training losses. `distance` and `cosine`: of the
    clients' updates, where the scenario has them measured (evaluation.divergence). A panel that would be
    empty is left out.
    """
    versions = tables.versions["version"].to_pylist()
    accuracy = _points(versions, tables.versions["accuracy"].to_pylist())
    tested = _points(versions, tables.versions["loss"].to_pylist())
    trained = _points_of(mean_train_losses(tables))
    moved = {
        version: row["divergence"]
        for version, row in of_versions(tables).items()
        if row["divergence"] is not None
    }
    panels = [name for name, own in (("accuracy", accuracy), ("loss", tested or trained)) if own]
    panels += _MEASURED if moved else ()
    if not panels:
        return None
    figure = new_figure(COLUMN, 0.6 + 1.6 * len(panels))
    drawn = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    for axes, panel in zip(drawn, panels, strict=True):
        if panel == "accuracy":
            _draw_accuracy(figure, axes, accuracy)
        elif panel == "loss":
            _draw(axes, tested, BLUE, "central test")
            _draw(axes, trained, VERMILION, "clients' training", "--", "s")
            axes.set_ylabel("loss (mean)")
            legend_above(axes)
        else:
            _draw_moved(axes, panel, moved)
        tidy(axes)
    drawn[-1].set_xlim(0, max(versions) or 1)
    label_versions(drawn[-1])
    figure.align_ylabels()
    return figure


def first_reached(points: Points, share: float) -> int:
    """Return the first version with at least that share of the largest number."""
    return next(version for version, value in points.items() if value >= share * max(points.values()))


def _draw_accuracy(figure: "Figure", axes: "Axes", accuracy: Points) -> None:
    _draw(axes, accuracy, BLUE, "central test")
    best = dict(zip(accuracy, np.maximum.accumulate(list(accuracy.values())).tolist(), strict=True))
    _draw(axes, best, GREEN, "best so far", "--", "", "steps-post")
    marked: dict[int, list[str]] = {}
    for share in _SHARES:
        marked.setdefault(first_reached(accuracy, share), []).append(f"{100 * share:.0f} %")
    where = [f"{' and '.join(names)} at version {version:,}" for version, names in marked.items()]
    first, rest = where[0], ", ".join(where[1:])
    axes.plot(
        list(marked),
        [accuracy[version] for version in marked],
        linestyle="",
        marker="D",
        markersize=5,
        markerfacecolor="none",
        color=VERMILION,
        clip_on=False,
    )
    label = f"of the best: {first}" + (f",\n{rest}" if rest else "")
    figure.legend(axes.lines[-1:], [label], loc="outside lower center")
    for version in marked:
        axes.axvline(version, color=GREY, linewidth=0.7, linestyle=":")
    axes.set_ylabel("accuracy (share)")
    legend_above(axes)


def _draw_moved(axes: "Axes", panel: str, moved: Mapping[int, Mapping[str, float | None]]) -> None:
    looks = ((BLUE, "-", "o"), (VERMILION, "--", "s"), (GREEN, ":", "^"))
    for name, (colour, line, marker) in zip(_MEASURED[panel], looks, strict=False):
        points = _points(list(moved), [row[name] for row in moved.values()])
        _draw(axes, points, colour, _LABELS[name], line, marker)
    axes.set_ylabel("distance (L2 norm)" if panel == "distance" else "cosine (\N{MINUS SIGN}1 to 1)")
    legend_above(axes)


def _draw(
    axes: "Axes",
    points: Points,
    colour: str,
    name: str,
    line: str = "-",
    marker: str = "o",
    steps: str = "default",
) -> None:
    kept = thinned(len(points), _MOST_POINTS)
    versions, values = np.array(list(points)), np.array(list(points.values()))
    if len(kept):
        axes.plot(
            versions[kept],
            values[kept],
            color=colour,
            linestyle=line,
            drawstyle=steps,
            label=name,
            clip_on=False,
            **markers(len(kept), marker),
        )


def _points(versions: Sequence[int], values: Sequence[float | None]) -> Points:
    pairs = zip(versions, values, strict=True)
    return {version: value for version, value in pairs if value is not None and math.isfinite(value)}


def _points_of(values: Mapping[int, float]) -> Points:
    return _points(list(values), list(values.values()))
