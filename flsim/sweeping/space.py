"""What a search may try: for each key a range of numbers, or some values to choose among."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flsim.errors import ScenarioError
from flsim.sweeping.grid import listed_values, mappings_of

_NUMBER = r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]+)?)(?:[eE][-+]?[0-9]+)?"
_RANGE = re.compile(rf"(log:)?({_NUMBER})\.\.({_NUMBER})")
_WHOLE = re.compile(r"[-+]?[0-9]{1,15}")
_EXPECTED = (
    "expected a key path and what may be tried: a range such as 2..20, 0.1..0.9 or log:1e-3..1, or values "
    "such as sync,fedbuff"
)


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; whole ones if both ends are. `log`: even by ratio."""

    low: float
    high: float
    whole: bool = False
    log: bool = False

    def rounded(self, value: float) -> float:
        """Return a number as it is tried: to four digits, within the range.

        >>> Range(0.001, 1.0).rounded(0.0314159265)
        0.03142
        """
        return int(value) if self.whole else min(max(float(f"{value:.4g}"), self.low), self.high)


@dataclass(frozen=True)
class Choice:
    """One of some values, in no order."""

    values: tuple[object, ...]


Space = Mapping[str, Range | Choice]
"""What may be tried for each key."""


def space_of(varied: Sequence[str]) -> Space:
    """Return what stands on a command line, such as "strategy.cohort=2..20" and "seed=1,2".

    Raises ScenarioError where there is no key, a key twice, or nothing to choose from.

    >>> space_of(["strategy.cohort=2..20", "a.lr=log:1e-3..1", "b=x,{kind: y}"])["a.lr"]
    Range(low=0.001, high=1.0, whole=False, log=True)
    """
    return {key: _dimension(tried, text) for key, tried, text in listed_values(varied, _EXPECTED)}


def read_space(path: Path) -> Space:
    """Return what a file says may be tried: a mapping of keys to a range or a list of values.

    Raises ScenarioError if it is anything else.
    """
    listed = mappings_of(path)
    if len(listed) > 1:
        raise ScenarioError(f"{path}: a search has one space: a mapping of keys, not a list of them")
    return {
        str(key): _dimension(value if isinstance(value, list) else [value], f"{path}: {key}")
        for key, value in listed[0].items()
    }


def _dimension(tried: Sequence[object], where: str) -> Range | Choice:
    if len(tried) > 1:
        return Choice(tuple(tried))
    found = _RANGE.fullmatch(tried[0]) if tried and isinstance(tried[0], str) else None
    if found is None:
        raise ScenarioError(f"{where}: {_EXPECTED}; a key with one value belongs into --set")
    log, first, last = found.groups()
    low, high = float(first), float(last)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ScenarioError(f"{where}: a range goes up, as 2..20 does")
    if log and low <= 0:
        raise ScenarioError(f"{where}: a range by ratio begins above zero, as log:1e-3..1 does")
    whole = bool(_WHOLE.fullmatch(first) and _WHOLE.fullmatch(last))
    return Range(low, high, whole, bool(log))
