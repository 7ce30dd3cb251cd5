"""Tracker `tensorboard`: an event file in `tensorboard/`, by TensorBoard's protocol buffers, without torch.

Its step is the version and its wall time is virtual time, so the axis "relative" of TensorBoard is virtual
time. Values are tensors in double precision: nothing is rounded. The same run gives the same bytes.
"""

import shutil
from typing import Any, BinaryIO

import yaml

from flsim.observe.folder import below
from flsim.observe.trackers.writer import Finished, Point, Told

FOLDER = "tensorboard"
FILE = "events.out.tfevents.0.flsim"  # the name has to have `tfevents` in it


class EventFile:
    """Writes the event file of one run."""

    _file: BinaryIO

    def start(self, told: Told, mark: str) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder = below(told.folder, FOLDER)
        if not mark:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        self._file = (folder / FILE).open("r+b" if mark else "xb")
        self._records = RecordWriter(self._file)
        if mark:
            self._file.truncate(int(mark))
            self._file.seek(int(mark))
        else:
            self._add(Event(file_version="brain.Event:2"))
            text = yaml.safe_dump(dict(told.scenario), sort_keys=False, allow_unicode=True)
            indented = "".join(f"    {line}\n" for line in text.splitlines())  # Markdown: as it is
            self._add(Event(summary=_text("scenario", indented)))

    def mark(self) -> str:
        self._file.flush()
        return str(self._file.tell())

    def write(self, point: Point) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [_scalar(name, value) for name, value in point.metrics.items()]
        if values:
            self._add(Event(step=point.version, wall_time=point.time_s, summary=Summary(value=values)))

    def finish(self, finished: Finished | None) -> None:
        self._file.close()

    def _add(self, event: Any) -> None:
        self._records.write(event.SerializeToString(deterministic=True))
        self._records.flush()


def _scalar(name: str, value: float) -> Any:
    """Return a number for TensorBoard's plugin of scalars."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
    from tensorboard.compat.proto.types_pb2 import DT_DOUBLE
    from tensorboard.plugins.scalar.metadata import create_summary_metadata

    tensor = TensorProto(dtype=DT_DOUBLE, tensor_shape=TensorShapeProto(), double_val=[value])
    kind = create_summary_metadata(display_name="", description="")
    return Summary.Value(tag=name, metadata=kind, tensor=tensor)


def _text(name: str, text: str) -> Any:
    """Return a text in Markdown for TensorBoard's plugin of texts."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
    from tensorboard.compat.proto.types_pb2 import DT_STRING
    from tensorboard.plugins.text.metadata import create_summary_metadata

    tensor = TensorProto(dtype=DT_STRING, tensor_shape=TensorShapeProto(), string_val=[text.encode()])
    kind = create_summary_metadata(display_name="", description="The scenario, resolved.")
    return Summary(value=[Summary.Value(tag=name, metadata=kind, tensor=tensor)])
