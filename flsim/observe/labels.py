"""What to call the values of a key that varies among runs."""

import json
from collections.abc import Mapping, Sequence
from typing import Any


def labels(values: Sequence[str]) -> tuple[str, ...]:
    """Return what to call the values of a key, which sweep.csv has as JSON or as text.

    A component goes by its kind, and by its keys as well if the kind stands there more than once.

    >>> labels(["", "0.5", '{"kind": "alie", "z": 1.5}', '{"kind": "alie"}', '{"kind": "krum", "f": 2}'])
    ('none', '0.5', 'alie, z 1.5', 'alie', 'krum')
    """
    data = [_parsed(value) for value in values]
    kinds = [each.get("kind") if isinstance(each, dict) else None for each in data]
    return tuple(
        str(kind) if kind is not None and kinds.count(kind) == 1 else _label(each)
        for kind, each in zip(kinds, data, strict=True)
    )


def _parsed(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def _label(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(
            _label(item) if key == "kind" else f"{key} {_label(item)}" for key, item in value.items()
        )
    if isinstance(value, list):
        return f"[{', '.join(map(_label, value))}]"
    if isinstance(value, str):
        return value or "none"
    return json.dumps(value)


_NOT_A_METHOD = {"name", "seed", "output", "tracking", "governance", "checkpoint"}


def method_labels(scenarios: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what tells each scenario from the others, besides its seed and its files; "all" if nothing.

    Of components of different kinds the kinds are named, and keys only where they differ within a kind.

    >>> sync, one = {"kind": "sync", "cohort": 5}, {"kind": "fedbuff", "buffer_size": 1}
    >>> method_labels([{"strategy": s, "seed": 1} for s in (sync, one, one | {"buffer_size": 2})])
    ['sync', 'fedbuff, buffer_size 1', 'fedbuff, buffer_size 2']
    """
    kept = [{key: each[key] for key in each if key not in _NOT_A_METHOD} for each in scenarios]
    return [label or "all" for label in _differences(kept)]


def _differences(data: Sequence[Any]) -> list[str]:
    """Return what tells each value from the others; nothing where they are all the same."""
    if all(each == data[0] for each in data):
        return ["" for _ in data]
    groups = [_group(each) for each in data]
    if len(set(groups)) == 1:
        return _by_keys(data)
    found = [""] * len(data)
    for group in dict.fromkeys(groups):
        places = [place for place, each in enumerate(groups) if each == group]
        for place, label in zip(places, _differences([data[place] for place in places]), strict=True):
            found[place] = ", ".join(part for part in (group, label) if part)
    return found


def _group(value: Any) -> str:
    """Return what values have in common that are compared key by key: a kind. Others are alone."""
    if isinstance(value, dict):
        return str(value.get("kind", ""))
    return "none" if value is None else _label(value)


def _by_keys(data: Sequence[Mapping[str, Any]]) -> list[str]:
    found: list[list[str]] = [[] for _ in data]
    for key in dict.fromkeys(key for each in data for key in each):
        values = [each.get(key) for each in data]
        kinds = [value.get("kind") if isinstance(value, dict) else None for value in values]
        # Components of several kinds need no key: their kinds say what they are.
        prefix = "" if None not in kinds and len(set(kinds)) > 1 else f"{key} "
        for parts, label in zip(found, _differences(values), strict=True):
            parts += [f"{prefix}{label}"] if label else []
    return [", ".join(parts) for parts in found]
