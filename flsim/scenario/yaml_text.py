"""YAML text to plain data, with the line of every key, for a file that nobody vouches for.

The data model is YAML 1.2's core schema (so `on` is a word and `1e-3` is a number), but that hexadecimal
and octal numbers stay text. Tags, anchors,
aliases, merge keys, duplicate keys and more than one document are refused, and so is a file that is
too large, too deep or of too many values. Nothing is ever constructed but None, bool, int, float, str,
list and dict.
"""

import re
from dataclasses import dataclass, field

import yaml

from flsim.errors import ScenarioError

Path = tuple[str | int, ...]

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_VALUES = 100_000
_TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels"
_INT = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, object] = {
    "": None,
    "~": None,
    "null": None,
    "true": True,
    "false": False,
    ".nan": float("nan"),
    ".inf": float("inf"),
    "+.inf": float("inf"),
    "-.inf": float("-inf"),
}
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# What PyYAML says since 6.0.4 of a line deeper than some 1,000 levels, before it has told of the first.
_PARSERS_OWN_LIMIT = "exceeded maximum nesting depth"


@dataclass
class Document:
    """The data of a YAML text, and the line (from 1) of each key path.

    `overridden`: the key paths that were set since, and by what.
    """

    data: object
    lines: dict[Path, int] = field(default_factory=dict)
    overridden: dict[Path, str] = field(default_factory=dict)

    def where(self, path: Path, source: str) -> str:
        """Say where a key path stands: the file and the line of the path or its nearest ancestor."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.overridden:
                return f"{source} (changed by {self.overridden[path[:length]]})"
            if path[:length] in self.lines:
                return f"{source}:{self.lines[path[:length]]}"
        return source


def parse(text: str, source: str) -> Document:
    """Return the document in `text`; `source` names it in errors.

    Raises ScenarioError with the line for anything that is not plain YAML.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise ScenarioError(f"{source}: not valid YAML: character {error.start} is not Unicode") from error
    if size > MAX_BYTES:
        raise ScenarioError(f"{source}: larger than {MAX_BYTES >> 20} MiB; a scenario is a short file")
    try:
        return _Builder(source).build(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{source}:{mark.line + 1}" if mark is not None else source
        why = getattr(error, "problem", None) or getattr(error, "reason", None) or "cannot be read"
        if why == _PARSERS_OWN_LIMIT:
            raise ScenarioError(f"{where}: {_TOO_DEEP}") from error
        raise ScenarioError(f"{where}: not valid YAML: {why}") from error


def scalar(text: str) -> object:
    """Return what an unquoted scalar means in YAML 1.2's core schema.

    >>> scalar("1e-3"), scalar("on"), scalar("true"), scalar("12")
    (0.001, 'on', True, 12)
    """
    word = text.lower() if text in (text.lower(), text.upper(), text.capitalize()) else text
    if word in _WORDS:
        return _WORDS[word]
    if _INT.fullmatch(text) and len(text) < 40:
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


class _Builder:
    """Folds the parser's events into a document. Iterative, so depth costs no stack."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._document = Document(None)
        self._open: list[dict[str, object] | list[object]] = []
        self._path: list[str | int] = []
        self._key: str | None = None
        self._documents = 0
        self._values = 0

    def build(self, text: str) -> Document:
        for event in yaml.parse(text, Loader=_LOADER):
            self._take(event)
        return self._document

    def _take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise self._error(event, "a second document; one file holds one scenario")
        elif isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise self._error(event, "anchors and aliases are not accepted; write the value out")
        elif isinstance(event, yaml.NodeEvent):
            self._take_node(event)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._open.pop()
            if self._open:
                self._path.pop()

    def _take_node(self, event: yaml.Event) -> None:
        if getattr(event, "tag", None) is not None:
            raise self._error(event, "tags are not accepted")
        self._values += 1
        if self._values > MAX_VALUES:
            raise self._error(event, f"more than {MAX_VALUES:,} keys and values")
        expects_key = bool(self._open) and isinstance(self._open[-1], dict) and self._key is None
        if isinstance(event, yaml.ScalarEvent):
            if expects_key:
                self._begin(event)
            else:
                self._put(event, scalar(event.value) if event.implicit[0] else event.value)
            return
        if expects_key:
            raise self._error(event, "a key must be a word")
        if len(self._open) >= MAX_DEPTH:
            raise self._error(event, _TOO_DEEP)
        container: dict[str, object] | list[object] = (
            {} if isinstance(event, yaml.MappingStartEvent) else []
        )
        path = self._put(event, container)
        if self._open:
            self._path.append(path[-1])
        self._open.append(container)

    def _begin(self, event: yaml.ScalarEvent) -> None:
        parent = self._open[-1]
        if event.value == "<<":
            raise self._error(event, "merge keys are not accepted; write the value out")
        if event.value in parent:
            raise self._error(event, f"the key '{event.value}' stands twice")
        self._key = event.value
        self._document.lines[(*self._path, event.value)] = _line(event)

    def _put(self, event: yaml.Event, value: object) -> Path:
        if not self._open:
            self._document.data = value
            return ()
        parent = self._open[-1]
        if isinstance(parent, dict):
            key, self._key = str(self._key), None
            parent[key] = value
            return (*self._path, key)
        parent.append(value)
        path: Path = (*self._path, len(parent) - 1)
        self._document.lines[path] = _line(event)
        return path

    def _error(self, event: yaml.Event, why: str) -> ScenarioError:
        return ScenarioError(f"{self._source}:{_line(event)}: {why}")


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark is not None else 0
