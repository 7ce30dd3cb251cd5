"""Changes of single keys: what `--set` takes, and what a program gives instead."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flsim.errors import ScenarioError
from flsim.scenario import yaml_text

_MOST_SHOWN = 60  # characters of what somebody has given


@dataclass(frozen=True)
class Change:
    """A key path that is set to a value. `by`: what errors call who asked for it; `said`: what he said."""

    keys: tuple[str, ...]
    value: object
    by: str
    said: str

    @property
    def source(self) -> str:
        """How an error names the change."""
        return f"{self.by} {clipped(self.said)}"


def change_of(override: str, by: str = "--set") -> Change:
    """Return the change that a text such as "strategy.cohort=20" asks for. Raises ScenarioError.

    >>> change_of("strategy.cohort=20").keys, change_of("strategy.cohort=20").value
    (('strategy', 'cohort'), 20)
    """
    dotted, equals, text = override.partition("=")
    change = Change(tuple(dotted.split(".")), None, by, override)
    if not equals or not all(change.keys):
        raise ScenarioError(f"{change.source}: expected a key path and a value, such as strategy.cohort=20")
    return Change(change.keys, yaml_text.parse(text, change.source).data, by, override)


def changes_of(overrides: Mapping[str, Any], by: str) -> Sequence[Change]:
    """Return the changes that a mapping of key paths to plain data asks for. Raises ScenarioError.

    >>> [change.keys for change in changes_of({"strategy.cohort": 20, "seed": 1}, "override")]
    [('strategy', 'cohort'), ('seed',)]
    """
    changes = [Change(tuple(str(key).split(".")), value, by, str(key)) for key, value in overrides.items()]
    for change in changes:
        if not all(change.keys):
            raise ScenarioError(f"{change.source}: expected a key path, such as strategy.cohort")
    return changes


def apply(document: yaml_text.Document, change: Change) -> None:
    """Set one key path of the document's data. Raises ScenarioError if there is no such place."""
    place: Any = document.data
    path: list[str | int] = []
    for depth, key in enumerate(change.keys):
        last = depth == len(change.keys) - 1
        if isinstance(place, list) and key in map(str, range(len(place))):
            index: str | int = int(key)
        elif isinstance(place, dict):
            index = key
            if not last and place.get(key) is None:
                place[key] = {}
        else:
            above = ".".join(change.keys[:depth])
            raise ScenarioError(f"{change.source}: '{above}' has no key '{clipped(key)}'")
        path.append(index)
        if last:
            place[index] = change.value
        else:
            place = place[index]
    _forget_lines(document, tuple(path), change.by)


def clipped(text: str) -> str:
    """Return the beginning of a text that may be of any length."""
    return text if len(text) <= _MOST_SHOWN else text[: _MOST_SHOWN - 3] + "…"


def _forget_lines(document: yaml_text.Document, path: yaml_text.Path, by: str) -> None:
    """An overridden key no longer stands in the file, so an error must not point there."""
    for known in [known for known in document.lines if known[: len(path)] == path]:
        del document.lines[known]
    document.overridden[path] = by
