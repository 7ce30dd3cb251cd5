"""A scenario file to a `Scenario`, or one message that says where, what and what is accepted."""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from flsim.component import Section
from flsim.errors import ScenarioError, nearest
from flsim.scenario import yaml_text
from flsim.scenario.files import ReadingFrom
from flsim.scenario.overrides import Change, apply, change_of, clipped
from flsim.scenario.scenario import Scenario

S = TypeVar("S", bound=Section)


def read_scenario(
    path: Path, overrides: Sequence[str | Change] = (), defaults: Sequence[Change] = ()
) -> Scenario:
    """Return the scenario in the file at `path`, with overrides such as "strategy.cohort=20".

    `defaults`: changes to keys of the scenario itself that the file has not.
    Raises ScenarioError for a file that cannot be read, is not plain YAML, or does not fit.
    """
    document = yaml_text.parse(_read_text(path), str(path))
    if not isinstance(document.data, dict):
        raise ScenarioError(f"{path}: a scenario is a mapping that begins with 'name: …'")
    for change in defaults:
        if change.keys[0] not in document.data:
            apply(document, change)
    for override in overrides:
        apply(document, change_of(override) if isinstance(override, str) else override)
    return _validated(document.data, document, str(path), path.parent)


def scenario_from(
    data: Mapping[str, Any], folder: Path = Path(), changes: Sequence[Change] = ()
) -> Scenario:
    """Return the scenario that plain data describes, with `changes` to it. Raises ScenarioError.

    `folder`: what the files that it names are relative to.
    """
    document = yaml_text.Document(dict(data))
    for change in changes:
        apply(document, change)
    return _validated(document.data, document, "scenario", folder)


def read_section(path: Path, section: type[S], what: str) -> S:
    """Return the section that a file of its own holds. `what` it is, for messages. Raises ScenarioError."""
    document = yaml_text.parse(_read_text(path), str(path))
    data = {} if document.data is None else document.data
    if not isinstance(data, dict):
        raise ScenarioError(f"{path}: {what} is a mapping of keys to values")
    return _checked(section, data, document, str(path), path.parent)


def to_yaml(scenario: Scenario) -> str:
    """Return the resolved scenario as YAML; reading it gives an equal scenario."""
    data = scenario.model_dump(mode="json")
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """Quotes text that would not be read back as it is, such as the name '1e3'."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        style = None if text.isprintable() and yaml_text.scalar(text) == text else '"'
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _Dumper.represent_text)


def _read_text(path: Path) -> str:
    try:
        if path.is_dir():
            raise ScenarioError(f"{path}: a folder, not a scenario file")
        with path.open("rb") as file:
            content = file.read(yaml_text.MAX_BYTES + 1)
        if len(content) > yaml_text.MAX_BYTES:
            raise ScenarioError(f"{path}: larger than {yaml_text.MAX_BYTES >> 20} MiB; not a scenario file")
        return content.decode()
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


def _validated(data: object, document: yaml_text.Document, source: str, folder: Path) -> Scenario:
    return _checked(Scenario, data, document, source, folder)


def _checked(section: type[S], data: object, document: yaml_text.Document, source: str, folder: Path) -> S:
    try:
        return section.model_validate(data, context=ReadingFrom(folder))
    except ValidationError as error:
        problems: dict[yaml_text.Path, list[Any]] = {}
        for details in error.errors(include_url=False):
            problems.setdefault(_key_path(details["loc"], document.data), []).append(details)
        lines = [_explain(path, found, document, source) for path, found in problems.items()]
        raise ScenarioError("\n".join(lines)) from error


def _explain(
    path: yaml_text.Path, problems: Sequence[Any], document: yaml_text.Document, source: str
) -> str:
    """Return one line: file, line, key path, what is wrong, what is accepted, what was given.

    Several problems at one path are the members of a union, none of which fits.
    """
    where = document.where(path, source)
    dotted = ".".join(clipped(str(key)) or "''" for key in path) or "the scenario"
    if problems[0]["type"] == "missing":
        return f"{where}: {dotted}: this key is required and missing"
    message = " or ".join(dict.fromkeys(_requirement(details) for details in problems))
    given = _given(path, document.data, problems[0]["input"])
    shown = "" if isinstance(given, Mapping | BaseModel) else f" (given: {clipped(_literal(given))})"
    return f"{where}: {dotted}: {message}{shown}"


def _requirement(details: Any) -> str:
    """Say in the words of a scenario file, not of Python, what a value must be."""
    message: str = details["msg"]
    match details["type"]:
        case "literal_error":
            expected = details["ctx"]["expected"]
            accepted = re.findall(r"'([^']*)'", expected)
            return f"must be {expected}{nearest(details['input'], accepted)}"
        case "tuple_type":
            return "must be a list"
        case "model_type" | "dict_type":
            return "must be a mapping"
        case "string_type":
            return "must be text"
        case "bool_type":
            return "must be true or false"
        case "too_short":
            return f"must have at least {details['ctx']['min_length']} item"
        case "string_pattern_mismatch":
            return f"must match {details['ctx']['pattern']}"
    return message.replace("Input should be ", "must be ", 1)


def _given(path: yaml_text.Path, data: Any, otherwise: object) -> object:
    """Return the value at a key path as the file has it, before any unit was read."""
    for key in path:
        is_entry = isinstance(data, Mapping) and key in data
        is_item = isinstance(data, list | tuple) and isinstance(key, int)
        if not (is_entry or is_item):
            return otherwise
        data = data[key]
    return data


def _literal(value: object) -> str:
    return repr(list(value) if isinstance(value, tuple) else value)


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
