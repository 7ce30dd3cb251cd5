"""SQL over a trace, as Perfetto's trace processor answers it.

A stand-in that needs no browser: it imports the Trace Event Format into the same tables of SQLite, by the
rules of Perfetto's importer. `tests/trace_processor.py` has the trace processor itself, and the tests with
a browser see to it that both answer the same.
"""

import gzip
import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

Rows = list[tuple[Any, ...]]
Query = Callable[[str], Rows]

_TABLES = """
CREATE TABLE process (upid INTEGER PRIMARY KEY, pid INTEGER UNIQUE, name TEXT);
CREATE TABLE thread (utid INTEGER PRIMARY KEY, tid INTEGER, name TEXT, upid INTEGER, UNIQUE (tid, upid));
CREATE TABLE track (id INTEGER PRIMARY KEY, name TEXT, type TEXT, utid INTEGER, upid INTEGER);
CREATE VIEW thread_track AS SELECT id, name, utid FROM track WHERE type = 'thread';
CREATE VIEW process_track AS SELECT id, name, upid FROM track WHERE type = 'async';
CREATE VIEW process_counter_track AS SELECT id, name, upid FROM track WHERE type = 'counter';
CREATE TABLE slice (
  id INTEGER PRIMARY KEY, ts INTEGER, dur INTEGER, track_id INTEGER, category TEXT, name TEXT,
  depth INTEGER, arg_set_id INTEGER
);
CREATE TABLE counter (id INTEGER PRIMARY KEY, ts INTEGER, track_id INTEGER, value REAL);
CREATE TABLE flow (id INTEGER PRIMARY KEY, slice_out INTEGER, slice_in INTEGER);
CREATE TABLE args (arg_set_id INTEGER, flat_key TEXT, value);
CREATE INDEX by_set ON args (arg_set_id, flat_key);
"""


def ours(trace: Path) -> Query:
    """Open a trace as Perfetto imports it, in SQLite."""
    database = sqlite3.connect(":memory:")
    database.executescript(_TABLES)
    _Import(database).read(json.loads(gzip.decompress(trace.read_bytes()), parse_float=Decimal))

    def extract_arg(arg_set: int, key: str) -> Any:
        found = database.execute(
            "SELECT value FROM args WHERE arg_set_id = ? AND flat_key = ?", (arg_set, key)
        )
        return next(found, (None,))[0]

    database.create_function("extract_arg", 2, extract_arg)
    return lambda sql: database.execute(sql).fetchall()


