"""The use cases for a program or a notebook: run, resume, sweep and compare."""

import json
import os
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from flsim import resuming, running, sweeping
from flsim.errors import FlsimError, ScenarioError
from flsim.observe import comparison
from flsim.observe.comparison import Comparison
from flsim.observe.files import write_bytes
from flsim.results import Run
from flsim.scenario import Given, Override, Scenario, scenario_of
from flsim.scenario.given import plain
from flsim.scenario.reading import to_yaml
from flsim.sim.surroundings import Watch
from flsim.sim.world import unwatched
from flsim.sweeping import Grid, Sweep
from flsim.terminal import (
    Display,
    NotebookBar,
    NotebookSweepWatcher,
    SweepWatcher,
    Watcher,
    display_on,
    in_notebook,
)

Progress = bool | Literal["auto"]
"""Whether to show how far it has come; "auto": in a notebook and on a terminal."""

AnyPath = str | os.PathLike[str]


def run(
    scenario: Given,
    *overrides: Override,
    out: AnyPath | None = None,
    timing_only: bool = False,
    progress: Progress = "auto",
) -> Run:
    """Run a scenario, and return what it has left in `<out>/<name>/`.

    `scenario`: the path of a file, what it would hold as a mapping, or a Scenario. `overrides` change keys
    of it, as `--set` does: "strategy.cohort=20", or {"strategy.cohort": 20}. `out`: instead of the
    scenario's output.dir. With `timing_only`, nothing trains.

    Where progress is shown, an interrupt (^C, or a notebook's stop button) ends the run in order, and the
    returned run is `interrupted`; a second one ends it at once.

    Raises ScenarioError before anything is written, and RunError after; both are FlsimErrors.
    """
    resolved = scenario_of(scenario, [*overrides, *_into(out)])
    with _watching(resolved, progress) as watch:
        return running.run(resolved, timing_only=timing_only, watch=watch)


def resume(folder: AnyPath, *, progress: Progress = "auto") -> Run:
    """Go on with a run that was killed or interrupted, from its last checkpoint, to the same end.

    Raises RunError if there is nothing to resume, or it would end otherwise here.
    """
    path = Path(folder).expanduser()
    with _watching(resuming.scenario_in(path), progress) as watch:
        return resuming.resume(path, watch=watch)


def sweep(
    scenario: Given,
    varied: Mapping[str, Any] | Iterable[Mapping[str, Any]],
    *overrides: Override,
    out: AnyPath | None = None,
    workers: int | None = None,
    fresh: bool = False,
    progress: Progress = "auto",
) -> Sweep:
    """Run a scenario in every combination of some keys' values, each in a process of its own.

    `varied`: the values of each key, such as {"strategy.cohort": [5, 10], "seed": range(5)}, or several
    such grids. `workers`: how many at a time; by default one for each core. Runs that an earlier sweep of
    the same scenario has finished are not run again unless `fresh`. A run that fails is listed in `errors`.

    Raises ScenarioError before anything runs.
    """
    grids = [_grid(each) for each in ([varied] if isinstance(varied, Mapping) else varied)]
    if not grids:
        raise ScenarioError("varied: no grid; expected such as {'seed': range(5)}")
    base = scenario_of(scenario, [*overrides, *_into(out)])
    file, texts = _as_file(scenario, base, overrides)
    with _sweep_watcher(base.name, progress) as watcher:
        folder, outcomes = sweeping.sweep(
            file,
            grids,
            texts,
            out=base.output.dir,
            workers=workers,
            fresh=fresh,
            watch=watcher,
        )
    sweeping.compared(folder, outcomes)
    return Sweep(folder, outcomes)


def compare(runs: Iterable[Run | Sweep | AnyPath] | Sweep, target: float | None = None) -> Comparison:
    """Return what each method takes to an accuracy, over seeds, paired by seed.

    `runs`: runs and sweeps, or their folders. `target`: the accuracy to reach; by default the highest one
    that every run has reached. Raises RunError if one is not a finished run.
    """
    each = [runs] if isinstance(runs, Sweep | Run | str | os.PathLike) else runs
    folders = [folder for one in each for folder in _folders(one)]
    return comparison.compare([comparison.read_run(folder) for folder in folders], target)


def _folders(one: Run | Sweep | AnyPath) -> list[Path]:
    if isinstance(one, Run):
        return [one.folder]
    if isinstance(one, Sweep):  # of which sweep.csv may tell no longer: a later one writes it anew
        return [run.folder for run in one.runs]
    return comparison.folders_of(Path(one).expanduser())


@contextmanager
def _watching(scenario: Scenario, progress: Progress) -> Iterator[Watch]:
    """Give what is told of a run as it goes on; an interrupt ends it in order where progress is shown."""
    display = _display(scenario.name, progress)
    if display is None:
        yield unwatched
        return
    watcher = Watcher(scenario, Console(), quiet=True, display=display)
    in_main_thread = threading.current_thread() is threading.main_thread()
    with watcher.watching([signal.SIGINT] if in_main_thread else []):
        yield watcher


def _into(out: AnyPath | None) -> list[Override]:
    return [] if out is None else [{"output.dir": os.fspath(out)}]


def _grid(varied: Mapping[str, Any]) -> Grid:
    """Return the grid of one mapping. Raises ScenarioError for what cannot stand in a file."""
    data = plain(varied)
    try:
        json.dumps(data)
    except (TypeError, ValueError) as error:
        raise ScenarioError(f"varied: cannot be written into a scenario: {error}") from error
    return sweeping.grid_from(data, "varied")


def _as_file(given: Given, base: Scenario, overrides: Iterable[Override]) -> tuple[Path, list[str]]:
    """Return a file that the runs of a sweep can read, and how they have to change it.

    What is not a file is written into the folder of the sweep, whole.
    """
    if isinstance(given, str | os.PathLike):
        return Path(given).expanduser(), [text for override in overrides for text in _texts(override)]
    path = Path(base.output.dir).expanduser() / base.name / "base.yaml"
    write_bytes(path, to_yaml(base).encode())
    return path, []


def _texts(override: Override) -> list[str]:
    if isinstance(override, str):
        return [override]
    return [f"{key}={json.dumps(value)}" for key, value in plain(override).items()]  # JSON is YAML


def _display(name: str, progress: Progress) -> Display | None:
    """Return where to show a run; None for nowhere."""
    if not _is_shown(progress):
        return None
    return NotebookBar(name) if in_notebook() else display_on(Console(), name, quiet=False)


def _sweep_watcher(name: str, progress: Progress) -> AbstractContextManager[sweeping.Watch]:
    if not _is_shown(progress):
        return nullcontext(sweeping.unwatched)
    return NotebookSweepWatcher(name) if in_notebook() else SweepWatcher(Console(highlight=False))


def _is_shown(progress: Progress) -> bool:
    if progress == "auto":
        return in_notebook() or Console().is_terminal
    if isinstance(progress, bool):
        return progress
    raise FlsimError(f"progress: expected True, False or 'auto', not {progress!r}")
