"""How methods compare over runs with several seeds: what it takes each to reach an accuracy.

Runs with the same seed share their draws of devices, links, data and failures (common random numbers), so
two methods are compared seed by seed: what luck they share is not in the difference. Intervals are of 95 %
by Student's t over the seeds; those of ratios over the logarithms of the ratios.
"""

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from flsim.errors import RunError
from flsim.observe.blocks import JOURNAL
from flsim.observe.labels import method_labels
from flsim.observe.metrics import metrics_json
from flsim.observe.scenario_file import scenario_data
from flsim.observe.tables import read_tables
from flsim.untrusted import content_of, is_count, is_number, read_json

if TYPE_CHECKING:
    from pandas import DataFrame

CONFIDENCE = 0.95
_RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")  # as a scenario may have it


@dataclass(frozen=True)
class FinishedRun:
    """What a folder says of its run: the scenario, and the entries of metrics.json, one per version."""

    folder: Path
    scenario: Mapping[str, Any]
    versions: Sequence[Mapping[str, Any]]
    virtual_time_s: float

    @property
    def seed(self) -> int:
        """The scenario's seed."""
        return int(self.scenario["seed"])

    @property
    def accuracies(self) -> list[float]:
        """The accuracies of the versions that were tested, in their order."""
        return [row["accuracy"] for row in self.versions if row["accuracy"] is not None]

    def spent(self, target: float | None) -> "Spent | None":
        """Return what an accuracy took, None if it was not reached; or what the whole run took."""
        if target is None:
            last = self.versions[-1]
            return Spent(self.virtual_time_s, last["version"], _bytes(last))
        for row in self.versions:
            if row["accuracy"] is not None and row["accuracy"] >= target:
                return Spent(row["time_s"], row["version"], _bytes(row))
        return None


def _bytes(row: Mapping[str, Any]) -> int:
    return int(row["bytes_up_cumulative"] + row["bytes_down_cumulative"])


@dataclass(frozen=True)
class Spent:
    """Virtual seconds, server updates, and bytes both ways."""

    time_s: float
    updates: int
    traffic: int


@dataclass(frozen=True)
class Estimate:
    """A mean over so many runs, and the interval that holds the true one: None with a single run."""

    mean: float
    low: float | None
    high: float | None
    runs: int


@dataclass(frozen=True)
class MethodRow:
    """One method. `reached`: how many of its `runs` came to the target; what that took is None unless all.

    `time_ratio`: its time over that of the first method, and `accuracy_gain`: its final accuracy less that
    of the first one, over the seeds that both have; None for the first one.
    """

    method: str
    runs: int
    reached: int
    time_s: Estimate | None
    updates: Estimate | None
    traffic: Estimate | None
    final_accuracy: Estimate | None
    time_ratio: Estimate | None
    accuracy_gain: Estimate | None


@dataclass(frozen=True)
class Comparison:
    """All methods. `target`: the accuracy that is to be reached; None: whole runs are compared."""

    target: float | None
    rows: tuple[MethodRow, ...]

    def to_frame(self) -> "DataFrame":
        """Return a DataFrame with a row for each method, as `flsim compare --format csv` has it."""
        from flsim.observe.comparison_table import columns
        from flsim.observe.frames import frame_of

        return frame_of(columns(self))

    def _repr_markdown_(self) -> str:
        """Return what a notebook shows."""
        from flsim.observe.comparison_table import markdown

        return markdown(self)