class _Import:
    """What is known of a trace while its events are read in order."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._insert = database.execute
        self._processes: dict[int, int] = {}
        self._threads: dict[tuple[int, int], int] = {}
        self._tracks: dict[tuple[Any, ...], int] = {}
        self._open: dict[int, list[tuple[int, int, int]]] = defaultdict(list)  # by track: slice, start, end
        self._waiting: dict[tuple[int, str], tuple[int, int]] = {}
        self._flows: dict[int, int] = {}
        self._sets = 0

    def read(self, trace: dict[str, Any]) -> None:
        """Read all events, sorted by time; at one instant the ends of arrows come after all else."""
        events = trace["traceEvents"]
        for event in sorted(events, key=lambda event: (event["ts"], event["ph"] in "stf")):
            getattr(self, f"_{event['ph']}")(event)

    def _process(self, pid: int) -> int:
        if pid not in self._processes:
            upid = self._processes[pid] = len(self._processes) + 1
            self._insert("INSERT INTO process VALUES (?, ?, NULL)", (upid, pid))
        return self._processes[pid]

    def _thread(self, event: dict[str, Any]) -> int:
        key = event["pid"], event["tid"]
        if key not in self._threads:
            utid = self._threads[key] = len(self._threads) + 1
            upid = self._process(event["pid"])
            self._insert("INSERT INTO thread VALUES (?, ?, NULL, ?)", (utid, event["tid"], upid))
        return self._threads[key]

    def _track(self, kind: str, name: str | None, utid: int | None, upid: int | None, *also: object) -> int:
        key = kind, name, utid, upid, *also
        if key not in self._tracks:
            number = self._tracks[key] = len(self._tracks) + 1
            self._insert("INSERT INTO track VALUES (?, ?, ?, ?, ?)", (number, name, kind, utid, upid))
        return self._tracks[key]

    def _args(self, facts: dict[str, Any]) -> int:
        self._sets += 1
        for key, value in facts.items():
            for each in value if isinstance(value, list) else [value]:
                plain = float(each) if isinstance(each, Decimal) else each
                self._insert("INSERT INTO args VALUES (?, ?, ?)", (self._sets, f"args.{key}", plain))
        return self._sets

    def _slice(self, event: dict[str, Any], track: int, dur: int) -> int:
        start = nanoseconds(event["ts"])
        stack = self._open[track]
        while stack and stack[-1][2] <= start:
            stack.pop()
        if stack:
            assert start + dur <= stack[-1][2], f"{event} cuts what it begins in"
        row = (
            start,
            dur,
            track,
            event["cat"],
            event["name"],
            len(stack),
            self._args(event.get("args", {})),
        )
        [number] = self._insert(
            "INSERT INTO slice (ts, dur, track_id, category, name, depth, arg_set_id) "
            "VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id",
            row,
        ).fetchone()
        stack.append((number, start, start + dur))
        return int(number)

    def _X(self, event: dict[str, Any]) -> None:  # noqa: N802 - the names of the format's phases
        track = self._track("thread", None, self._thread(event), None)
        self._slice(event, track, nanoseconds(event["dur"]))

    def _i(self, event: dict[str, Any]) -> None:
        assert event["s"] == "t"
        self._slice(event, self._track("thread", None, self._thread(event), None), 0)

    def _b(self, event: dict[str, Any]) -> None:
        upid = self._process(event["pid"])
        track = self._track("async", event["name"], None, upid, event["cat"], event["id"])
        start = nanoseconds(event["ts"])
        row = (start, -1, track, event["cat"], event["name"], 0, self._args(event.get("args", {})))
        [number] = self._insert(
            "INSERT INTO slice (ts, dur, track_id, category, name, depth, arg_set_id) "
            "VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id",
            row,
        ).fetchone()
        self._waiting[event["id"], event["cat"]] = number, start

    def _e(self, event: dict[str, Any]) -> None:
        number, start = self._waiting.pop((event["id"], event["cat"]))
        self._insert("UPDATE slice SET dur = ? WHERE id = ?", (nanoseconds(event["ts"]) - start, number))

    def _C(self, event: dict[str, Any]) -> None:  # noqa: N802
        for key, value in event["args"].items():
            track = self._track("counter", f"{event['name']} {key}", None, self._process(event["pid"]))
            row = nanoseconds(event["ts"]), track, float(value)
            self._insert("INSERT INTO counter (ts, track_id, value) VALUES (?, ?, ?)", row)

    def _s(self, event: dict[str, Any]) -> None:
        self._flows[event["id"]] = self._last(event)

    def _t(self, event: dict[str, Any]) -> None:
        self._f(event)
        self._flows[event["id"]] = self._last(event)

    def _f(self, event: dict[str, Any]) -> None:
        row = self._flows[event["id"]], self._last(event)
        self._insert("INSERT INTO flow (slice_out, slice_in) VALUES (?, ?)", row)

    def _last(self, event: dict[str, Any]) -> int:
        """Return the slice of the event's track that was opened last; it must not be over."""
        number, _, end = self._open[self._track("thread", None, self._thread(event), None)][-1]
        assert nanoseconds(event["ts"]) <= end
        return number

    def _M(self, event: dict[str, Any]) -> None:  # noqa: N802
        name = event["args"].get("name")
        if event["name"] == "process_name":
            self._insert("UPDATE process SET name = ? WHERE upid = ?", (name, self._process(event["pid"])))
        elif event["name"] == "thread_name":
            self._insert("UPDATE thread SET name = ? WHERE utid = ?", (name, self._thread(event)))


def nanoseconds(microseconds: Decimal | int) -> int:
    """Return an instant of the file as the importer has it, which must be without a remainder."""
    exact = Decimal(microseconds) * 1000
    assert exact == exact.to_integral_value(), microseconds
    return int(exact)
