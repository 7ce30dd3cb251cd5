"""Reads the file that W&B leaves of an offline run, by W&B's own reader and protocol buffers.

Releases from 0.30 on have the reader in their binary only; the file is the same.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def records_in(folder: Path) -> Iterator[bytes]:
    """Yield the records of the run in a folder, not parsed."""
    from wandb.sdk.internal.datastore import DataStore

    [path] = folder.glob("wandb/*/*.wandb")
    store = DataStore()
    store.open_for_scan(str(path))
    while (data := store.scan_data()) is not None:
        yield data
    store.close()


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
