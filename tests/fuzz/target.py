"""What is fuzzed: a parser, as a function of bytes that may raise nothing but FlsimError."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

CORPUS = Path(__file__).parent / "corpus"
Form = Literal["text", "json", "table", "bytes", "journal", "state"]


class Target(NamedTuple):
    """A parser. `form`: what structure its inputs have, for those who change them.

    `seeds`: inputs that are made, beside those in the folder of its name in the corpus. `share`: how many
    inputs it gets for each one of a quick target.
    """

    name: str
    parse: Callable[[bytes], None]
    form: Form = "text"
    seeds: Callable[[], list[bytes]] = list
    share: float = 1.0


@cache
def corpus(target: Target) -> tuple[bytes, ...]:
    """Return the inputs to begin with, in the order of their files' names."""
    files = sorted((CORPUS / target.name).glob("*"))
    return (*(path.read_bytes() for path in files), *target.seeds())
