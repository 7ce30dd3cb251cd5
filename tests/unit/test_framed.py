"""The file of the journal: what is whole is read, what is not is named, and the format is as described."""

import errno
import hashlib
import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flsim.errors import RunError
from flsim.observe import framed
from flsim.observe.framed import FrameWriter, read_frames

CONTENT = [("run", b"{}"), ("tasks", b"x" * 300), ("answers", b""), ("tasks", b"more")]


def written(path: Path, content: list[tuple[str, bytes]]) -> Path:
    with FrameWriter(path) as writer:
        for name, body in content:
            writer.write(name, body)
    return path


def as_described(content: list[tuple[str, bytes]]) -> bytes:
    """Return the bytes of a file by the description alone."""
    whole = b"flsim journal 1\n"
    digest = hashlib.sha256(whole).digest()
    for name, body in content:
        frame = struct.pack("<Q", len(body)) + name.encode() + bytes(16 - len(name)) + body
        digest = hashlib.sha256(digest + frame).digest()
        whole += frame + digest
    return whole


def test_the_file_is_as_described(tmp_path):
    path = written(tmp_path / "journal", CONTENT)
    assert path.read_bytes() == as_described(CONTENT)
    found = read_frames(path)
    assert list(found.bodies()) == CONTENT
    assert found.damage is None
    assert found.end == path.stat().st_size


def ends() -> list[int]:
    return [len(as_described(CONTENT[:count])) for count in range(len(CONTENT) + 1)]


def test_a_torn_file_has_its_whole_frames(tmp_path):
    path = written(tmp_path / "journal", CONTENT)
    for size in range(len(as_described(CONTENT)) - 1, 15, -1):
        os.truncate(path, size)
        whole = sum(end <= size for end in ends()) - 1
        found = read_frames(path)
        assert list(found.bodies()) == CONTENT[:whole]
        if size in ends():
            assert found.damage is None
        else:
            told = "1 frame is whole" if whole == 1 else f"{whole} frames are whole"
            assert found.damage == f"journal: frame {whole + 1} is torn after byte {size}; {told}"


@given(place=st.integers(16, len(as_described(CONTENT)) - 1), bit=st.integers(0, 7))
def test_every_flipped_bit_is_found_and_placed(tmp_path_factory, place, bit):
    path = tmp_path_factory.mktemp("flipped") / "journal"
    content = bytearray(as_described(CONTENT))
    content[place] ^= 1 << bit
    path.write_bytes(content)
    found = read_frames(path)
    whole = sum(end <= place for end in ends()) - 1
    assert list(found.bodies()) == CONTENT[:whole]
    assert found.damage is not None
    assert f"frame {whole + 1}" in found.damage


def test_frames_that_are_left_out_or_swapped_are_found(tmp_path):
    content, parts = as_described(CONTENT), ends()
    pieces = [content[a:b] for a, b in zip([0, *parts], parts, strict=False)]
    path = tmp_path / "journal"
    path.write_bytes(b"".join(pieces[:2] + pieces[3:]))
    assert len(read_frames(path).whole) == 1
    path.write_bytes(b"".join([pieces[0], pieces[2], pieces[1], *pieces[3:]]))
    assert len(read_frames(path).whole) == 0


@pytest.mark.parametrize("size", [0, 7])
def test_a_file_that_was_cut_off_at_its_start_has_no_frames(tmp_path, size):
    path = written(tmp_path / "journal", CONTENT)
    os.truncate(path, size)
    found = read_frames(path)
    assert list(found.whole) == []
    assert found.damage == f"journal: frame 1 is torn after byte {size}; 0 frames are whole"


@pytest.mark.parametrize("content", [b"PAR1", b"flsim journal 2\n" + bytes(100)])
def test_another_file_is_refused(tmp_path, content):
    path = tmp_path / "journal"
    path.write_bytes(content)
    with pytest.raises(RunError, match="not a journal"):
        read_frames(path)


def test_a_writer_that_goes_on_keeps_what_it_retraces(tmp_path):
    path = written(tmp_path / "journal", CONTENT)
    before = read_frames(path).whole[:2]
    with FrameWriter(path, before) as writer:
        assert writer.retraces
        for each in CONTENT[:2]:
            writer.write(*each)
        assert not writer.retraces
        assert path.read_bytes() == as_described(
            CONTENT
        )  # nothing is cut off before there is something new
        writer.write("tasks", b"other")
    assert path.read_bytes() == as_described([*CONTENT[:2], ("tasks", b"other")])


def test_a_writer_that_stops_early_changes_nothing(tmp_path):
    path = written(tmp_path / "journal", CONTENT)
    with FrameWriter(path, read_frames(path).whole) as writer:
        writer.write(*CONTENT[0])
    assert path.read_bytes() == as_described(CONTENT)


def test_a_run_that_does_not_repeat_itself_is_stopped(tmp_path):
    path = written(tmp_path / "journal", CONTENT)
    with FrameWriter(path, read_frames(path).whole) as writer:
        writer.write(*CONTENT[0])
        with pytest.raises(RunError, match=r"does not repeat itself: frame 2 \(tasks\) differs"):
            writer.write("tasks", b"y" * 300)
    assert path.read_bytes() == as_described(CONTENT)


def test_a_file_has_one_writer(tmp_path):
    with (
        FrameWriter(tmp_path / "journal"),
        pytest.raises(RunError, match="still going on"),
    ):
        FrameWriter(tmp_path / "journal", ())
    FrameWriter(tmp_path / "journal").close()


def test_on_a_full_disk_what_was_whole_stays_whole(tmp_path, monkeypatch):
    path = tmp_path / "journal"
    with FrameWriter(path) as writer:
        writer.write(*CONTENT[0])
        put = os.pwrite

        def full(file: int, content: bytes, place: int) -> int:
            if place > len(as_described(CONTENT[:1])):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return put(file, content[:10], place)

        with monkeypatch.context() as patch:
            patch.setattr(framed.os, "pwrite", full)
            with pytest.raises(RunError, match="No space left on device"):
                writer.write(*CONTENT[1])
        writer.write(*CONTENT[2])  # and nothing comes after what is missing
    assert path.read_bytes() == as_described(CONTENT[:1])


def test_a_frame_that_was_cut_short_by_an_interrupt_is_written_over(tmp_path, monkeypatch):
    path = tmp_path / "journal"
    with FrameWriter(path) as writer:
        put = os.pwrite

        def interrupted(file: int, content: bytes, place: int) -> int:
            put(file, content[:40], place)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(framed.os, "pwrite", interrupted)
            with pytest.raises(KeyboardInterrupt):
                writer.write(*CONTENT[1])
        writer.write(*CONTENT[1])
    assert path.read_bytes() == as_described(CONTENT[1:2])
