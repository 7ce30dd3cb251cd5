"""A scenario file to a `Scenario`, or one message that says where, what and what is accepted."""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from flsim.errors import ScenarioError
from flsim.scenario import yaml_text
from flsim.scenario.scenario import Scenario


def read_scenario(path: Path, overrides: Sequence[str] = ()) -> Scenario:
    """Return the scenario in the file at `path`, with overrides such as "strategy.cohort=20".

    Raises ScenarioError for a file that cannot be read, is not plain YAML, or does not fit.
    """
    document = yaml_text.parse(_read_text(path), str(path))
    if not isinstance(document.data, dict):
        raise ScenarioError(f"{path}: a scenario is a mapping that begins with 'name: …'")
    for override in overrides:
        _apply(document, override)
    return _validated(document.data, document, str(path))


def scenario_from(data: Mapping[str, Any]) -> Scenario:
    """Return the scenario that plain data describes. Raises ScenarioError."""
    return _validated(dict(data), yaml_text.Document(data), "scenario")


def to_yaml(scenario: Scenario) -> str:
    """Return the resolved scenario as YAML; reading it gives an equal scenario."""
    data = scenario.model_dump(mode="json")
    text: str = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    return text


def _read_text(path: Path) -> str:
    try:
        if path.is_dir():
            raise ScenarioError(f"{path}: a folder, not a scenario file")
        if path.stat().st_size > yaml_text.MAX_BYTES:
            raise ScenarioError(f"{path}: larger than {yaml_text.MAX_BYTES >> 20} MiB; not a scenario file")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ScenarioError(
            f"{path}: not a text file (byte {error.start} is not UTF-8); a scenario is YAML"
        ) from error
    except FileNotFoundError as error:
        raise ScenarioError(f"{path}: no such file{_neighbours(path)}") from error
    except (OSError, ValueError) as error:
        raise ScenarioError(
            f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}"
        ) from error


def _neighbours(path: Path) -> str:
    try:
        names = [other.name for other in path.parent.iterdir() if other.suffix in {".yaml", ".yml"}]
    except OSError:
        return ""
    matches = get_close_matches(path.name, names, n=1)
    return f"; did you mean '{path.parent / matches[0]}'?" if matches else ""


def _apply(document: yaml_text.Document, override: str) -> None:
    """Set one key path of the document's data to a YAML value."""
    dotted, equals, text = override.partition("=")
    source = f"--set {override}"
    keys = dotted.split(".")
    if not equals or not all(keys):
        raise ScenarioError(f"{source}: expected a key path and a value, such as strategy.cohort=20")
    value = yaml_text.parse(text, source).data
    place: Any = document.data
    for depth, key in enumerate(keys):
        last = depth == len(keys) - 1
        if isinstance(place, list) and re.fullmatch(r"\d+", key) and int(key) < len(place):
            index: str | int = int(key)
        elif isinstance(place, dict):
            index = key
            if not last and place.get(key) is None:
                place[key] = {}
        else:
            raise ScenarioError(f"{source}: '{'.'.join(keys[:depth])}' has no key '{key}'")
        if last:
            place[index] = value
        else:
            place = place[index]
    _forget_lines(document, tuple(int(key) if key.isdigit() else key for key in keys))


def _forget_lines(document: yaml_text.Document, path: yaml_text.Path) -> None:
    """An overridden key no longer stands in the file, so an error must not point there."""
    for known in [known for known in document.lines if known[: len(path)] == path]:
        del document.lines[known]
    document.overridden.add(path)


def _validated(data: dict[str, Any], document: yaml_text.Document, source: str) -> Scenario:
    try:
        return Scenario.model_validate(data)
    except ValidationError as error:
        problems = [_explain(details, document, source) for details in error.errors(include_url=False)]
        raise ScenarioError("\n".join(dict.fromkeys(problems))) from error


def _explain(details: Any, document: yaml_text.Document, source: str) -> str:
    """Return one line: file, line, key path, what is wrong, what is accepted, what was given."""
    path = _key_path(details["loc"], document.data)
    where = document.where(path, source)
    dotted = ".".join(map(str, path)) or "the scenario"
    if details["type"] == "missing":
        return f"{where}: {dotted}: this key is required and missing"
    message = details["msg"]
    if details["type"] == "literal_error":
        expected = details["ctx"]["expected"]
        close = get_close_matches(str(details["input"]), re.findall(r"'([^']*)'", expected), n=1)
        message = f"must be {expected}" + (f"; did you mean '{close[0]}'?" if close else "")
    elif message.startswith("Input should be "):
        message = "must be " + message.removeprefix("Input should be ")
    given = details["input"]
    shown = "" if isinstance(given, dict | BaseModel) else f" (given: {_shortened(given)})"
    return f"{where}: {dotted}: {message}{shown}"


def _shortened(value: object) -> str:
    text = repr(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= 60 else text[:57] + "…"


def _key_path(loc: tuple[str | int, ...], data: object) -> yaml_text.Path:
    """Drop what pydantic adds to a location (union members) and keep the keys of the file."""
    path: list[str | int] = []
    for position, part in enumerate(loc):
        if isinstance(data, Mapping):
            last = position == len(loc) - 1
            if part not in data and not last:
                continue
            data = data.get(part)
        elif isinstance(data, list | tuple) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            break
        path.append(part)
    return tuple(path)
