"""Puts the report together: the same records always give the same bytes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from flsim.observe.files import write_bytes
from flsim.observe.report.breakdown import breakdown
from flsim.observe.report.curves import learning
from flsim.observe.report.distributions import spreads
from flsim.observe.report.endings import endings
from flsim.observe.report.fairness import fairness
from flsim.observe.report.headline import headline
from flsim.observe.report.page import page
from flsim.observe.report.parts import Note, Part, Source, Tab
from flsim.observe.report.progress import progress
from flsim.observe.report.rounds import rounds
from flsim.observe.report.run_facts import Recorded, read_recorded
from flsim.observe.report.timeline import gantt
from flsim.observe.report.utilisation import utilisation
from flsim.observe.tables import records_sha256

FILE = "report.html"


def write_report(folder: Path, path: Path | None = None) -> Path:
    """Write the report of the run in `folder`, and return where: `path`, or report.html in that folder.

    Raises RunError if a record is missing or cannot be read, or if the file cannot be written.
    """
    path = folder / FILE if path is None else path
    write_bytes(path, report(read_recorded(folder)).encode())
    return path


def report(run: Recorded) -> str:
    """Return the report of a run as HTML. Numbers that no run has may be infinite in it, or missing."""
    with np.errstate(over="ignore", invalid="ignore"):
        return _report(run)


def _report(run: Recorded) -> str:
    title = f"flsim: {run.name}"
    ended = "the run was killed" if run.ending is None else run.ending.stop_detail
    lines = [
        f"Strategy {run.kind_of('strategy')}, {run.clients:,} clients, seed {run.scenario.get('seed')}. "
        f"Ended: {ended}.",
        f"Records: sha256 {records_sha256(run.tables)[:16]}…",
    ]
    return page(title, lines, _tabs(run))


def _tabs(run: Recorded) -> list[Tab]:
    drawn = [figure for figure in (gantt(run), utilisation(run), progress(run)) if figure is not None]
    resolved = Source("scenario.yaml, with every default written out", run.scenario_yaml)
    return [
        _tab("overview", "Overview", [headline(run), *_below_edges(run), *learning(run)]),
        _tab("timeline", "Timeline", drawn),
        _tab("time", "Where time went", [*breakdown(run), *rounds(run)]),
        _tab("spread", "Distributions", spreads(run)),
        _tab("clients", "Clients", fairness(run)),
        _tab("outcomes", "Outcomes", endings(run)),
        _tab("scenario", "Scenario", [resolved]),
    ]


def _below_edges(run: Recorded) -> list[Note]:
    """Return what the numbers are of, in a hierarchy."""
    if run.tables.edges is None:
        return []
    return [
        Note(
            "In a hierarchy tasks, clients and bytes are those below the edges. Versions, staleness and "
            "critical paths are the server's."
        )
    ]


def _tab(name: str, title: str, parts: Sequence[Part]) -> Tab:
    return Tab(name, title, parts or [Note("There is nothing to show: no task was ever dispatched.")])
