"""`read`, which every source of text implements, and the passages of those who speak in one."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import singledispatch
from typing import NamedTuple

from flsim.errors import ScenarioError
from flsim.scenario.patterns import MOST_LINE
from flsim.scenario.text import TextData


@dataclass(frozen=True)
class Corpus:
    """Texts, and whose each is: their names, in the same order, if anybody is known to have said it.

    A byte that is not UTF-8 is a lone surrogate (`errors="surrogateescape"`), where bytes are asked for.
    """

    texts: tuple[str, ...]
    owner_names: tuple[str, ...] = ()


@singledispatch
def read(dataset: TextData) -> Corpus:
    """Return the texts that a dataset is made from. Raises ScenarioError if they cannot be had."""
    raise ScenarioError(
        f"dataset {dataset.kind}: nothing reads {type(dataset).__name__}; "
        "register a function with flsim.learn.datasets.text.read.register"
    )


def passages(text: str, owner: str) -> dict[str, list[str]]:
    r"""Return what each owner says, by name in the order of their first words.

    `owner`: a pattern whose one group is a name. An owner's words go from the end of a match to the
    next one; those before the first match are nobody's.

    >>> passages("Prologue.\nA: One.\nB: Two.\nA: Three.", r"^(\w): *")
    {'A': ['One.', 'Three.'], 'B': ['Two.']}
    """
    return spoken(text, [Mark(*each.span(), each[1]) for each in re.finditer(owner, text, re.MULTILINE)])


def passages_by_line(text: str, owner: str) -> dict[str, list[str]]:
    r"""Return the same by a pattern that nobody vouches for: its matches are within a line.

    They are within the line's first `MOST_LINE` characters, too, so that each of them takes bounded time.

    >>> passages_by_line("A: One.\nB: Two.", r"^(\w): *")
    {'A': ['One.'], 'B': ['Two.']}
    """
    pattern, marks, start = re.compile(owner, re.MULTILINE), [], 0
    for line in text.split("\n"):
        head = line[:MOST_LINE]
        for match in pattern.finditer(head):
            if match.end() < MOST_LINE or len(line) == MOST_LINE:  # else its end is that of the head
                marks.append(Mark(start + match.start(), start + match.end(), match[1]))
        start += len(line) + 1
    return spoken(text, marks)


class Mark(NamedTuple):
    """Where somebody's words begin: the place of the mark and of its end, and who it is."""

    start: int
    end: int
    name: str | None


def spoken(text: str, marks: Sequence[Mark]) -> dict[str, list[str]]:
    """Return what each owner says, who are told from one another by marks in the order of the text."""
    said: dict[str, list[str]] = {}
    ends = [*(mark.start for mark in marks), len(text)][1:]
    for mark, end in zip(marks, ends, strict=True):
        words = text[mark.end : end].strip("\n")
        if mark.name is not None and words:
            said.setdefault(mark.name.strip(), []).append(words)
    return said
