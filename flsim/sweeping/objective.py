"""What a search is after: one number of a run, and whether more of it is better."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from flsim.errors import ScenarioError, nearest
from flsim.observe.comparison import FinishedRun, Spent
from flsim.units import SIZE, TIME

_AT_THE_END = ("final_accuracy", "best_accuracy", "final_loss", "virtual_time")
_UNTIL: dict[str, Callable[[Spent], float]] = {
    "time_to_accuracy": lambda spent: spent.time_s,
    "updates_to_accuracy": lambda spent: float(spent.updates),
    "bytes_to_accuracy": lambda spent: float(spent.traffic),
}
OBJECTIVES = (*_AT_THE_END, *(f"{name}=0.9" for name in _UNTIL))


@dataclass(frozen=True)
class Objective:
    """What is to be made large or small. `target`: the accuracy up to which something is counted."""

    name: str
    target: float | None = None

    @property
    def maximise(self) -> bool:
        """Whether more is better."""
        return self.name in ("final_accuracy", "best_accuracy")

    def value(self, runs: Sequence[FinishedRun]) -> float | None:
        """Return the mean over the runs; None if one of them never reached the target.

        Raises ScenarioError if the runs have no such number.
        """
        values = [self._of(run) for run in runs]
        return None if None in values else fmean(value for value in values if value is not None)

    def shortfall(self, runs: Sequence[FinishedRun]) -> float:
        """Return by how much the best accuracies fall short of the target, on average."""
        return fmean(max(0.0, (self.target or 0.0) - max(_tested(run, "accuracy"))) for run in runs)

    def shown(self, value: float) -> str:
        """Return a value with its unit.

        >>> Objective("time_to_accuracy", 0.9).shown(90.0)
        '1.5 min'
        """
        if self.name in ("virtual_time", "time_to_accuracy"):
            return TIME.format(value)
        return SIZE.format(value) if self.name == "bytes_to_accuracy" else f"{value:.4g}"

    def __str__(self) -> str:
        return self.name if self.target is None else f"{self.name}={self.target:g}"

    def _of(self, run: FinishedRun) -> float | None:
        if self.target is not None:
            _tested(run, "accuracy")
            spent = run.spent(self.target)
            return None if spent is None else _UNTIL[self.name](spent)
        match self.name:
            case "virtual_time":
                return run.virtual_time_s
            case "final_loss":
                return _tested(run, "loss")[-1]
            case "best_accuracy":
                return max(_tested(run, "accuracy"))
        return _tested(run, "accuracy")[-1]


def objective_of(text: str) -> Objective:
    """Return what a text such as "final_accuracy" or "time_to_accuracy=0.9" asks for. Raises ScenarioError.

    >>> objective_of("time_to_accuracy=0.9")
    Objective(name='time_to_accuracy', target=0.9)
    """
    name, equals, number = text.partition("=")
    if name in _AT_THE_END and not equals:
        return Objective(name)
    if name in _UNTIL:
        try:
            target = float(number)
        except ValueError:
            target = math.nan
        if not 0 < target <= 1:
            raise ScenarioError(f"--objective {text}: expected an accuracy up to 1, such as {name}=0.9")
        return Objective(name, target)
    hint = nearest(name, [*_AT_THE_END, *_UNTIL])
    raise ScenarioError(f"--objective {text}: accepted: {', '.join(OBJECTIVES)}{hint}")


def _tested(run: FinishedRun, value: str) -> list[float]:
    """Return the finite values of the versions that were tested."""
    found = [row[value] for row in run.versions if row.get(value) is not None]
    if not found:
        raise ScenarioError(f"it has no {value}: no version was tested")
    if not math.isfinite(found[-1]):
        raise ScenarioError(f"its {value} is not finite")
    return [each for each in found if math.isfinite(each)]