def read_run(folder: Path) -> FinishedRun:
    """Return what a run's folder says, as far as the run came. Raises RunError if it is no run's folder."""
    try:
        _, scenario = scenario_data(folder)
        if not (folder / "summary.json").exists() and (folder / JOURNAL).exists():
            versions = metrics_json(read_tables(folder))["versions"]  # it was killed: as far as it came
            ended_s = versions[-1]["time_s"] if versions else 0.0
        else:
            ended_s = read_json(folder / "summary.json")["virtual_time_s"]
            versions = read_json(folder / "metrics.json")["versions"]
        if not isinstance(versions, list) or not versions:
            raise ValueError("it has no versions")
        if not (is_count(scenario["seed"]) and is_number(ended_s)):
            raise ValueError("its seed and its virtual_time_s must be numbers")
        if not all(is_metrics_row(row) for row in versions):
            raise ValueError("its versions lack what those of a run have")
        return FinishedRun(folder, scenario, versions, float(ended_s))
    except (RunError, OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{folder}: not the folder of a finished run: {error}") from error


def is_metrics_row(row: object) -> bool:
    """Whether an entry of metrics.json has the numbers that every version has."""
    return isinstance(row, dict) and (
        all(is_count(row.get(key)) for key in ("version", "bytes_up_cumulative", "bytes_down_cumulative"))
        and is_number(row.get("time_s"))
        and all(key in row and (row[key] is None or is_number(row[key])) for key in ("accuracy", "loss"))
    )


def folders_of(path: Path) -> list[Path]:
    """Return the runs at a path: that folder itself or, if a sweep was written into it, those of the sweep.

    Runs of a sweep that failed are left out. Raises RunError if its table is none.
    """
    try:
        text = content_of(path / "sweep.csv").decode()
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
        names = [row["run"] for row in rows if not row["error"]]
    except (FileNotFoundError, NotADirectoryError):
        return [path]
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise RunError(f"{path / 'sweep.csv'}: not the table of a sweep: {error}") from error
    for name in names:
        if not isinstance(name, str) or not _RUN_NAME.fullmatch(name):
            raise RunError(f"{path / 'sweep.csv'}: {str(name)[:60]!r} is not the name of a run beside it")
    return [path / name for name in names]


def compare(runs: Sequence[FinishedRun], target: float | None = None) -> Comparison:
    """Return how methods compare: all that differs among the scenarios, but for the seed, tells them apart.

    `target`: the accuracy to reach, by default the highest one that every run has reached. Raises RunError
    if there are two runs of a method with the same seed, which would count one draw twice.
    """
    if target is None and all(run.accuracies for run in runs):
        target = min(max(run.accuracies) for run in runs)
    methods = by_method(runs)
    first = next(iter(methods.values()), {})
    rows = [_row(label, own, None if own is first else first, target) for label, own in methods.items()]
    return Comparison(target, tuple(rows))


Seeds = Mapping[int, FinishedRun]
"""A method's runs."""


def by_method(runs: Sequence[FinishedRun]) -> dict[str, Seeds]:
    """Return the runs of each method by their seeds. Raises RunError as compare does."""
    methods: dict[str, dict[int, FinishedRun]] = {}
    for run, label in zip(runs, method_labels([run.scenario for run in runs]), strict=True):
        seeds = methods.setdefault(label, {})
        if run.seed in seeds:
            raise RunError(f"{run.folder}: the same scenario and seed as {seeds[run.seed].folder}")
        seeds[run.seed] = run
    return dict(methods)


def _row(label: str, own: Seeds, first: Seeds | None, target: float | None) -> MethodRow:
    reached, spent = _spent(own, target)
    final = final_accuracies(own)
    time_ratio = accuracy_gain = None
    if first is not None:
        _, theirs = _spent(first, target)
        shared = sorted(spent.keys() & theirs.keys())
        time_ratio = ratio([(spent[seed].time_s, theirs[seed].time_s) for seed in shared])
        other = final_accuracies(first)
        accuracy_gain = estimate(
            [final[seed] - other[seed] for seed in sorted(final.keys() & other.keys())]
        )
    return MethodRow(
        label,
        len(own),
        reached,
        estimate([each.time_s for each in spent.values()]),
        estimate([each.updates for each in spent.values()]),
        estimate([each.traffic for each in spent.values()]),
        estimate(list(final.values())),
        time_ratio,
        accuracy_gain,
    )


def _spent(runs: Seeds, target: float | None) -> tuple[int, dict[int, Spent]]:
    """Return how many runs reached the target, and what that took each seed: nothing unless all did.

    The mean over those that did would flatter a method of which some runs never get there.
    """
    spent = spent_by_seed(runs, target)
    return len(spent), spent if len(spent) == len(runs) else {}


def spent_by_seed(runs: Seeds, target: float | None) -> dict[int, Spent]:
    """Return what the target took each seed that reached it."""
    return {seed: took for seed, run in runs.items() if (took := run.spent(target)) is not None}


def final_accuracies(runs: Seeds) -> dict[int, float]:
    """Return the last accuracy of each seed that was ever tested."""
    return {seed: run.accuracies[-1] for seed, run in runs.items() if run.accuracies}


def estimate(values: Sequence[float]) -> Estimate | None:
    """Return the mean and its interval; None without values.

    >>> estimate([1.0, 2.0, 3.0]).mean, round(estimate([1.0, 2.0, 3.0]).high, 3)
    (2.0, 4.484)
    """
    if not values:
        return None
    mean = fmean(values)
    if len(values) == 1:
        return Estimate(mean, None, None, 1)
    from scipy.stats import t as student  # takes half a second, which not everybody should have to wait

    quantile = float(student.ppf((1 + CONFIDENCE) / 2, len(values) - 1))
    half = quantile * stdev(values) / math.sqrt(len(values))
    return Estimate(mean, mean - half, mean + half, len(values))


def ratio(pairs: Sequence[tuple[float, float]]) -> Estimate | None:
    """Return the geometric mean of the ratios of pairs, and its interval; None if one is not positive."""
    if any(one <= 0 or other <= 0 for one, other in pairs):
        return None
    logs = estimate([math.log(one / other) for one, other in pairs])
    if logs is None:
        return None
    low, high = (None if end is None else math.exp(end) for end in (logs.low, logs.high))
    return Estimate(math.exp(logs.mean), low, high, logs.runs)
