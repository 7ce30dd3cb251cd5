"""`scenario.yaml` of a run's folder as plain data: not trusted, and nothing that it names is imported."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flsim.errors import RunError, ScenarioError
from flsim.observe.folder import SCENARIO
from flsim.scenario import yaml_text
from flsim.untrusted import content_of, is_number


def scenario_data(folder: Path) -> tuple[str, Mapping[str, Any]]:
    """Return the scenario that a run left in `folder`, as text and as data. Raises RunError without one.

    What is read as a run's scenario is plain YAML as `flsim.scenario.yaml_text` has it: without tags,
    anchors and aliases, so that a few lines cannot stand for gigabytes.
    """
    path = folder / SCENARIO
    try:
        text = content_of(path, yaml_text.MAX_BYTES).decode()
        data = yaml_text.parse(text, str(path)).data
    except ScenarioError as error:
        raise RunError(str(error)) from error
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {error}") from error
    if not isinstance(data, Mapping) or not _is_like_a_scenario(data):
        raise RunError(f"{path} is not a scenario; is {folder} the folder of a run?")
    return text, data


def _is_like_a_scenario(data: Mapping[str, Any]) -> bool:
    """Whether what the records are read with is of the types that it has in a scenario."""
    hierarchy = data.get("hierarchy") or {}
    if not isinstance(hierarchy, Mapping) or not isinstance(data.get("name", ""), str):
        return False
    strategies = [data.get("strategy") or {}, hierarchy.get("strategy") or {}]
    return all(
        isinstance(each, Mapping) and (each.get("deadline") is None or is_number(each["deadline"]))
        for each in strategies
    )
