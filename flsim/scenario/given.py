"""A scenario as a program gives it: a file, a `Scenario`, or the data that a file would hold."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from pydantic import BaseModel

from flsim.errors import ScenarioError
from flsim.scenario.overrides import Change, change_of, changes_of
from flsim.scenario.reading import read_scenario, scenario_from
from flsim.scenario.scenario import Scenario
from flsim.scenario.yaml_text import MAX_DEPTH

Given = str | os.PathLike[str] | Mapping[str, Any] | Scenario
"""The path of a scenario file, what such a file would hold as plain data, or a scenario."""

Override = str | Mapping[str, Any]
"""A change such as "strategy.cohort=20", or several, such as {"strategy.cohort": 20, "seed": 1}."""

_BY = "the override"


def scenario_of(given: Given, overrides: Iterable[Override] = ()) -> Scenario:
    """Return the scenario that somebody means. Raises ScenarioError.

    Files that data names are relative to the working directory, those that a file names to its folder.
    A value that overrides a key replaces all that was there, as `--set` does.
    """
    changes = [change for override in overrides for change in _changes(override)]
    if isinstance(given, Scenario):
        return scenario_from(given.model_dump(mode="json"), changes=changes) if changes else given
    if isinstance(given, Mapping):
        return scenario_from(plain(given), changes=changes)
    if isinstance(given, str | os.PathLike):
        return read_scenario(Path(given).expanduser(), changes)
    raise ScenarioError(
        f"a scenario is the path of a file, a mapping or a Scenario, not {type(given).__name__}"
    )


def _changes(override: Override) -> Iterable[Change]:
    if isinstance(override, str):
        return [change_of(override, _BY)]
    if isinstance(override, Mapping):
        return changes_of(plain(override), _BY)
    raise ScenarioError(
        f"override: expected text such as 'strategy.cohort=20', or a mapping such as "
        f"{{'strategy.cohort': 20}}, not {type(override).__name__}"
    )


def plain(value: Any, depth: int = 0) -> Any:
    """Return a copy of what a program wrote in the types that a YAML file gives.

    Components become mappings, and numbers of numpy those of Python. What a file cannot hold stays as it
    is, for the validation to refuse. Raises ScenarioError if it is nested too deep.

    >>> plain({"seed": np.int64(3), "classes": ({"share": 1.0},)})
    {'seed': 3, 'classes': [{'share': 1.0}]}
    """
    if depth > MAX_DEPTH:
        raise ScenarioError(f"scenario: nested deeper than {MAX_DEPTH} levels")
    match value:
        case BaseModel():
            return value.model_dump(mode="json")
        case Mapping():
            return {key: plain(item, depth + 1) for key, item in value.items()}
        case list() | tuple() | range():
            return [plain(item, depth + 1) for item in value]
        case np.generic():
            return value.item()
        case np.ndarray():
            return value.tolist()
        case PurePath():
            return str(value)
    return value
