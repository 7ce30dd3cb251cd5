"""Journals as lists of frames, and back: changed ones get hashes that fit, as whoever knows how can.

Written from the format's description in `flsim.observe.framed`, and not with its code.
"""

import hashlib
from collections.abc import Sequence

MAGIC = b"flsim journal 1\n"
_DIGEST = 32

Frame = tuple[bytes, bytes]
"""A name, filled up with zeros to sixteen bytes, and a body."""


def frames_in(content: bytes) -> list[Frame]:
    """Return the frames of a journal as far as their lengths fit; their hashes are passed over."""
    frames, place = [], len(MAGIC)
    while place + 24 <= len(content):
        length = int.from_bytes(content[place : place + 8], "little")
        start = place + 24
        if start + length + _DIGEST > len(content):
            break
        frames.append((content[place + 8 : start], content[start : start + length]))
        place = start + length + _DIGEST
    return frames


def journal_of(frames: Sequence[Frame]) -> bytes:
    """Return a journal of these frames, whose chain of hashes holds."""
    digest, parts = hashlib.sha256(MAGIC).digest(), [MAGIC]
    for name, body in frames:
        head = len(body).to_bytes(8, "little") + name[:16].ljust(16, b"\0")
        digest = hashlib.sha256(digest + head + body).digest()
        parts += [head, body, digest]
    return b"".join(parts)
