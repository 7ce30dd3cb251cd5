"""What a person sees of a sweep, and of how methods compare."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from flsim.observe.comparison import Comparison
from flsim.observe.comparison_table import HEADINGS, cells, title
from flsim.observe.labels import labels
from flsim.sweeping import Outcome, literal
from flsim.units import TIME


class Counts:
    """How many runs of a sweep are done."""

    def __init__(self) -> None:
        self.ended = self._resumed = self._failed = 0

    def take(self, outcome: Outcome) -> None:
        """Count a run that is done."""
        self.ended += 1
        self._resumed += outcome.resumed
        self._failed += outcome.error is not None

    def of(self, runs: int) -> str:
        """Say how many of so many runs are done."""
        counts = [f"{self.ended} of {runs} runs"]
        counts += [f"{self._resumed} done before"] if self._resumed else []
        counts += [f"{self._failed} failed"] if self._failed else []
        return ", ".join(counts)


class SweepWatcher:
    """Tells of each run of a sweep on one line as it ends and, on a terminal, how many are left."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._counts = Counts()
        columns = (TextColumn("[bold]{task.description}"), BarColumn(bar_width=24), TimeElapsedColumn())
        self._progress = Progress(
            *columns, console=console, transient=True, disable=not console.is_terminal
        )

    def __enter__(self) -> "SweepWatcher":
        self._progress.start()
        self._progress.add_task("", total=None)
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, outcome: Outcome, runs: int) -> None:
        """Take what became of one of so many runs."""
        self._counts.take(outcome)
        self._progress.update(
            self._progress.task_ids[0],
            description=self._counts.of(runs),
            completed=self._counts.ended,
            total=runs,
        )
        how = f"error: {outcome.error}" if outcome.error else outcome.summary["stop_detail"]
        before = " (done before)" if outcome.resumed else ""
        self._console.print(f"{outcome.variation.name}: {how}{before}", soft_wrap=True, markup=False)


def print_sweep(outcomes: Sequence[Outcome], console: Console) -> None:
    """Print a row for every run of a sweep."""
    table = Table(box=SIMPLE_HEAD)
    varied = dict.fromkeys(key for outcome in outcomes for key in outcome.variation.values)
    columns = [_labels(outcomes, key) for key in varied]
    for heading in [*varied, "ended", "updates", "virtual time", "accuracy", "records"]:
        table.add_column(escape(heading), overflow="fold")
    for outcome, *values in zip(outcomes, *columns, strict=True):
        table.add_row(*map(escape, [*values, *_sweep_cells(outcome)]))
    print_whole(table, console)


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print how methods compare, a row for each, and how to read it."""
    table = Table(title=title(comparison), title_justify="left", box=SIMPLE_HEAD)
    rows = [cells(row) for row in comparison.rows]
    # Columns that say nothing of any method are left out.
    kept = [place for place in range(len(HEADINGS)) if {row[place] for row in rows} != {"–"}]
    for place in kept:
        table.add_column(HEADINGS[place], justify="right" if place else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(row[place]) for place in kept))
    print_whole(table, console)
    if max(row.runs for row in comparison.rows) > 1:
        console.print("Means with 95 % confidence. Ratio and gain are over the first one, seed by seed.")


def print_whole(table: Table, console: Console) -> None:
    """Print a table: on what is no terminal, as wide as it is."""
    if not console.is_terminal:
        anything = console.options.update(width=10_000)
        console.width = max(console.width, console.measure(table, options=anything).maximum)
    console.print(table)


def _labels(outcomes: Sequence[Outcome], key: str) -> list[str]:
    """Return what to call each run's value of a key; nothing where a run does not vary it."""
    given = [outcome.variation.values for outcome in outcomes]
    texts = ["" if values.get(key) is None else literal(values[key]) for values in given]
    called = dict(zip(dict.fromkeys(texts), labels(list(dict.fromkeys(texts))), strict=True))
    return [called[text] if key in values else "" for text, values in zip(texts, given, strict=True)]


def _sweep_cells(outcome: Outcome) -> list[str]:
    if outcome.error:
        return ["error", "", "", "", ""]
    summary = outcome.summary
    accuracy = summary["final_accuracy"]
    return [
        summary["stop_reason"],
        str(summary["updates"]),
        TIME.format(summary["virtual_time_s"]),
        "" if accuracy is None else f"{accuracy:.4f}",
        summary["records_sha256"][:8],
    ]
