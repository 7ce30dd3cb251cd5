"""Files from outside: what is checked before any of them is read."""

from collections.abc import Collection
from pathlib import Path

from flsim.errors import ScenarioError, nearest

MEBIBYTE = 2**20


def outside_file(path: str, largest_bytes: int, suffixes: Collection[str]) -> Path:
    """Return the path of a regular file of a known kind and a bearable size.

    Raises ScenarioError if it is none.
    """
    source = Path(path)
    if source.suffix.lower() not in suffixes:
        hint = nearest(source.suffix, suffixes)
        raise ScenarioError(f"{path}: expected a file that ends in {' or '.join(suffixes)}{hint}")
    try:
        if not source.is_file():
            raise ScenarioError(f"{path}: {'is no file' if source.exists() else 'there is no such file'}")
        size = source.stat().st_size
    except (OSError, ValueError) as error:
        raise ScenarioError(f"{path}: {error}") from error
    if size > largest_bytes:
        raise ScenarioError(f"{path}: has {size:,} bytes; at most {largest_bytes // MEBIBYTE} MiB are read")
    return source


def shown(text: object) -> str:
    """Return what a file says, in quotes and at a bearable length, for a message."""
    quoted = repr(text)
    return quoted if len(quoted) <= 60 else quoted[:57] + "…'"
