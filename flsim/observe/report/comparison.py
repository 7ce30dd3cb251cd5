"""A comparison of methods as a page: the table with its intervals, the curves, and all the runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from flsim.observe.comparison import Comparison, FinishedRun, Seeds, by_method, compare
from flsim.observe.comparison_table import HEADINGS, cells, title
from flsim.observe.files import write_bytes
from flsim.observe.report.method_curves import method_curves
from flsim.observe.report.method_intervals import against_first, to_target
from flsim.observe.report.page import page
from flsim.observe.report.parts import Note, Part, Tab, Table, Terms, real
from flsim.units import SIZE, TIME

FILE = "comparison.html"

_MEANINGS = (
    ("reached", "how many of its runs came to the target; what that took is given only if all did"),
    ("time, updates, traffic", "what it took until then: virtual time, server updates, bytes both ways"),
    ("ratio", "its time over that of the first method, the geometric mean over the seeds that both have"),
    ("accuracy, gain", "at the end of the runs, and what that is over the first method's, seed by seed"),
)


def write_comparison(path: Path, runs: Sequence[FinishedRun], target: float | None = None) -> Path:
    """Write how the methods of `runs` compare as one HTML file that opens without a network; return where.

    `target` as for compare. Raises RunError as that does, or if the file cannot be written.
    """
    write_bytes(path, comparison_page(runs, compare(runs, target)).encode())
    return path


def comparison_page(runs: Sequence[FinishedRun], comparison: Comparison) -> str:
    """Return the page of a comparison of these runs."""
    methods = by_method(runs)
    seeds = sorted({run.seed for run in runs})
    lines = [f"{_count(len(methods), 'method')}, {_count(len(runs), 'run')}, {_count(len(seeds), 'seed')}."]
    overview: list[Part] = [_table(comparison), to_target(methods, comparison)]
    if len(methods) > 1 and (pairs := against_first(methods, comparison)) is not None:
        overview.append(pairs)
    curves = [each for value in ("accuracy", "loss") if (each := method_curves(methods, value)) is not None]
    tabs = [
        Tab("methods", "Methods", [*overview, Terms(_MEANINGS)]),
        Tab("curves", "Curves", curves or [Note("No run was tested, so there is no curve.")]),
        Tab("runs", "Runs", [_runs(methods, comparison.target)]),
    ]
    return page(f"flsim: {title(comparison).lower()}", lines, tabs)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _table(comparison: Comparison) -> Table:
    note = (
        "Means ± half of their 95 % confidence intervals (Student's t over the seeds)."
        if max(row.runs for row in comparison.rows) > 1
        else "One run of each method, so there are no intervals."
    )
    headings = [heading.capitalize() for heading in HEADINGS]
    return Table(title(comparison), headings, [cells(row) for row in comparison.rows], note=note)


def _runs(methods: Mapping[str, Seeds], target: float | None) -> Table:
    rows = []
    for method, own in methods.items():
        for seed, run in own.items():
            took = run.spent(target)
            spent = ("–", "–", "–") if took is None else (
                TIME.format(took.time_s), f"{took.updates:,}", SIZE.format(took.traffic)
            )  # fmt: skip
            final = real(run.accuracies[-1]) if run.accuracies else "–"
            rows.append((method, f"{seed}", *spent, final, run.folder.name))
    headings = ("Method", "Seed", "Time", "Updates", "Traffic", "Accuracy", "Folder")
    return Table("Every run", headings, rows, words=frozenset({6}), note=_to(target))


def _to(target: float | None) -> str:
    until = "of the whole run" if target is None else f"until an accuracy of {target:.4g}"
    return f"Time, updates and traffic are those {until}. Accuracy is the last."
