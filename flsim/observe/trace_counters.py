"""The counters of a trace: who works and who is idle, versions and their accuracy, the server's links.

Two are derived. A client is *idle* when it has no task and is not away, as far as the run wrote down who
was away. The server's links carry, at every instant, the bytes of each stage of a transfer spread evenly
over the time that the stage took: what a task moved between its dispatch and the end of its download, say,
latency, queues, retries and pauses included. So the area under the curve is exact, and its shape is a mean.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flsim.observe.excerpt import Excerpt
from flsim.observe.files import without_nan
from flsim.observe.tables import Tables
from flsim.observe.trace_events import NETWORK, SERVER, Event, counter, microseconds
from flsim.records import VersionRecord

Floats = NDArray[np.float64]
_BITS = 8


def counters(
    tables: Tables, fleet: int, versions: list[VersionRecord], part: Excerpt, most: int | None
) -> Iterator[Event]:
    """Yield all counters. They count all clients, also those that are not shown.

    fleet: how many clients there are; versions: those to show; most: points of each counter (None: all).
    """
    starts, ends = _instants(tables.tasks, "dispatched_s"), _instants(tables.tasks, "ended_s")
    levels = _levels(starts, ends, np.ones(len(starts)))
    yield from _steps("in flight", "tasks", SERVER, levels, part, most)
    if fleet:
        instants, taken = _taken(tables, starts, ends)
        yield from _steps("idle", "clients", SERVER, (instants, fleet - taken), part, most)
    yield from _of_versions(versions, most)
    asked = tables.aggregated
    for link, start, end, size in (
        ("downlink", "dispatched_s", "download_end_s", "bytes_down"),
        ("uplink", "train_end_s", "ended_s", "bytes_up"),
    ):
        yield from _steps(f"server {link}", "bit/s", NETWORK, _rates(asked, start, end, size), part, most)


def _of_versions(versions: list[VersionRecord], most: int | None) -> Iterator[Event]:
    for index in thinned(len(versions), most):
        row = versions[index]
        yield counter("version", "number", SERVER, microseconds(row.time_s), row.version)
    points = {
        ("staleness", "versions"): [(row.time_s, row.mean_staleness) for row in versions],
        ("accuracy", "share"): [(row.time_s, row.accuracy) for row in versions],
    }
    for (name, unit), values in points.items():
        known = [(time_s, value) for time_s, value in values if without_nan(value) is not None]
        for index in thinned(len(known), most):
            time_s, value = known[index]
            yield counter(name, unit, SERVER, microseconds(time_s), value)


def _taken(tables: Tables, starts: Floats, ends: Floats) -> tuple[Floats, Floats]:
    """Return how many clients are at work or away, from which instant on: [instants] each."""
    owners, begun, over = [tables.tasks["client"].to_numpy()], [starts], [ends]
    if (absences := tables.absences) is not None:
        owners.append(absences["client"].to_numpy())
        begun.append(_instants(absences, "from_s"))
        over.append(np.nan_to_num(_instants(absences, "until_s"), nan=np.inf))
    owner = np.tile(np.concatenate(owners), 2)
    instants = np.concatenate([*begun, *over])
    reasons = np.repeat([1, -1], len(owner) // 2)
    order = np.lexsort((-reasons, instants, owner))  # at one instant, what begins comes before what ends
    owner, instants, reasons = owner[order], instants[order], reasons[order]
    count = np.cumsum(reasons)  # of one client after the other; each ends with no reason
    first = (reasons > 0) & (count == 1)
    last = (reasons < 0) & (count == 0)
    return _levels(instants[first], instants[last], np.ones(int(first.sum())))


def _rates(tasks: pa.Table, start: str, end: str, size: str) -> tuple[Floats, Floats]:
    """Return the bits per second of all transfers of a stage together, from which instant on."""
    begun, over = _instants(tasks, start), _instants(tasks, end)
    if end != "ended_s":  # one that did not end moved until its task was over
        over = np.where(np.isnan(over), _instants(tasks, "ended_s"), over)
    moved = tasks[size].to_numpy().astype(np.float64) * _BITS
    known = ~np.isnan(begun) & (moved > 0) & (over > begun)
    begun, over = begun[known], over[known]
    return _levels(begun, over, moved[known] / ((over - begun) / 1e6))


def _levels(starts: Floats, ends: Floats, heights: Floats) -> tuple[Floats, Floats]:
    """Return the sum of the heights of what has begun and is not over, from which instant on."""
    instants, places = np.unique(np.concatenate([starts, ends]), return_inverse=True)
    both = np.concatenate([heights, -heights])
    levels = np.cumsum(np.bincount(places, both, len(instants)))
    ones = np.repeat([1.0, -1.0], len(heights))
    nothing = np.cumsum(np.bincount(places, ones, len(instants))) == 0
    levels[nothing] = 0.0  # and no remainder of rounding
    finite = np.isfinite(instants)
    return instants[finite], levels[finite]


def _steps(
    name: str,
    unit: str,
    process: int,
    levels: tuple[Floats, Floats],
    part: Excerpt,
    most: int | None,
) -> Iterator[Event]:
    """Yield a counter from the start of the stretch to its end: its level there, and every step."""
    instants, values = levels
    low, high = part.from_s * 1e6, part.until_s * 1e6
    before = int(np.searchsorted(instants, low, "right")) - 1  # whose level is that of the start
    inside = np.flatnonzero((instants > low) & (instants <= high))
    if before >= 0:
        inside = np.concatenate([[before], inside])
    whole = unit != "bit/s"
    for index in inside[thinned(len(inside), most)]:
        value = int(values[index]) if whole else float(values[index])
        yield counter(name, unit, process, float(max(instants[index], microseconds(part.from_s))), value)


def thinned(count: int, most: int | None) -> list[int]:
    """Return `most` evenly spaced places of `count`, the first and the last among them."""
    if most is None or count <= most:
        return list(range(count))
    places: list[int] = np.linspace(0, count - 1, most).astype(np.int64).tolist()
    return places


def _instants(rows: pa.Table, column: str) -> Floats:
    """Return a column of seconds as microseconds, to the nearest eighth; NaN where there is none."""
    rounded: Floats = np.round(rows[column].to_numpy() * 8e6) / 8
    return rounded
