"""A sweep in one picture: `heatmap.png`, a number of its runs over two of the keys that it varies."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from flsim.observe.canvas import SEQUENTIAL, SMALL, new_figure, save, styled
from flsim.observe.labels import labels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MEASURE = "final_accuracy"
_CELL_INCHES = 0.62, 0.3
_WIDEST_LABEL = 22  # characters of a column's label that still stand level


@dataclass(frozen=True)
class Matrix:
    """Means by row and column; None where no run has a number. `runs`: the most that one is a mean of."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[float | None, ...], ...]
    runs: int


def matrix_of(
    table: Sequence[Mapping[str, str]], rows: str, columns: str, measure: str = _MEASURE
) -> Matrix:
    """Return the mean of a column of sweep.csv for every pair of values of two others.

    Values stand in the order in which the table first has them. Runs that differ in further keys are
    averaged; those without a number, because they failed or tested nothing, are left out.
    """
    found: dict[tuple[str, str], list[float]] = {}
    for run in table:
        numbers = found.setdefault((run[rows], run[columns]), [])
        if run[measure]:
            numbers.append(float(run[measure]))
    down = tuple(dict.fromkeys(row for row, _ in found))
    across = tuple(dict.fromkeys(column for _, column in found))
    means = {place: fmean(numbers) for place, numbers in found.items() if numbers}
    cells = tuple(tuple(means.get((row, column)) for column in across) for row in down)
    return Matrix(labels(down), labels(across), cells, max(map(len, found.values()), default=0))


def write_heatmap(table: Path, rows: str, columns: str) -> Path | None:
    """Draw `heatmap.png` beside a sweep's table; return its path, or None if no run has a number."""
    with table.open(newline="", encoding="utf-8") as file:
        matrix = matrix_of(list(csv.DictReader(file)), rows, columns)
    if not matrix.runs:
        return None
    return save(figure_of_matrix(matrix, rows, columns), table.with_name("heatmap.png"))


@styled
def figure_of_matrix(matrix: Matrix, rows: str, columns: str) -> "Figure":
    """Return the matrix as a heat map with its numbers. `rows`, `columns`: the keys that vary."""
    values = np.array(matrix.cells, dtype=float)  # None becomes NaN
    lowest, highest = float(np.nanmin(values)), float(np.nanmax(values))
    tilted = max(map(len, matrix.columns)) > 6
    wide, high = _CELL_INCHES
    beside = 0.075 * min(max(map(len, matrix.rows)), 2 * _WIDEST_LABEL)
    below = 0.055 * min(max(map(len, matrix.columns)), 2 * _WIDEST_LABEL) if tilted else 0.2
    figure = new_figure(
        max(3.4, 1.7 + beside + wide * len(matrix.columns)), max(1.6, 0.8 + below + high * len(matrix.rows))
    )
    axes = figure.subplots()
    axes.set_facecolor("#FFFFFF")
    image = axes.imshow(values, cmap=SEQUENTIAL, vmin=lowest, vmax=highest, aspect="auto")
    middle = (lowest + highest) / 2
    for row, numbers in enumerate(matrix.cells):
        for column, number in enumerate(numbers):
            dark = number is not None and number < middle
            text = "–" if number is None else f"{number:.3f}"
            axes.text(column, row, text, ha="center", va="center", color="white" if dark else "black")
    turned: dict[str, Any] = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if tilted else {}
    axes.set_xticks(range(len(matrix.columns)), matrix.columns, **turned)
    axes.set_yticks(range(len(matrix.rows)), matrix.rows)
    axes.set_xlabel(columns)
    axes.set_ylabel(rows)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    measure = "final accuracy" if matrix.runs == 1 else f"final accuracy, mean of {matrix.runs}"
    bar = figure.colorbar(image, ax=axes, pad=0.02)
    bar.set_label(measure)
    bar.ax.tick_params(labelsize=SMALL)
    bar.outline.set_visible(False)
    return figure
