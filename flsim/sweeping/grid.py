"""Which runs a sweep is of: every combination of some keys' values."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from flsim.errors import ScenarioError
from flsim.scenario import yaml_text
from flsim.untrusted import content_of

Grid = Mapping[str, Sequence[object]]
"""The values of each key that varies."""

_NAME_LENGTH = 90  # of the 100 that a scenario's name may have; the rest tells equal ones apart
_RANGE = re.compile(r"(-?\d{1,9})\.\.(-?\d{1,9})")
_MOST_RUNS = 100_000


@dataclass(frozen=True)
class Variation:
    """One combination: a name for its folder, and the keys that it changes."""

    name: str
    values: Mapping[str, object]

    @property
    def overrides(self) -> list[str]:
        """What `--set` takes. JSON is YAML."""
        return [f"{key}={json.dumps(value)}" for key, value in self.values.items()]


def grid_of(varied: Sequence[str]) -> Grid:
    """Return the grid of what stands on a command line, such as "strategy.cohort=5,10" and "seed=0..4".

    Raises ScenarioError where there is no key, no value, or a key twice.

    >>> grid_of(["strategy.cohort=5,10", "seed=0..2"])
    {'strategy.cohort': [5, 10], 'seed': [0, 1, 2]}
    """
    expected = "expected a key path and values, such as seed=1,2,3 or seed=0..4"
    return {key: _values(values, text) for key, values, text in listed_values(varied, expected)}


def listed_values(varied: Sequence[str], expected: str) -> Iterator[tuple[str, list[object], str]]:
    """Yield the key, the values and the whole of texts such as "strategy.cohort=5,10".

    Raises ScenarioError where there is no key, no value, or a key twice; `expected` is what it says.
    """
    keys: set[str] = set()
    for text in varied:
        key, _, listed = text.partition("=")
        parsed = yaml_text.parse(f"[{listed}]", text).data
        if not key or not isinstance(parsed, list) or not parsed:
            raise ScenarioError(f"{text}: {expected}")
        if key in keys:
            raise ScenarioError(f"{text}: {key} is varied twice; give all its values at once")
        keys.add(key)
        yield key, parsed, text


def read_grids(path: Path) -> list[Grid]:
    """Return the grids in a file: a mapping of keys to their values, or a list of such mappings.

    A value stands alone or in a list, where `0..4` stands for the numbers from 0 to 4. Raises
    ScenarioError, which says where, if the file is anything else.
    """
    return [grid_from(mapping, str(path)) for mapping in mappings_of(path)]


def mappings_of(path: Path) -> list[Mapping[object, object]]:
    """Return the mappings of keys in a file: the one that it is, or those in the list that it is.

    Raises ScenarioError if there is none, or one that is empty.
    """
    try:
        text = content_of(path, yaml_text.MAX_BYTES).decode()
    except (OSError, ValueError) as error:
        raise ScenarioError(f"{path}: cannot be read: {error}") from error
    document = yaml_text.parse(text, str(path))
    listed: list[Any] = document.data if isinstance(document.data, list) else [document.data]
    if not listed or not all(isinstance(data, dict) and data for data in listed):
        raise ScenarioError(f"{path}: {_EXPECTED}")
    return listed


_EXPECTED = "expected keys with their values, such as 'seed: 0..4', or a list of such mappings"


def grid_from(data: object, where: str) -> Grid:
    """Return the grid that a mapping of keys to a value, or a list of values, describes.

    Raises ScenarioError, which says `where`, if it is anything else.

    >>> grid_from({"strategy.cohort": [5, 10], "seed": "0..2"}, "grid")
    {'strategy.cohort': [5, 10], 'seed': [0, 1, 2]}
    """
    if not isinstance(data, dict) or not data:
        raise ScenarioError(f"{where}: {_EXPECTED}")
    return {
        str(key): _values(value if isinstance(value, list) else [value], f"{where}: {key}")
        for key, value in data.items()
    }


def _values(given: Sequence[object], where: str) -> list[object]:
    """Return the values, with the numbers that a range stands for in its place."""
    values: list[object] = []
    for value in given:
        ends = _RANGE.fullmatch(value) if isinstance(value, str) else None
        if ends is None:
            values.append(value)
            continue
        first, last = int(ends[1]), int(ends[2])
        if not first <= last < first + _MOST_RUNS:
            raise ScenarioError(
                f"{where}: {value}: a range goes up, as 0..4 does, to {_MOST_RUNS:,} values"
            )
        values.extend(range(first, last + 1))
        if len(values) > _MOST_RUNS:
            raise ScenarioError(f"{where}: at most {_MOST_RUNS:,} values")
    if not values:
        raise ScenarioError(f"{where}: no values")
    return values


def seeds_of(text: str) -> list[int]:
    """Return the seeds that a text such as "0..4" or "1,5" stands for. Raises ScenarioError.

    >>> seeds_of("0..2,7")
    [0, 1, 2, 7]
    """
    found = grid_of([f"seed={text}"])["seed"]
    seeds = [seed for seed in found if isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0]
    if len(set(seeds)) < len(found):
        raise ScenarioError(f"--seeds {text}: expected different whole numbers from zero, such as 0..4")
    return seeds


def variations(grids: Sequence[Grid]) -> list[Variation]:
    """Return every combination of each grid's values, one grid after the other. Raises ScenarioError
    if there are more than anybody can run.

    >>> [each.name for each in variations([grid_of(["strategy.cohort=5,10", "seed=1"])])]
    ['cohort-5_seed-1', 'cohort-10_seed-1']
    """
    if (runs := sum(prod(map(len, grid.values())) for grid in grids)) > _MOST_RUNS:
        raise ScenarioError(f"a sweep of {runs:.6g} runs; at most {_MOST_RUNS:,}: vary less at once")
    combined = [
        dict(zip(grid, combination, strict=True))
        for grid in grids
        for combination in product(*grid.values())
    ]
    names = _unique([_name(combination) for combination in combined])
    return [Variation(*pair) for pair in zip(names, combined, strict=True)]


def heatmap_keys(asked: str, grids: Sequence[Grid]) -> tuple[str, str]:
    """Return the keys of a heat map's rows and columns; `asked` is such as "attack,aggregation".

    Raises ScenarioError unless these are two that every grid varies.
    """
    known = [key for key in grids[0] if all(key in grid for grid in grids)]
    match asked.split(","):
        case [rows, columns] if rows != columns and {rows, columns} <= set(known):
            return rows, columns
    raise ScenarioError(
        f"--heatmap {asked}: expected two different keys that are varied, such as strategy.cohort,seed; "
        f"varied here: {', '.join(known)}"
    )


def literal(value: object) -> str:
    """Return a value as a person would write it into the file."""
    return value if isinstance(value, str) else json.dumps(value)


def _name(values: Mapping[str, object]) -> str:
    parts = [f"{key.rpartition('.')[2]}-{literal(value)}" for key, value in values.items()]
    return "_".join(re.sub(r"[^A-Za-z0-9]+", "-", part).strip("-") for part in parts)[:_NAME_LENGTH]


def _unique(names: Sequence[str]) -> list[str]:
    """Return the names with a number at those that occurred before.

    >>> _unique(["a", "b", "a"])
    ['a', 'b', 'a_2']
    """
    seen: dict[str, int] = {}
    unique = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        unique.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return unique
