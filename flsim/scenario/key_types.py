"""What may stand at a key of a scenario, in words: read off the type of its field."""

import types
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from flsim.component import Component, Kinds, Section
from flsim.quantities import Quantity
from flsim.scenario.distributions import DISTRIBUTIONS, Constant, Varying
from flsim.units import Dimension

Word = str | type[Section] | Kinds
"""Text, or something that is described in a place of its own: a section, or components."""

_BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
_PLAIN = {int: "whole number", float: "number", str: "text", bool: "`true` or `false`"}


def words_of(field: FieldInfo) -> tuple[Word, ...]:
    """Return what a field accepts.

    >>> words_of(FieldInfo.from_annotation(int | Literal["all"]))
    ('whole number', ', or ', '`all`')
    """
    return tuple(_words(field.annotation, field.metadata))


def default_of(field: FieldInfo) -> str | None:
    """Return what holds where a key is not given, as a scenario would say it; None if it must be given."""
    if field.is_required():
        return None
    return _shown(field.get_default(call_default_factory=True), _dimension(field))


def _words(annotation: Any, metadata: Sequence[object]) -> Iterator[Word]:
    if get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        metadata = (*more, *metadata)
    for item in metadata:
        if isinstance(item, Kinds):
            yield from ("a kind of ", item)
            return
        if isinstance(item, Varying):
            yield from (_quantity(item.dimension, positive=item.positive), ", or a ", DISTRIBUTIONS)
            return
        if isinstance(item, Quantity):
            yield _quantity(item.dimension, positive=item.positive)
            return
    yield from _plain(annotation)
    yield from _limits(metadata)


def _quantity(dimension: Dimension, *, positive: bool) -> str:
    return f"{dimension.name} in {dimension.base}, {'>' if positive else '≥'} 0"


def _plain(annotation: Any) -> Iterator[Word]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        yield ", ".join(f"`{choice}`" for choice in arguments)
    elif origin in (Union, types.UnionType):
        given = [each for each in arguments if each is not types.NoneType]
        for index, each in enumerate(given):
            yield from (*([", or "] if index else []), *_words(each, ()))
    elif origin is list or (origin is tuple and arguments[-1] is Ellipsis):
        yield from ("list; each: ", *_words(arguments[0], ()))
    elif origin is tuple:
        yield f"list of {len(arguments)}: "
        for index, each in enumerate(arguments):
            yield from (*([", "] if index else []), *_words(each, ()))
    elif origin is dict:
        yield from ("mapping; each: ", *_words(arguments[1], ()))
    elif isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    else:
        yield _PLAIN.get(annotation, "anything")


def _limits(metadata: Sequence[object]) -> Iterator[str]:
    flat = [each for item in metadata for each in getattr(item, "metadata", [item])]
    bounds = [
        f"{sign} {_bound(getattr(item, name))}"
        for item in flat
        for name, sign in _BOUNDS.items()
        if getattr(item, name, None) is not None
    ]
    if bounds:
        yield ", " + " and ".join(bounds)
    for item in flat:
        if (length := getattr(item, "min_length", None)) is not None and length > 1:
            yield f", at least {length}"


def _bound(value: float) -> str:
    if isinstance(value, int) and value.bit_count() == 1 and value > 10**9:
        return f"2^{value.bit_length() - 1}"
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _dimension(field: FieldInfo) -> Dimension | None:
    """Return the dimension of a field that holds a quantity, one that may vary, or none."""
    for item in _flat(field.annotation, field.metadata):
        if isinstance(item, Quantity | Varying):
            return item.dimension
    return None


def _flat(annotation: Any, metadata: Sequence[object]) -> Iterator[object]:
    yield from metadata
    if get_origin(annotation) is Annotated:
        yield from get_args(annotation)[1:]
    elif get_origin(annotation) in (Union, types.UnionType):
        for each in get_args(annotation):
            yield from _flat(each, ())


def _shown(value: object, dimension: Dimension | None) -> str:
    if isinstance(value, Constant):
        return _shown(value.value, dimension)
    if isinstance(value, Section):
        given = [f"kind: {value.kind}"] if isinstance(value, Component) else []
        given += [
            f"{name}: {_shown(getattr(value, name), None)}"
            for name, field in type(value).model_fields.items()
            if name != "kind" and getattr(value, name) != field.get_default(call_default_factory=True)
        ]
        return "{" + ", ".join(given) + "}"
    if isinstance(value, tuple):
        return "[" + ", ".join(_shown(each, None) for each in value) + "]"
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}" if dimension is None else dimension.format(value)
    return str(value)
