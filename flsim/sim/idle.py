"""The idle clients: a set with O(1) insertion, removal and access by index."""

from array import array
from collections.abc import Sequence
from typing import overload

_ABSENT = -1


class IdleSet(Sequence[int]):
    """Client ids in no meaningful, but reproducible order: 8 bytes a client, no objects."""

    def __init__(self, clients: int) -> None:
        self._members = array("i")
        self._position = array("i", [_ABSENT]) * clients

    def add(self, client: int) -> None:
        """Add a client that is not in the set."""
        self._position[client] = len(self._members)
        self._members.append(client)

    def remove(self, client: int) -> None:
        """Remove a client; the last member takes its place. Raises KeyError if it is not in the set."""
        try:
            position = self._position[client] if client >= 0 else _ABSENT
        except (IndexError, TypeError):  # a strategy of the user's own may ask for anything
            position = _ABSENT
        if position == _ABSENT:
            raise KeyError(client)
        last = self._members.pop()
        if last != client:
            self._members[position] = last
            self._position[last] = position
        self._position[client] = _ABSENT

    def __contains__(self, client: object) -> bool:
        return (
            isinstance(client, int)
            and 0 <= client < len(self._position)
            and self._position[client] != _ABSENT
        )

    def __len__(self) -> int:
        return len(self._members)

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[int]: ...
    def __getitem__(self, index: int | slice) -> int | Sequence[int]:
        return self._members[index]
