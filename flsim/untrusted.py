"""What nobody vouches for: bytes up to a limit, JSON without surprises, cells that are no formulas."""

import json
import re
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

MEBIBYTE = 2**20
MOST_BYTES = 1024 * MEBIBYTE
_FORMULA = re.compile(r"[=+\-@\t\r]")
_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?(?:inf|nan)")


def content_of(path: Path, most: int | None = MOST_BYTES) -> bytes:
    """Return what a regular file holds. Raises OSError, or ValueError if it has more than `most` bytes.

    So it does for a pipe or a device: reading one may never end. `most`: None for as many as there are,
    where what becomes of them takes no more room than they do.
    """
    facts = path.stat()
    if stat.S_ISDIR(facts.st_mode):
        raise IsADirectoryError(f"{path} is a folder, not a file")
    if not stat.S_ISREG(facts.st_mode):
        raise ValueError("not a regular file")
    with path.open("rb") as file:
        content = file.read(-1 if most is None else most + 1)
    if most is not None and len(content) > most:
        raise ValueError(f"larger than {most / MEBIBYTE:g} MiB")
    return content


def json_of(content: bytes) -> Any:
    """Return what JSON says. Raises ValueError for anything else, and for what is nested too deeply.

    >>> json_of(b'{"a": [1, 2.5, null]}')
    {'a': [1, 2.5, None]}
    """
    try:
        said = json.loads(content)
        # Half a character, which no file can hold: as an escape, as itself, or in UTF-16.
        if b"\\ud" in content or b"\\uD" in content or b"\0" in content or not content.isascii():
            json.dumps(said, ensure_ascii=False).encode()
        return said
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def read_json(path: Path, most: int = MOST_BYTES) -> Any:
    """Return what a JSON file says. Raises OSError, or ValueError for anything but such a file."""
    return json_of(content_of(path, most))


def most_rows(size: int) -> int:
    """Return how many rows a Parquet file of so many bytes may have.

    Repeated values are packed so well that a few kilobytes may stand for any number of rows. A row of
    records says something of its own, such as an instant, which takes room.
    """
    return 250_000 + 4 * size


def most_unpacked(size: int) -> int:
    """Return how many bytes the columns of a Parquet file of so many bytes may unpack to."""
    return 128 * MEBIBYTE + 256 * size


def is_number(value: object) -> bool:
    """Whether a value from JSON is a finite number that a float holds; a boolean is none.

    >>> is_number(2.5), is_number(True), is_number(float("inf")), is_number(10**400)
    (True, False, False, False)
    """
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1e300


def is_count(value: object) -> bool:
    """Whether a value from JSON is a whole number, not negative, that 64 bits hold.

    >>> is_count(3), is_count(3.0), is_count(-1), is_count(2**63)
    (True, False, False, False)
    """
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def harmless(cell: object) -> object:
    """Return a cell of a CSV file that no spreadsheet takes for a formula (OWASP, "CSV Injection").

    Text that begins with =, +, -, @, a tab or a carriage return gets an apostrophe in front, unless it is
    a number.

    >>> harmless("=1+1"), harmless("-x"), harmless("-0.5"), harmless(-2), harmless("plain")
    ("'=1+1", "'-x", '-0.5', -2, 'plain')
    """
    if isinstance(cell, str) and _FORMULA.match(cell) and not _NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


def harmless_row(cells: Iterable[object]) -> list[object]:
    """Return a row of harmless cells."""
    return [harmless(cell) for cell in cells]
