"""The one folder in which inputs lie while they are read. Nothing may be written anywhere else."""

import tempfile
from functools import cache
from pathlib import Path


@cache
def _kept() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="flsim-fuzz-")


def folder() -> Path:
    """Return the folder, which is gone when the process ends."""
    return Path(_kept().name)


def placed(name: str, content: bytes) -> Path:
    """Put an input at a path below the folder, and return where."""
    path = folder() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
