"""What writes the metrics of a run for one tracker, and what it is given."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from flsim.errors import ScenarioError
from flsim.observe.scenario_file import scenario_data
from flsim.observe.tables import Tables
from flsim.scenario.tracking import Tracker


class Told(NamedTuple):
    """Which run it is: its folder, its name, and its resolved scenario as the file has it."""

    folder: Path
    name: str
    scenario: Mapping[str, Any]


class Point(NamedTuple):
    """Metrics of a version by their names. A version may come in several points, of different metrics."""

    version: int
    time_s: float  # virtual
    metrics: Mapping[str, float]


class Finished(NamedTuple):
    """A run that is over: its tables, and what it came to in a few words and numbers."""

    tables: Tables
    outcome: Mapping[str, str | float]


class Writer(Protocol):
    """Writes one run for one tracker, as a fold over its records. It may fail: the run goes on."""

    def start(self, told: Told, mark: str) -> None:
        """Begin: anew, in place of what is there, if `mark` is empty; else from where it was taken."""

    def mark(self) -> str:
        """Return where the writer is. All points so far are kept by a writer that starts from there."""

    def write(self, point: Point) -> None:
        """Take metrics of a version. Versions come in order; no metric of a version comes twice."""

    def finish(self, finished: Finished | None) -> None:
        """Close everything. `finished`: None if the run broke off."""


def told_of(folder: Path) -> Told:
    """Return what a run's folder says of it. Raises RunError if it holds no resolved scenario."""
    _, data = scenario_data(folder)
    return Told(folder, str(data.get("name", "a run")), data)


def require(tracker: Tracker, *packages: str) -> None:
    """See that there is what a tracker needs. Raises ScenarioError, which says how to get it, if not.

    Nothing is imported yet: that takes seconds.
    """
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        install = f"pip install 'flsim-des[{tracker.kind}]'"
        raise ScenarioError(f"tracking: {tracker.kind} needs the package {missing[0]}: {install}")
