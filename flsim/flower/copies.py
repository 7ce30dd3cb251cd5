"""Copies of what a message carries: nobody changes what somebody else holds.

Arrays' bytes are immutable, and shared.
"""

from collections.abc import MutableMapping
from copy import copy
from typing import Any

from flsim.from_flower import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Context,
    Message,
    Metadata,
    MetricRecord,
    RecordDict,
    make_message,
)


def copy_of_records(records: RecordDict) -> RecordDict:
    """Return records of their own with the same values."""
    return RecordDict({name: _copy(record) for name, record in records.items()})


def _copy(record: ArrayRecord | MetricRecord | ConfigRecord) -> ArrayRecord | MetricRecord | ConfigRecord:
    copied = record.copy()
    entries: MutableMapping[str, Any] = copied
    for name, value in record.items():
        if isinstance(value, Array | list):
            entries[name] = copy(value)
    return copied


def copy_of_message(message: Message) -> Message:
    """Return a message of its own with the same metadata and content."""
    metadata = Metadata(
        **{name[1:]: value for name, value in vars(message.metadata).items() if name[1:] in _KEPT}
    )
    if message.has_error():
        return make_message(metadata, error=message.error)
    return make_message(metadata, content=copy_of_records(message.content))


_KEPT = frozenset(
    (
        *("run_id", "message_id", "src_node_id", "dst_node_id", "reply_to_message_id", "group_id"),
        *("created_at", "ttl", "message_type", "src_task_id", "dst_task_id"),
    )
)


def copy_of_context(context: Context) -> Context:
    """Return a context of its own with the same state."""
    return Context(
        run_id=context.run_id,
        node_id=context.node_id,
        node_config=dict(context.node_config),
        state=copy_of_records(context.state),
        run_config=dict(context.run_config),
    )
