"""What messages take on the wire: the bytes of their serialised form."""

from flsim.from_flower import Message, RecordDict, make_message, message_to_proto, recorddict_to_proto


def records_bytes(records: RecordDict) -> int:
    """Return the size of serialised records."""
    return int(recorddict_to_proto(records).ByteSize())


def message_bytes(message: Message, content_bytes: int | None = None) -> int:
    """Return the size of a serialised message. `content_bytes`: that of its content, if it is known."""
    if message.has_error():
        return int(message_to_proto(message).ByteSize())
    if content_bytes is None:
        content_bytes = records_bytes(message.content)
    empty = make_message(message.metadata, content=RecordDict())
    shell = int(message_to_proto(empty).ByteSize())
    return shell + content_bytes + len_bytes(content_bytes) - 1  # the empty content's length takes a byte


def len_bytes(size: int) -> int:
    """Return how many bytes protobuf's varint of a size takes.

    >>> [len_bytes(size) for size in (0, 127, 128, 16_383, 16_384)]
    [1, 1, 2, 2, 3]
    """
    return max(1, (size.bit_length() + 6) // 7)
