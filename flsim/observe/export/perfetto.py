"""The timeline, of a run or of a part of it, for ui.perfetto.dev: see `flsim.observe.timeline`."""

from pathlib import Path

from flsim.observe.excerpt import Excerpt
from flsim.observe.report.run_facts import Recorded
from flsim.observe.timeline import Deadlines, write_timeline


def write_perfetto(run: Recorded, out: Path, part: Excerpt) -> None:
    """Write a part of a run to the file `out`. Raises RunError if it cannot be written."""
    write_timeline(out, run.tables, run.name, deadlines=Deadlines.of(run.scenario), part=part)
