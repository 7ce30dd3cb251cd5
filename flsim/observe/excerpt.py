"""The part of a run that somebody wants to see: some of its clients, and a stretch of its time."""

import math
import re
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute

_RANGE = re.compile(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?")
_MOST_IDS = 12  # digits of a client's id: what is longer is no client of any fleet


@dataclass(frozen=True)
class Excerpt:
    """Clients and virtual seconds; by default everything.

    clients: ranges of ids, both ends included; None for everybody. What overlaps the stretch from `from_s`
    to `until_s` is in it whole, so that no span is shortened; an instant is in it at both of its ends, too.
    """

    clients: tuple[tuple[int, int], ...] | None = None
    from_s: float = 0.0
    until_s: float = math.inf

    def __post_init__(self) -> None:
        if not 0.0 <= self.from_s < self.until_s:
            raise ValueError("the stretch of time must begin at zero or later, and end after it begins")

    @classmethod
    def of(cls, clients: str | None, from_s: float | None, until_s: float | None) -> Self:
        """Return the excerpt of what a user said, such as the clients `0-9,17`.

        Raises ValueError with the reason if it makes no sense.
        """
        ranges = None if clients is None else tuple(_range(part) for part in clients.split(","))
        return cls(ranges, 0.0 if from_s is None else from_s, math.inf if until_s is None else until_s)

    @property
    def is_everything(self) -> bool:
        """Whether nothing is left out."""
        return self == EVERYTHING

    def spans(self, rows: pa.Table, start: str, end: str) -> pa.Table:
        """Return the rows of these clients that overlap the stretch. `end` may be null: it is not over."""
        return self.overlapping(rows.filter(self._of_clients(rows["client"])), start, end)

    def overlapping(self, rows: pa.Table, start: str, end: str) -> pa.Table:
        """Return the rows that overlap the stretch, whoever's they are."""
        not_over = compute.fill_null(compute.greater_equal(rows[end], self.from_s), True)
        return rows.filter(compute.and_(compute.less_equal(rows[start], self.until_s), not_over))

    def __contains__(self, second: float) -> bool:
        return self.from_s <= second <= self.until_s

    def told(self) -> str:
        """Say what the excerpt is of, for the reader of a file."""
        parts = []
        if self.clients is not None:
            ranges = (f"{first}" if first == last else f"{first}-{last}" for first, last in self.clients)
            parts.append(f"clients {','.join(ranges)}")
        if self.from_s > 0 or self.until_s < math.inf:
            until = "the end" if self.until_s == math.inf else f"{self.until_s:g} s"
            parts.append(f"what overlaps {self.from_s:g} s to {until}")
        return ", ".join(parts)

    def _of_clients(self, ids: pa.ChunkedArray) -> pa.Array:
        numbers = ids.to_numpy()
        if self.clients is None:
            return pa.array(np.ones(len(numbers), dtype=np.bool_))
        inside = np.zeros(len(numbers), dtype=np.bool_)
        for first, last in self.clients:
            inside |= (numbers >= first) & (numbers <= last)
        return pa.array(inside)


EVERYTHING = Excerpt()


def _range(text: str) -> tuple[int, int]:
    match = _RANGE.fullmatch(text)
    if match is None or max(map(len, filter(None, match.groups()))) > _MOST_IDS:
        raise ValueError(f"'{text}' is neither a client's number nor a range of them, such as 0-9")
    first = int(match[1])
    last = first if match[2] is None else int(match[2])
    if last < first:
        raise ValueError(f"the range {text.strip()} ends before it begins")
    return first, last
