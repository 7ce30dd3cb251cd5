"""Regular expressions from a scenario: only those that cannot take for ever.

Python's `re` goes back and tries again, and there are patterns for which it does so exponentially often: a
repetition within a repetition, such as `(a+)+$`, which can part the same text in any number of ways, or a
repeated choice between alternatives that match the same, such as `(a|a)*$`. So a pattern may repeat nothing
that is itself of varying length, and may not refer to a group. What is left can match a text in as many
ways as its choices and lengths multiply to, which is bounded for a text of bounded length (`MOST_LINE`).
"""

import re
from collections.abc import Iterator
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

MOST_CHARACTERS = 500
MOST_LINE = 200
"""So many characters of a line are looked at."""

_MOST_WAYS = 2_000_000
_REPEATS = frozenset({codes.MAX_REPEAT, codes.MIN_REPEAT})
_REFUSED = {
    codes.GROUPREF: "it refers to a group",
    codes.GROUPREF_EXISTS: "it refers to a group",
    codes.ASSERT: "it looks ahead or behind",
    codes.ASSERT_NOT: "it looks ahead or behind",
}


def what_is_wrong(pattern: str) -> str | None:
    """Return why a pattern is not taken; None if it is. Raises re.error for what is none.

    >>> what_is_wrong(r"^([A-Z]+)[.]$")
    >>> what_is_wrong(r"^((a+)+)$")
    'it repeats something that is itself of varying length'
    """
    if len(pattern) > MOST_CHARACTERS:
        return f"it has {len(pattern)} characters; at most {MOST_CHARACTERS}"
    try:
        tree = parser.parse(pattern, re.MULTILINE)
        found = next(_wrong(tree), None)
    except (RecursionError, OverflowError) as error:
        raise re.error(f"nested too deeply, or with too large a number: {error}") from error
    if found is not None:
        return found
    begins_lines = bool(tree) and tree[0] == (codes.AT, codes.AT_BEGINNING)
    if (1 if begins_lines else MOST_LINE) * _ways(tree) > _MOST_WAYS:
        return "it repeats and chooses too often: begin it with ^, and repeat with + and * twice at most"
    return None


def _wrong(tree: Any) -> Iterator[str]:
    for code, argument in tree:
        if code in _REFUSED:
            yield _REFUSED[code]
        if code in _REPEATS and argument[1] > 1 and not _is_plain(argument[2]):
            yield "it repeats something that is itself of varying length"
        for part in _parts(code, argument):
            yield from _wrong(part)


def _ways(tree: Any) -> int:
    """Return in how many ways a pattern can match at a place, at most."""
    ways = 1
    for code, argument in tree:
        if code is codes.BRANCH:
            ways *= sum(map(_ways, argument[1]))
            continue
        if code in _REPEATS:
            ways *= min(int(argument[1]), MOST_LINE) - min(int(argument[0]), MOST_LINE) + 1
        for part in _parts(code, argument):
            ways *= _ways(part)
        if ways > _MOST_WAYS:
            return ways
    return ways


def _is_plain(tree: Any) -> bool:
    """Whether there is one way only in which it can match: no choice, and nothing that is repeated."""
    for code, argument in tree:
        if code is codes.BRANCH or code in _REPEATS or str(code) == "POSSESSIVE_REPEAT":
            return False
        if not all(_is_plain(part) for part in _parts(code, argument)):
            return False
    return True


def _parts(code: Any, argument: Any) -> list[Any]:
    """Return the patterns in an item of a parsed pattern."""
    if code is codes.BRANCH:
        return list(argument[1])
    if code is codes.SUBPATTERN:
        return [argument[3]]
    if code in _REPEATS or str(code) == "POSSESSIVE_REPEAT":
        return [argument[2]]
    return [argument] if str(code) == "ATOMIC_GROUP" else []
