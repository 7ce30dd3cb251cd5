"""What a scenario can be made of: found by walking the schema, so it is always complete."""

import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from flsim.component import Component, Kinds, Section
from flsim.scenario.distributions import DISTRIBUTIONS, Constant, Varying
from flsim.scenario.scenario import Scenario


@dataclass(frozen=True)
class Place:
    """Where components of one sort stand in a scenario, such as `strategy.staleness`."""

    path: str
    kinds: dict[str, type[Component]]


def catalogue() -> list[Place]:
    """Return every place that takes components, in the order of the scenario file.

    Distributions stand in many places and are listed once, as `distribution`; and what edge servers have,
    as what the server has. A component that takes one of its own sort is not followed into it: what can
    stand there is what can stand in its own place.
    """
    places: dict[str, Place] = {}
    for path, kinds in _walk(Scenario, ""):
        if path.startswith("hierarchy."):
            continue
        places.setdefault(path, Place(path, dict(kinds.classes)))
    places["distribution"] = Place("distribution", dict(DISTRIBUTIONS.classes))
    return list(places.values())


def summary_of(component: type[Component]) -> str:
    """Return the first sentence of a component's documentation."""
    return (component.__doc__ or "").strip().split("\n\n")[0].replace("\n    ", " ")


def parameters_of(component: type[Component]) -> list[str]:
    """Return a component's keys, with their defaults where they have one."""
    return [
        name if field.is_required() else f"{name}={shown_default(field)}"
        for name, field in component.model_fields.items()
        if name != "kind"
    ]


def shown_default(field: FieldInfo) -> str:
    """Return a key's default as a few words."""
    return _shown(field.get_default(call_default_factory=True))


def _shown(default: object) -> str:
    if isinstance(default, Component):
        return f"{default.value:g}" if isinstance(default, Constant) else f"{{kind: {default.kind}}}"
    if isinstance(default, Section):
        return "{…}"
    if isinstance(default, tuple):
        return str(list(default))
    if isinstance(default, float):
        return f"{default:g}"
    return (
        "none" if default is None else str(default).lower() if isinstance(default, bool) else str(default)
    )


def _walk(
    section: type[Section], prefix: str, around: tuple[Kinds, ...] = ()
) -> Iterator[tuple[str, Kinds]]:
    """Yield the paths below a section that take components; `around`: the kinds that it stands in."""
    for name, field in section.model_fields.items():
        path = f"{prefix}{name}"
        for annotation in mentioned_in(field):
            if isinstance(annotation, Kinds) and annotation not in around:
                yield path, annotation
                for component in annotation.classes.values():
                    yield from _walk(component, f"{path}.", (*around, annotation))
            elif is_plain_section(annotation):
                yield from _walk(annotation, f"{path}.", around)


def is_plain_section(annotation: Any) -> bool:
    """Return whether it is a section, and not a component, which is found by its kinds."""
    is_section = isinstance(annotation, type) and issubclass(annotation, Section)
    return is_section and not issubclass(annotation, Component)


def mentioned_in(field: FieldInfo) -> Iterator[Any]:
    """Yield the kinds and the sections that a field's type mentions; of a distribution, nothing."""
    if any(isinstance(metadata, Varying) for metadata in field.metadata):
        return
    yield from (metadata for metadata in field.metadata if isinstance(metadata, Kinds))
    yield from _mentioned(field.annotation)


def _mentioned(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is Annotated:
        base, *metadata = get_args(annotation)
        if not any(isinstance(item, Varying) for item in metadata):
            yield from (item for item in metadata if isinstance(item, Kinds))
            yield from _mentioned(base)
    elif get_origin(annotation) in (Union, types.UnionType, tuple, dict):
        for argument in get_args(annotation):
            yield from _mentioned(argument)
    else:
        yield annotation
