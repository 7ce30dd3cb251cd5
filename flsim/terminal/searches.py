"""What a person sees of a search."""

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from flsim.sweeping import Found, Objective, Trial, literal
from flsim.terminal.sweeps import print_whole

_MOST_ROWS = 10


class SearchWatcher:
    """Tells of each trial on one line as it ends and, on a terminal, how many are left."""

    def __init__(self, console: Console, objective: Objective, trials: int) -> None:
        self._console = console
        self._objective = objective
        self._trials = trials
        self._ended = 0
        columns = (TextColumn("[bold]{task.description}"), BarColumn(bar_width=24), TimeElapsedColumn())
        self._progress = Progress(
            *columns, console=console, transient=True, disable=not console.is_terminal
        )

    def __enter__(self) -> "SearchWatcher":
        self._progress.start()
        self._progress.add_task(f"0 of {self._trials} trials", total=self._trials)
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, trial: Trial, is_best: bool) -> None:
        """Take what became of a trial, and whether it is the best so far."""
        self._ended += 1
        self._progress.update(
            self._progress.task_ids[0],
            description=f"{self._ended} of {self._trials} trials",
            completed=self._ended,
        )
        tried = ", ".join(f"{key}={literal(value)}" for key, value in trial.values.items())
        if trial.value is not None:
            came_to = self._objective.shown(trial.value)
        else:
            came_to = trial.error or "" if trial.missed else f"error: {trial.error}"
        notes = ["best so far"] if is_best else []
        notes += ["done before"] if trial.resumed else []
        told = f" ({', '.join(notes)})" if notes else ""
        self._console.print(f"trial {trial.number}: {tried}: {came_to}{told}", soft_wrap=True, markup=False)


def print_search(found: Found, console: Console) -> None:
    """Print the best trials, what did not come to anything, and which keys mattered."""
    best = found.ranked
    table = Table(title=f"The best by {found.objective}", title_justify="left", box=SIMPLE_HEAD)
    for heading in ("trial", str(found.objective), *found.best.values):
        table.add_column(
            escape(heading), justify="right" if heading != "trial" else "left", overflow="fold"
        )
    for trial in best[:_MOST_ROWS]:
        shown = [trial.run.removeprefix("trial-"), found.objective.shown(trial.value or 0.0)]
        table.add_row(*map(escape, [*shown, *map(literal, trial.values.values())]))
    print_whole(table, console)
    if missed := len(found.trials) - len(best):
        console.print(f"{missed} of {len(found.trials)} trials came to no value; search.csv says why.")
    if found.importance:
        shares = ", ".join(f"{key} {share:.0%}" for key, share in found.importance.items())
        console.print(f"Share of the keys in the variance: {shares}", soft_wrap=True, markup=False)
