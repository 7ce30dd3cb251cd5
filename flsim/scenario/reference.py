"""Every key that a scenario can have, found by walking the schema, so that none is missing or stale.

What a key means stands in the documentation of its section's class: in the sentences that name it.
"""

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from pydantic.fields import FieldInfo

from flsim.component import Component, Kinds, Section
from flsim.scenario.catalogue import is_plain_section, mentioned_in
from flsim.scenario.distributions import DISTRIBUTIONS
from flsim.scenario.key_types import Word, default_of, words_of
from flsim.scenario.scenario import Scenario


@dataclass(frozen=True)
class Key:
    """A key of a section. `default` is None if the key must be given."""

    name: str
    accepts: tuple[Word, ...]
    default: str | None
    meaning: str


@dataclass(frozen=True)
class Entry:
    """A section or a component: where it stands, such as `strategy.staleness`, and its keys."""

    path: str
    kind: str | None
    cls: type[Section]
    keys: tuple[Key, ...]

    @property
    def text(self) -> str:
        """What its class says of itself."""
        return inspect.getdoc(self.cls) or ""


@dataclass
class Place:
    """Where a section stands, or one of several kinds of component, which are its entries."""

    path: str
    described: type[Section] | Kinds
    entries: list[Entry] = field(default_factory=list)


@dataclass(frozen=True)
class Chapter:
    """A key at the top of a scenario, and all that can stand below it."""

    name: str
    places: list[Place]


def scenario_keys() -> tuple[Key, ...]:
    """Return the keys at the top of a scenario."""
    return keys_of(Scenario)


def chapters() -> list[Chapter]:
    """Return the chapters in the order of the scenario file, and the distributions as the last one.

    Whatever can stand in several places is described in the first of them.
    """
    seen: set[type[Section]] = set()
    found = [Chapter(name, list(_places(name, key, seen))) for name, key in Scenario.model_fields.items()]
    laws = Place("distribution", DISTRIBUTIONS)
    laws.entries.extend(_entry("distribution", kind, law) for kind, law in DISTRIBUTIONS.classes.items())
    return [*(chapter for chapter in found if chapter.places), Chapter("distribution", [laws])]


def keys_of(cls: type[Section]) -> tuple[Key, ...]:
    """Return the keys of a section, but for the `kind` of a component."""
    return tuple(
        Key(name, words_of(field), default_of(field), meaning_of(cls, name))
        for name, field in cls.model_fields.items()
        if not (name == "kind" and issubclass(cls, Component))
    )


def meaning_of(cls: type[Section], key: str) -> str:
    """Return what a class, or one that it derives from, says of a key; empty if nothing.

    A sentence that begins with the key and a colon defines it; otherwise all that name it are taken.

    >>> class Example(Section):
    ...     '''Something. `size`: how large it is. It grows by `rate` each time.'''
    >>> meaning_of(Example, "size"), meaning_of(Example, "rate")
    ('How large it is.', 'It grows by `rate` each time.')
    """
    sections = [
        each for each in cls.__mro__ if issubclass(each, Section) and each not in (Section, Component)
    ]
    naming = [
        [sentence for sentence in _sentences(each.__doc__ or "") if re.search(rf"`{key}[`:\[]", sentence)]
        for each in sections
    ]
    for sentences in naming:
        for sentence in sentences:
            if sentence.startswith(f"`{key}`: "):
                meaning = sentence.removeprefix(f"`{key}`: ")
                return meaning[0].upper() + meaning[1:]
    return " ".join(next((sentences for sentences in naming if sentences), []))


def only_defines(paragraph: str) -> bool:
    """Return whether a paragraph does nothing but say what keys mean."""
    return all(re.match(r"`\w+`: ", sentence) for sentence in _sentences(paragraph))


def _sentences(text: str) -> Iterator[str]:
    for paragraph in text.split("\n\n"):
        yield from re.split(r"(?<=\.)\s+(?=[A-Z`])", " ".join(paragraph.split()))


def _places(path: str, key: FieldInfo, seen: set[type[Section]]) -> Iterator[Place]:
    """Yield the places at a key and, breadth first, below it that have something new to describe."""
    waiting = [(path, key)]
    while waiting:
        path, key = waiting.pop(0)
        for described in mentioned_in(key):
            if isinstance(described, Kinds):
                choices: list[tuple[str | None, type[Section]]] = [*described.classes.items()]
            elif is_plain_section(described):
                choices = [(None, described)]
            else:
                continue
            new = {kind: cls for kind, cls in choices if cls not in seen}
            seen.update(new.values())
            if new:
                yield Place(path, described, [_entry(path, kind, cls) for kind, cls in new.items()])
            for cls in new.values():
                waiting += [(f"{path}.{name}", below) for name, below in cls.model_fields.items()]


def _entry(path: str, kind: str | None, cls: type[Section]) -> Entry:
    return Entry(path, kind, cls, keys_of(cls))
