"""Reads the file that W&B leaves of an offline run, by W&B's own protocol buffers.

The records lie in LevelDB's log format, in blocks of 32 KiB, behind seven bytes of W&B's. A record, or each
of its parts, has a header: checksum (4 bytes), length (2), and whether it is whole (1) or a first (2),
middle (3) or last (4) part. Less than a header at the end of a block is padding.
"""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_BLOCK, _HEADER = 32_768, 7


def _records(content: bytes) -> Iterator[bytes]:
    magic, _ = content[:4], content[4:_HEADER]
    assert magic == b":W&B"
    place, parts = _HEADER, b""
    while place < len(content):
        if _BLOCK - place % _BLOCK < _HEADER:
            place += _BLOCK - place % _BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        place += _HEADER
        parts += content[place : place + length]
        place += length
        if kind in (1, 4):
            yield parts
            parts = b""


def records_in(folder: Path) -> Iterator[bytes]:
    """Yield the records of the run in a folder, not parsed."""
    [path] = folder.glob("wandb/*/*.wandb")
    yield from _records(path.read_bytes())


def read_wandb(folder: Path) -> tuple[list[dict[str, Any]], dict[str, Any], list[str]]:
    """Return the history's rows, the configuration and the kinds of all records of the run in a folder."""
    from wandb.proto.wandb_internal_pb2 import Record

    rows: list[dict[str, Any]] = []
    config: dict[str, Any] = {}
    kinds: list[str] = []
    for data in records_in(folder):
        record = Record.FromString(data)
        kinds.append(record.WhichOneof("record_type"))
        for item in record.run.config.update:
            config[item.key] = json.loads(item.value_json)
        if record.HasField("history"):
            items = record.history.item
            rows.append(
                {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}
            )
    return rows, config, kinds
