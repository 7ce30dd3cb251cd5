"""What is hashed: JSON in one form only, and chains of hashes."""

import hashlib
import json
from collections.abc import Iterable

from flsim.observe.files import without_nan

GENESIS = "0" * 64
"""What the first record of a chain has for a predecessor."""


def canonical(data: object) -> bytes:
    """Return `data` as JSON in the one form that is hashed: keys sorted, no spaces, UTF-8, NaN as null.

    >>> canonical({"b": 1.50, "a": [None, float("nan")]})
    b'{"a":[null,null],"b":1.5}'
    """
    text = json.dumps(
        without_nan(data), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def sha256(content: bytes) -> str:
    """Return the SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def linked(previous: str, body: str) -> str:
    """Return the hash of a record: of its predecessor's, and of that of what it says. All hexadecimal."""
    return sha256(f"{previous}\n{body}".encode())


def head_of(bodies: Iterable[str], first: str = GENESIS) -> str:
    """Return the hash of the last record of a chain, from the hashes of what its records say.

    >>> head_of([]) == GENESIS
    True
    >>> head_of([sha256(b"one"), sha256(b"two")]) == linked(head_of([sha256(b"one")]), sha256(b"two"))
    True
    """
    previous = first
    for body in bodies:
        previous = linked(previous, body)
    return previous


def brief(content: bytes) -> str:
    """Return 32 bits of the SHA-256: enough to say where a file differs that is known to."""
    return sha256(content)[:8]
