"""Which global models a Flower app has had: its versions.

A strategy says so itself, when it has aggregated. An app without one is judged by what it sends: arrays
that nobody was sent before, after it has collected updates, are a new version that is made of these.
"""

import hashlib
from collections.abc import Mapping

from flsim.from_flower import ArrayRecord, RecordDict
from flsim.messages import Event, Made


class Versions:
    """Owns the numbers of the versions, and the updates that were collected since the last one."""

    def __init__(self) -> None:
        self.current = 0
        """The number of the current version."""
        self.used = 0
        """How many updates went into all of them."""
        self._known: dict[str, int] = {}  # by hash
        self._is_told = False  # by a strategy
        self._collected: list[int] = []
        self._events: list[Event] = []
        self._tested_by_server = -1

    def events(self) -> list[Event]:
        """Return what has happened since this was last asked."""
        events, self._events = self._events, []
        return events

    def began(self, arrays: ArrayRecord) -> None:
        """A strategy begins with these arrays."""
        if not self._known:
            self._make(_sha256_of({"": arrays}), {})

    def collected(self, number: int) -> None:
        """The app has taken an update."""
        self._collected.append(number)

    def refused(self, number: int) -> None:
        """An update cannot be used."""
        if number in self._collected:
            self._collected.remove(number)

    def aggregated(self, arrays: ArrayRecord | None, used: Mapping[int, float | None] | None) -> None:
        """A strategy has aggregated: `used`, or all updates since the last time. None: it has no arrays."""
        self._is_told = True
        if arrays is not None:
            self._make(_sha256_of({"": arrays}), dict.fromkeys(self._collected) if used is None else used)
        self._collected = []

    def carried(self, records: RecordDict) -> int:
        """Return the version that a message carries: the current one if it is of no other."""
        if not (arrays := dict(records.array_records)):
            return self.current
        sha256 = _sha256_of({"": next(iter(arrays.values()))} if len(arrays) == 1 else arrays)
        if (version := self._known.get(sha256)) is not None:
            return version
        if not self._known or (self._collected and not self._is_told):
            self._make(sha256, dict.fromkeys(self._collected))
            self._collected = []
        return self.current

    def tested(self, *, by_server: bool) -> bool:
        """The current version was tested. Return whether it counts: the server's own test is the better."""
        if by_server:
            self._tested_by_server = self.current
        return by_server or self._tested_by_server != self.current

    def _make(self, sha256: str, used: Mapping[int, float | None]) -> None:
        if self._known:
            self.current += 1
        self._known[sha256] = self.current
        self.used += len(used)
        self._events.append(Made(self.current, sha256, used))


def _sha256_of(arrays: Mapping[str, ArrayRecord]) -> str:
    """Return the hash of arrays: names, types, shapes and values."""
    digest = hashlib.sha256()
    for name, record in arrays.items():
        digest.update(name.encode() + b"\0")
        for key, array in record.items():
            digest.update(f"{key}\0{array.dtype}\0{tuple(array.shape)}\0{len(array.data)}\0".encode())
            digest.update(array.data)
    return digest.hexdigest()
