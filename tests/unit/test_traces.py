"""Traces of availability: what the file says comes true, and what it must not say is refused by row."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pa_parquet
import pytest

from flsim.errors import ScenarioError
from flsim.sim.schedules import trace_file
from flsim.sim.schedules.schedule import last_return
from flsim.sim.schedules.trace import Replay
from flsim.sim.schedules.trace_file import read_intervals
from tests.comings import Followed, fleet, follow

HEADER = "client,on_s,off_s\n"


def written(folder: Path, text: str | bytes) -> str:
    path = folder / "trace.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def as_parquet(folder: Path, **columns: Any) -> str:
    path = str(folder / "trace.parquet")
    pa_parquet.write_table(pa.table(columns), path)
    return path


def replayed(path: str, clients: int, until_s: float, period_s: float | None = None) -> Followed:
    return Followed(clients, [Replay(read_intervals(path, period_s), clients, period_s)], until_s)


# Replaying


def test_clients_follow_the_file(tmp_path: Path) -> None:
    """Client numbers need not be 0, 1, 2: fleet client i follows the i-th of them, and round again."""
    path = written(tmp_path, HEADER + "7,0,10\n7,20,30.5\n3,5,6\n")
    of = fleet(5, {"kind": "trace", "file": path})
    followed = follow(of, 1000.0)
    assert followed.start == [False, True, False, True, False]
    three = [(5.0, True), (6.0, False)]
    seven = [(10.0, False), (20.0, True), (30.5, False)]
    assert followed.changes == {0: three, 1: seven, 2: three, 3: seven, 4: three}
    assert followed.overs == [20.0]
    assert all(followed.presence.gone(client) for client in range(5))


def test_rows_and_columns_may_stand_in_any_order(tmp_path: Path) -> None:
    path = written(tmp_path, "off_s,note,client,on_s\n30,x,1,20\n5,y,0,2\n10,z,1,0\n\n")
    intervals = read_intervals(path)
    assert intervals.first.tolist() == [0, 1, 3]
    assert intervals.on_s.tolist() == [2.0, 0.0, 20.0]
    assert intervals.off_s.tolist() == [5.0, 10.0, 30.0]


def test_intervals_that_touch_are_one(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER + "0,20,30\n0,10,20\n0,30,35\n1,35,36\n")
    intervals = read_intervals(path)
    assert intervals.first.tolist() == [0, 1, 2]
    assert intervals.on_s.tolist() == [10.0, 35.0]
    assert intervals.off_s.tolist() == [35.0, 36.0]


def test_a_trace_repeats(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER + "0,2,3\n0,5,9.5\n1,0,1\n")
    followed = replayed(path, 2, 25.0, period_s=10.0)
    ends = [2.0, 3.0, 5.0, 9.5, 12.0, 13.0, 15.0, 19.5, 22.0, 23.0]
    assert followed.changes[0] == [(end, number % 2 == 0) for number, end in enumerate(ends)]
    assert followed.start == [False, True]
    assert followed.changes[1] == [(1.0, False), (10.0, True), (11.0, False), (20.0, True), (21.0, False)]
    assert followed.presence.next_change() == 25.0
    assert followed.overs == []


def test_the_end_of_a_period_joins_its_beginning(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER + "0,0,2\n0,5,6\n0,8,10\n")
    followed = replayed(path, 1, 30.0, period_s=10.0)
    assert followed.start == [True]
    ends = [2.0, 5.0, 6.0, 8.0, 12.0, 15.0, 16.0, 18.0, 22.0, 25.0, 26.0, 28.0]
    assert followed.changes[0] == [(end, number % 2 == 1) for number, end in enumerate(ends)]


def test_an_end_of_a_period_alone_joins_nothing(tmp_path: Path) -> None:
    followed = replayed(written(tmp_path, HEADER + "0,8,10\n1,0,2\n"), 2, 21.0, period_s=10.0)
    assert followed.changes[0] == [(8.0, True), (10.0, False), (18.0, True), (20.0, False)]
    assert followed.changes[1] == [(2.0, False), (10.0, True), (12.0, False), (20.0, True)]


def test_who_is_there_for_the_whole_period_never_leaves(tmp_path: Path) -> None:
    followed = replayed(written(tmp_path, HEADER + "0,0,4\n0,4,10\n"), 3, 100.0, period_s=10.0)
    assert followed.start == [True] * 3
    assert followed.heard == []
    assert followed.presence.next_change() == math.inf


def test_the_last_return_of_a_trace(tmp_path: Path) -> None:
    intervals = read_intervals(written(tmp_path, HEADER + "0,0,50\n1,3,4\n1,8,9\n"))
    assert last_return([Replay(intervals, 2, None)]) == 8.0
    assert last_return([Replay(intervals, 1, None)]) == -math.inf
    assert last_return([Replay(intervals, 2, 60.0)]) == math.inf


def test_gaps_too_small_for_a_late_clock(tmp_path: Path) -> None:
    """After 1e9 periods gap and interval are below the clock's resolution; time still moves on."""
    rows = "0,0,1\n0,1.0000000001,1.0000000002\n"
    replay = Replay(read_intervals(written(tmp_path, HEADER + rows)), 1, 10.0)
    replay.start()
    replay._number[0] = 2 * 10**9
    now = 1e10
    for number in range(6):
        after = replay.after(0, now, number % 2 == 1)
        assert after > now
        now = after


