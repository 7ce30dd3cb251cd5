"""A comparison as a table: for the screen, as Markdown, and as CSV with every digit."""

import csv
import io
from collections.abc import Callable
from dataclasses import fields

from flsim.observe.comparison import Comparison, Estimate, MethodRow
from flsim.units import SIZE, TIME
from flsim.untrusted import harmless_row

HEADINGS = ("method", "reached", "time", "ratio", "updates", "traffic", "accuracy", "gain")


def title(comparison: Comparison) -> str:
    """Return what the table is of.

    >>> title(Comparison(0.9, ()))
    'To an accuracy of 0.9'
    """
    return "Whole runs" if comparison.target is None else f"To an accuracy of {comparison.target:.4g}"


def cells(row: MethodRow) -> tuple[str, ...]:
    """Return a row's cells, below HEADINGS: means, with half of their intervals."""
    return (
        row.method,
        f"{row.reached} of {row.runs}",
        _shown(row.time_s, TIME.format),
        _range(row.time_ratio),
        _shown(row.updates, lambda value: f"{value:.0f}"),
        _shown(row.traffic, SIZE.format),
        _shown(row.final_accuracy, lambda value: f"{value:.4f}"),
        _shown(row.accuracy_gain, lambda value: f"{value:+.4f}"),
    )


def markdown(comparison: Comparison) -> str:
    """Return the table as Markdown."""
    lines = [f"| {' | '.join(HEADINGS)} |", f"|{'---|' * len(HEADINGS)}"]
    rows = [[cell.replace("|", "/") for cell in cells(row)] for row in comparison.rows]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return f"{title(comparison)}:\n\n" + "\n".join(lines) + "\n"


def columns(comparison: Comparison) -> dict[str, list[object]]:
    """Return the table as columns: every estimate is three, its mean and the ends of its interval.

    None where there is no value.
    """
    names = [field.name for field in fields(MethodRow)]
    plain, estimated = names[:3], names[3:]
    table = {name: [getattr(row, name) for row in comparison.rows] for name in plain}
    table["target"] = [comparison.target for _ in comparison.rows]
    for name in estimated:
        estimates: list[Estimate | None] = [getattr(row, name) for row in comparison.rows]
        for end, suffix in (("mean", ""), ("low", "_low"), ("high", "_high")):
            table[f"{name}{suffix}"] = [each and getattr(each, end) for each in estimates]
    return table


def as_csv(comparison: Comparison) -> str:
    """Return the table as CSV, with every digit of `columns`. A value that there is not is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    table = columns(comparison)
    writer.writerow(harmless_row(table))
    writer.writerows(map(harmless_row, zip(*table.values(), strict=True)))
    return text.getvalue()


def _shown(estimate: Estimate | None, text: Callable[[float], str]) -> str:
    """Return a mean and half of its interval, in the unit of the mean.

    >>> _shown(Estimate(90.0, 30.0, 150.0, 3), TIME.format)
    '1.5 ± 1 min'
    """
    if estimate is None:
        return "–"
    mean, _, unit = text(estimate.mean).partition(" ")
    if estimate.high is None:
        return f"{mean} {unit}".rstrip()
    half = estimate.high - estimate.mean
    in_unit = float(mean) / estimate.mean if unit and estimate.mean else 1.0
    shown = f"{half * in_unit:.3g}" if unit else text(half).lstrip("+")
    return f"{mean} ± {shown} {unit}".rstrip()


def _range(estimate: Estimate | None) -> str:
    if estimate is None:
        return "–"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.mean:.2f}"
    return f"{estimate.mean:.2f} ({estimate.low:.2f} to {estimate.high:.2f})"
