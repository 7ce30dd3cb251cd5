"""The keys of sections and components: what each takes, and what it means, as far as the schema says."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from flsim.component import Component, Kinds, Section
from flsim.scenario.catalogue import mentioned_in, shown_default
from flsim.scenario.distributions import Varying
from flsim.scenario.scenario import Scenario
from flsim.units import Dimension


@dataclass(frozen=True)
class Key:
    """A key of a section. `default` is None where there is none, so that it must be given."""

    name: str
    takes: str
    default: str | None
    meaning: str


def keys_of(section: type[Section]) -> list[Key]:
    """Return the keys of a section besides its kind."""
    schema = section.model_json_schema()
    definitions: Mapping[str, Any] = schema.get("$defs", {})
    if "$ref" in schema:  # it can stand within itself
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    described: Mapping[str, Any] = schema.get("properties", {})
    keys = []
    for name, field in section.model_fields.items():
        if name == "kind":
            continue
        takes = _takes(described.get(name, {}), definitions, field)
        default = None if field.is_required() else shown_default(field)
        keys.append(Key(name, takes, default, _meaning(section, name)))
    return keys


def _takes(schema: Mapping[str, Any], definitions: Mapping[str, Any], field: FieldInfo) -> str:
    """Return in words what a key takes: numbers with their bounds, units, kinds of components."""
    kinds = [each for each in mentioned_in(field) if isinstance(each, Kinds)]
    words: list[str] = []
    if kinds:
        words = [f"a mapping with a kind: {', '.join(kinds[0].classes)}"]
    elif (varying := _varying(field)) is not None:
        words = [f"{varying.phrase} or a distribution of it (bare numbers are in {varying.base})"]
    if not words:
        return " or ".join(dict.fromkeys(_words(schema, definitions)))
    may_be_none = any(part.get("type") == "null" for part in schema.get("anyOf", []))
    return " or ".join([*words, *(["none"] if may_be_none else [])])


def _varying(field: FieldInfo) -> Dimension | None:
    """Return the dimension of a key that takes distributions; None if it does not."""
    found = [each for each in [*field.metadata, *_nested(field.annotation)] if isinstance(each, Varying)]
    return found[0].dimension if found else None


def _nested(annotation: Any) -> Iterator[Any]:
    """Yield what annotates the members of a union."""
    for argument in get_args(annotation):
        yield from getattr(argument, "__metadata__", ())


def _words(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Iterator[str]:
    if "$ref" in schema:
        yield from _words(definitions[schema["$ref"].rpartition("/")[2]], definitions)
        return
    description = schema.get("description", "")
    if "bare number is in" in description:
        phrase, _, unit = description.partition("; units")[0].partition("; a bare number is in ")
        yield f"{phrase} (bare numbers are in {unit})"
    elif "anyOf" in schema or "oneOf" in schema:
        for part in [*schema.get("anyOf", []), *schema.get("oneOf", [])]:
            yield from _words(part, definitions)
    elif "const" in schema or "enum" in schema:
        yield ", ".join(map(str, schema.get("enum", [schema.get("const")])))
    else:
        yield _plain(schema, definitions)


_NAMES = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true, false",
    "null": "none",
    "array": "a list",
    "object": "a mapping",
}


def _plain(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    name = _NAMES.get(str(schema.get("type")), "anything")
    if properties := schema.get("properties"):
        return f"{name} of: {', '.join(properties)}"
    if schema.get("type") == "array" and (items := schema.get("items")):
        return f"a list of: {' or '.join(dict.fromkeys(_words(items, definitions)))}"
    low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    high, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    bounds = [
        f"{word} {bound:g}"
        for word, bound in (("from", low), ("above", above), ("to", high), ("below", below))
        if bound is not None
    ]
    return " ".join([name, *bounds])


def _meaning(section: type[Section], name: str) -> str:
    """Return the sentences of the documentation, the class's own or one above it, that name the key."""
    for each in section.__mro__:
        if each in (Section, Component) or not issubclass(each, Section):
            continue
        text = " ".join((each.__doc__ or "").split())
        # A sentence ends with a stop and a space, and the next one begins like one.
        sentences = re.split(r"(?<=\.)\s+(?=[A-Z`])", text)
        if told := [sentence for sentence in sentences if re.search(rf"`{name}\b", sentence)]:
            return " ".join(told)
    return ""


def keys_beginning(text: str) -> list[str]:
    """Return the key paths that `text` can go on to, one level deep, or a key with each of its words.

    A path that goes on ends in a dot, one that takes a value in `=`.

    >>> keys_beginning("strategy.coh"), keys_beginning("strategy.kind=fedb")
    (['strategy.cohort='], ['strategy.kind=fedbuff'])
    """
    path, equals, begun = text.partition("=")
    *parents, last = path.split(".")
    sections: list[type[Section]] = [Scenario]
    for name in parents:
        sections = [below for section in sections for below in _below(section, name)]
    start = "".join(f"{name}." for name in parents)
    if equals:
        words = dict.fromkeys(word for section in sections for word in _values(section, last))
        return [f"{path}={word}" for word in words if word.startswith(begun)]
    names = dict.fromkeys(name for section in sections for name in section.model_fields)
    return [
        f"{start}{name}{'.' if any(_below(section, name) for section in sections) else '='}"
        for name in names
        if name.startswith(last)
    ]


def _below(section: type[Section], name: str) -> list[type[Section]]:
    """Return the sections that can stand at a key."""
    if (field := section.model_fields.get(name)) is None:
        return []
    found: list[type[Section]] = []
    for each in mentioned_in(field):
        if isinstance(each, Kinds):
            found += each.classes.values()
        elif isinstance(each, type) and issubclass(each, Section) and not issubclass(each, Component):
            found.append(each)
    return found


def _values(section: type[Section], name: str) -> list[str]:
    """Return the words that a key takes: kinds, true and false, and those that are written out."""
    if (field := section.model_fields.get(name)) is None:
        return []
    return list(_literals(field.annotation))


def _literals(annotation: Any) -> Iterator[str]:
    if annotation is bool:
        yield from ("true", "false")
    elif get_origin(annotation) is Literal:
        yield from (str(word) for word in get_args(annotation) if isinstance(word, str))
    else:
        for argument in get_args(annotation):
            yield from _literals(argument)