def test_a_parquet_file(tmp_path: Path) -> None:
    path = as_parquet(
        tmp_path,
        off_s=pa.array([4, 9], type=pa.int32()),
        client=pa.array([5, 5], type=pa.uint8()),
        on_s=pa.array([1.5, 6.5], type=pa.float32()),
    )
    intervals = read_intervals(path)
    assert intervals.on_s.tolist() == [1.5, 6.5]
    assert intervals.off_s.tolist() == [4.0, 9.0]


def test_dos_line_ends_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = written(tmp_path, b"\xef\xbb\xbfclient,on_s,off_s\r\n0,1,2\r\n")
    assert read_intervals(path).off_s.tolist() == [2.0]


# Refusing

BAD_ROWS = {
    "reversed": ("0,1,2\n0,9,4\n", "row 3: off_s 4 is not after on_s 9"),
    "empty": ("0,1,2\n0,9,9\n", "row 3: off_s 9 is not after on_s 9"),
    "overlap": ("0,1,5\n1,0,9\n0,3,8\n", "row 4: overlaps row 2 of the same client, 0"),
    "overlap out of order": ("0,3,8\n0,1,5\n", "row 3: overlaps row 2 of the same client, 0"),
    "the same row twice": ("4,3,8\n4,3,8\n", "row 3: overlaps row 2 of the same client, 4"),
    "one within another": ("0,1,9\n0,2,3\n0,5,6\n", "row 3: overlaps row 2"),
    "negative client": ("0,1,2\n-3,1,2\n", "row 3: client -3 is negative"),
    "negative time": ("0,-1,2\n", "row 2: on_s -1 is negative"),
    "not a number": ("0,1,2\n0,nan,9\n", "row 3: on_s is nan, not a finite number"),
    "infinite": ("0,1,inf\n", "row 2: off_s is inf, not a finite number"),
    "too large": ("0,1,1e999\n", "row 2: off_s is inf, not a finite number"),
    "missing value": ("0,1,2\n0,,9\n", "row 3: on_s is missing"),
    "missing client": ("0,1,2\n,4,9\n", "row 3: client is missing"),
    "text": ("0,1,2\n0,x,9\n", "row 3: on_s: .*invalid value 'x'"),
    "null by name": ("0,1,2\n0,NA,9\n", "row 3: on_s: .*invalid value 'NA'"),
    "a broken client": ("1.5,1,2\n", "row 2: client: .*invalid value '1.5'"),
    "a huge client": ("99999999999999999999,1,2\n", "row 2: client: .*invalid value"),
    "a field too few": ("0,1,2\n0,1\n", "row 3: Expected 3 columns, got 2"),
    "a field too many": ("0,1,2\n0,1,2,3\n", "row 3: Expected 3 columns, got 4"),
    "after empty lines": ("\n0,1,2\n\n\n0,x,9\n", "row 6: on_s: .*invalid value 'x'"),
    "after empty lines, too": ("\n0,1,2\n\n\n0,9,4\n", "row 6: off_s 4 is not after on_s 9"),
    "not utf-8": (b"0,1,2\n0,\xff,3\n", "row 3: on_s"),
    "no rows": ("", "has no rows"),
}


@pytest.mark.parametrize("kind", BAD_ROWS)
def test_a_bad_row_is_named(tmp_path: Path, kind: str) -> None:
    rows, why = BAD_ROWS[kind]
    path = written(tmp_path, HEADER.encode() + (rows.encode() if isinstance(rows, str) else rows))
    with pytest.raises(ScenarioError, match=r"(?s)^fleet.availability.file: .*trace.csv: " + why):
        read_intervals(path)


