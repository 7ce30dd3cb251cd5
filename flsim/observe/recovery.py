"""What a journal's file has of a run that was killed: rows, and what is no row."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from flsim.errors import RunError
from flsim.observe.blocks import JOURNAL, batch_of, with_words
from flsim.observe.framed import FrameAt, Frames, read_frames
from flsim.untrusted import json_of

_log = logging.getLogger(__name__)


@dataclass
class Recovered:
    """What is whole of a journal. `notes`: name, data and frame of each entry that is no row, in order."""

    frames: Frames
    rows: dict[str, list[pa.RecordBatch]] = field(default_factory=dict)
    notes: list[tuple[str, Any, FrameAt]] = field(default_factory=list)

    def table(self, name: str) -> pa.Table:
        """Return the rows of a table that has some."""
        return pa.Table.from_batches(self.rows[name])


def recover(path: Path, *, with_rows: bool = True) -> Recovered:
    """Return what is whole of the journal at `path`. Raises RunError if that cannot be read at all.

    The hashes of its frames tell of damage and not of who wrote them: what is in them is checked.
    """
    found = Recovered(read_frames(path))
    schemas: dict[str, pa.Schema] = {}
    try:
        for frame, (name, body) in zip(found.frames.whole, found.frames.bodies(), strict=True):
            if name == "schema":
                schemas[body[:16].rstrip(b"\0").decode()] = pa.ipc.read_schema(pa.py_buffer(body[16:]))
            elif name not in schemas:
                found.notes.append((name, json_of(body), frame))
            elif with_rows:
                found.rows.setdefault(name, []).append(with_words(batch_of(body, schemas[name])))
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise RunError(f"{path} is not a journal of this flsim: {error}") from error
    return found


def recovered_rows(folder: Path) -> dict[str, pa.Table]:
    """Return the tables in the journal of a run that has not come to its end, and say so in the log."""
    found = recover(folder / JOURNAL)
    damage = "" if found.frames.damage is None else f" {found.frames.damage}."
    _log.warning(
        "%s: the run has not come to its end. Its tables are those of %s.%s", folder, JOURNAL, damage
    )
    return {name: found.table(name) for name in found.rows}
