"""A finished run, to be looked at from a program: its summary, its tables, its pictures, its report."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from flsim.errors import RunError, nearest
from flsim.observe.folder import SCENARIO
from flsim.observe.frames import frame
from flsim.observe.table_file import read_table
from flsim.observe.tables import Tables, read_tables
from flsim.results.fl_metrics import FLMetrics
from flsim.results.headline import headline, one_line, table_html
from flsim.results.plots import Plots
from flsim.results.report import Report
from flsim.scenario import Scenario, read_scenario
from flsim.untrusted import read_json

if TYPE_CHECKING:
    from pandas import DataFrame

_SUMMARY = "summary.json"
_IDENTITY = ("records_sha256", "scenario_sha256", "wall_time_s")  # no two runs agree in all three


@dataclass(frozen=True, eq=False, repr=False)
class Run:
    """A finished run: where its files are, and its summary as summary.json has it.

    All else is read from the files when it is first asked for, and then kept. Whatever reads them raises
    RunError if one is missing, or if another run has been written into the folder meanwhile.
    """

    folder: Path
    summary: dict[str, Any]

    @property
    def interrupted(self) -> bool:
        """Whether somebody ended the run before its time."""
        return bool(self.summary["stop_reason"] == "interrupted")

    @cached_property
    def scenario(self) -> Scenario:
        """The scenario as it was run: with every default, and what was calibrated."""
        return read_scenario(self._own_folder / SCENARIO)

    @cached_property
    def tables(self) -> Tables:
        """All tables, as those of pyarrow."""
        return read_tables(self._own_folder)

    @cached_property
    def tasks(self) -> "DataFrame":
        """A row for each task: who, when, how it ended, what it moved (tasks.parquet)."""
        return frame(self.tables.tasks)

    @cached_property
    def versions(self) -> "DataFrame":
        """A row for each server update: when, of how many tasks, how good (versions.parquet)."""
        return frame(self.tables.versions)

    @cached_property
    def clients(self) -> "DataFrame":
        """A row for each client: its device, its links, what became of its tasks (clients.parquet)."""
        return frame(self.tables.clients)

    def table(self, name: str) -> "DataFrame":
        """Return the table of this name, such as "metadata": that of `name`.parquet. Raises RunError."""
        return frame(self._arrow(name))

    @property
    def table_names(self) -> list[str]:
        """The names of the tables that this run has."""
        return sorted(path.stem for path in self._own_folder.glob("*.parquet"))

    @cached_property
    def metrics(self) -> FLMetrics:
        """What the run learned and sent, version by version."""
        return FLMetrics.load(self._own_folder)

    @cached_property
    def plot(self) -> Plots:
        """The pictures: `run.plot.accuracy()` returns a Figure of matplotlib."""
        return Plots(lambda: self.tables)

    def report(self) -> Report:
        """Draw up report.html in the run's folder, and return where; a notebook shows it."""
        from flsim.observe.report import write_report

        return Report(write_report(self._own_folder))

    def __repr__(self) -> str:
        return f"<Run {one_line(self.summary)}, in {self.folder}>"

    def _repr_html_(self) -> str:
        return table_html(str(self.summary["name"]), [*headline(self.summary), ("Files", str(self.folder))])

    @property
    def _own_folder(self) -> Path:
        """The folder, if it still holds this run."""
        current = read_summary(self.folder)
        if any(current.get(key) != self.summary.get(key) for key in _IDENTITY):
            raise RunError(
                f"{self.folder}: another run has been written there since; give each run a name of its own "
                "(the override 'name=other') or another folder (out)"
            )
        return self.folder

    def _arrow(self, name: str) -> pa.Table:
        if name in {field.name for field in fields(Tables)} and isinstance(
            known := getattr(self.tables, name), pa.Table
        ):
            return known
        if name not in (names := self.table_names):
            raise RunError(
                f"{self.folder}: no table '{name}'; there are {', '.join(names)}{nearest(name, names)}"
            )
        return read_table(self.folder / f"{name}.parquet")


def load(folder: str | os.PathLike[str]) -> Run:
    """Return the finished run in a folder. Raises RunError if there is none."""
    path = Path(folder).expanduser()
    summary = read_summary(path)
    try:
        one_line(summary), headline(summary)  # what a reader is shown first
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise RunError(f"{path / _SUMMARY}: not the summary of a run of this flsim: {error!r}") from error
    return Run(path, summary)


def read_summary(folder: Path) -> dict[str, Any]:
    """Return what summary.json says. Raises RunError if that is not the folder of a finished run."""
    try:
        summary = read_json(folder / _SUMMARY)
    except FileNotFoundError as error:
        raise RunError(f"{folder}: not the folder of a finished run: it has no {_SUMMARY}") from error
    except (OSError, ValueError) as error:
        raise RunError(f"{folder / _SUMMARY}: cannot be read: {error}") from error
    if not isinstance(summary, Mapping) or not {*_IDENTITY, "name", "stop_reason"} <= summary.keys():
        raise RunError(f"{folder / _SUMMARY}: not the summary of a run of this flsim")
    return dict(summary)