def test_an_interval_beyond_the_period(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER + "0,1,2\n0,9,10.5\n")
    with pytest.raises(ScenarioError, match=r"row 3: off_s 10.5 is beyond the period of 10 s"):
        read_intervals(path, 10.0)
    assert read_intervals(path, 10.5).off_s.tolist() == [2.0, 10.5]


BAD_FILES = {
    "missing column": (b"client,on_sec,off_s\n0,1,2\n", r"no column on_s; .*did you mean 'on_sec'\?"),
    "no header": (b"0,1,2\n", "no column client; its columns: 0, 1, 2"),
    "a column twice": (b"client,on_s,on_s,off_s\n0,1,1,2\n", "more than one column on_s"),
    "empty": (b"", "cannot be read: Empty CSV file"),
    "another separator": (b"client;on_s;off_s\n0;1;2\n", "no column client"),
    "a broken header": (b"cl\xff,client,on_s,off_s\n0,0,1,2\n", ""),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_file_is_named(tmp_path: Path, kind: str) -> None:
    text, why = BAD_FILES[kind]
    with pytest.raises(ScenarioError, match=r"^fleet.availability.file: .*trace.csv: .*" + why):
        read_intervals(written(tmp_path, text))


def test_files_that_are_none(tmp_path: Path) -> None:
    for path, why in (
        (tmp_path / "none.csv", "there is no such file"),
        (tmp_path, "is a .csv or a .parquet file"),
        (tmp_path / "trace.txt", "is a .csv or a .parquet file"),
    ):
        with pytest.raises(ScenarioError, match=why):
            read_intervals(str(path))
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ScenarioError, match="there is no such file"):
        read_intervals(str(tmp_path / "folder.csv"))


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    with path.open("wb") as file:
        file.truncate(256 * 2**20 + 1)  # sparse: it takes no room
    with pytest.raises(ScenarioError, match=r"has 268435457 bytes; at most 268435456 \(256 MiB\) are read"):
        read_intervals(str(path))


def test_a_parquet_file_with_too_many_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_file, "MOST_ROWS", 2)
    path = as_parquet(tmp_path, client=[0, 1, 2], on_s=[0.0] * 3, off_s=[1.0] * 3)
    with pytest.raises(ScenarioError, match="has 3 rows; at most 2 are read"):
        read_intervals(path)


BAD_PARQUET: dict[str, tuple[dict[str, Any], str]] = {
    "text": ({"on_s": ["a", "b"]}, "the column on_s holds string, not numbers of seconds"),
    "broken clients": ({"client": [0.0, 1.0]}, "the column client holds double, not whole numbers"),
    "truth": ({"off_s": [True, True]}, "the column off_s holds bool"),
    "null": ({"on_s": [0.5, None]}, "row 2: on_s is missing"),
    "nan": ({"on_s": [0.5, math.nan]}, "row 2: on_s is nan"),
    "reversed": ({"off_s": [7.0, 0.0]}, "row 2: off_s 0 is not after on_s 1"),
    "huge": (
        {"client": pa.array([2**63, 1], type=pa.uint64())},
        "the column client: .*9223372036854775808",
    ),
}


@pytest.mark.parametrize("kind", BAD_PARQUET)
def test_a_bad_parquet_file(tmp_path: Path, kind: str) -> None:
    change, why = BAD_PARQUET[kind]
    columns: dict[str, Any] = {"client": [0, 1], "on_s": [0.5, 1.0], "off_s": [7.0, 8.0]}
    with pytest.raises(ScenarioError, match=rf"trace.parquet: {why}"):
        read_intervals(as_parquet(tmp_path, **columns | change))


def test_a_broken_parquet_file(tmp_path: Path) -> None:
    path = tmp_path / "trace.parquet"
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(ScenarioError, match=r"trace.parquet: cannot be read: "):
        read_intervals(str(path))


def test_a_trace_is_columns(tmp_path: Path) -> None:
    """100,000 intervals of 1,000 clients, shuffled: sorted columns and nothing else."""
    numbers = np.random.default_rng(0)
    client, index = np.divmod(numbers.permutation(100_000), 100)
    on_s = index * 10.0
    path = as_parquet(tmp_path, client=client, on_s=on_s, off_s=on_s + 4.0)
    intervals = read_intervals(path)
    assert intervals.first.tolist() == list(range(0, 100_001, 100))
    assert np.array_equal(intervals.on_s, np.tile(np.arange(100) * 10.0, 1000))
    assert np.array_equal(intervals.off_s - intervals.on_s, np.full(100_000, 4.0))
