"""What a sweep over seeds comes to: its methods, compared."""

from collections.abc import Sequence
from pathlib import Path

from flsim.observe.comparison import Comparison, compare, read_run
from flsim.observe.comparison_table import as_csv
from flsim.observe.files import write_bytes
from flsim.observe.report.comparison import FILE, comparison_page
from flsim.sweeping.runs import Outcome


def compared(folder: Path, outcomes: Sequence[Outcome]) -> Comparison | None:
    """Return how the methods of a sweep compare; write comparison.csv and comparison.html into its folder.

    None if it was not over several seeds, or if no run came to its end.
    """
    seeds = {outcome.variation.values.get("seed") for outcome in outcomes}
    finished = [folder / outcome.variation.name for outcome in outcomes if outcome.error is None]
    if len(seeds) == 1 or not finished:
        return None
    runs = [read_run(each) for each in finished]
    comparison = compare(runs)
    write_bytes(folder / "comparison.csv", as_csv(comparison).encode())
    write_bytes(folder / FILE, comparison_page(runs, comparison).encode())
    return comparison
