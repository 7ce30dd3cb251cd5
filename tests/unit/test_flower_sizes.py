"""The size of a message is that of its serialised form, however large its content is."""

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.common.serde import message_to_proto

from flsim.flower.copies import copy_of_message, copy_of_records
from flsim.flower.sizes import message_bytes, records_bytes
from flsim.from_flower import identified


def _message(content: RecordDict) -> Message:
    with identified(run_id=7, node_id=1):
        return Message(content, 1_000_000_003, "train", group_id="4", ttl=12.5)


@pytest.mark.parametrize("values", [0, 1, 5, 9, 10, 2000, 2030, 2040, 300_000])
def test_a_message_takes_its_serialised_form(values: int) -> None:
    arrays = ArrayRecord({"w": Array(np.ones(values))}) if values else ArrayRecord()
    message = _message(RecordDict({"arrays": arrays, "config": ConfigRecord({"round": 3})}))
    size = message_to_proto(message).ByteSize()
    assert message_bytes(message) == size == len(message_to_proto(message).SerializeToString())
    assert message_bytes(message, records_bytes(message.content)) == size


def test_an_error_takes_its_serialised_form() -> None:
    with identified(run_id=7, node_id=1):
        error = Message(Error(2, "no data"), reply_to=_message(RecordDict()))
    assert message_bytes(error) == len(message_to_proto(error).SerializeToString())


def test_a_copy_is_equal_and_nobodys_else() -> None:
    records = RecordDict({"arrays": ArrayRecord({"w": Array(np.ones(3))})})
    records["numbers"] = MetricRecord({"loss": [1.0, 2.0], "n": 3})
    records["config"] = ConfigRecord({"names": ["a"], "key": b"1"})
    message = _message(records)
    copied = copy_of_message(message)
    assert copied.content == records
    assert vars(copied.metadata) == vars(message.metadata)
    copied.content["numbers"]["loss"].append(3.0)
    copied.content["config"]["names"].append("b")
    del copied.content["arrays"]["w"]
    assert copy_of_records(records) == records
    assert records["numbers"] == MetricRecord({"loss": [1.0, 2.0], "n": 3})
    assert list(records["arrays"]) == ["w"]
