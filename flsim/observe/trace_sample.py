"""Which rows a trace shows, so that a viewer can open it."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
from numpy.typing import NDArray

from flsim.observe.excerpt import Excerpt
from flsim.observe.tables import Tables

_POINTS = 8  # of the counters that a task may make: two of each that counts tasks, clients or bits


@dataclass(frozen=True)
class Sample:
    """The rows to show, and how many points a series of the server may have (None: all).

    note: what is left out, for the reader; empty if nothing is.
    """

    tasks: pa.Table
    edge_tasks: pa.Table | None = None
    absences: pa.Table | None = None
    most_points: int | None = None
    note: str = ""


def sampled(tables: Tables, part: Excerpt, most_events: int) -> Sample:
    """Choose what overlaps the part. If that is too much, choose whole clients, evenly spaced by id.

    Clients that the part names are all kept. Absences are shown of the clients that have tasks here, or
    that are named.
    """
    tasks = part.spans(tables.tasks, "dispatched_s", "ended_s")
    edge_tasks, absences = _edge_tasks(tables, part), _absences(tables, part, tasks)
    per_task = _events_per_task(tasks)
    others = 3 * tables.versions.num_rows
    if (edges := tables.edges) is not None and edge_tasks is not None:
        others += int(_events_per_task(edge_tasks).sum()) + edges.versions.num_rows
    rows = 0 if absences is None else absences.num_rows
    note = [] if part.is_everything else [f"A part of the run: {part.told()}."]
    if int(per_task.sum()) + rows + others <= most_events:
        return Sample(tasks, edge_tasks, absences, note=" ".join(note))
    most_points = max(2, most_events // 40)
    if part.clients is not None:
        note.append("Counters and versions are thinned.")
        return Sample(tasks, edge_tasks, absences, most_points, " ".join(note))
    clients, places = np.unique(tasks["client"].to_numpy(), return_inverse=True)
    drawn = per_task - _POINTS  # thinned by now
    per_client = np.bincount(places, drawn, len(clients)).astype(np.float64)
    if absences is not None:
        per_client += np.bincount(
            np.searchsorted(clients, absences["client"].to_numpy()), None, len(clients)
        )
    kept = clients[_evenly(per_client, 0.7 * most_events)]
    note.insert(
        0,
        f"{len(kept):,} of the {len(clients):,} clients that had tasks, evenly spaced by id; counters and "
        "versions are thinned. tasks.parquet has everything.",
    )
    return Sample(_of(kept, tasks), edge_tasks, _of(kept, absences), most_points, " ".join(note))


def _evenly(weights: NDArray[np.float64], most: float) -> NDArray[np.int64]:
    """Return as many evenly spaced places as weigh `most` at most together, and at least one."""
    count = len(weights)
    while True:
        kept = np.arange(count) * len(weights) // max(count, 1)
        if count <= 1 or weights[kept].sum() <= most:
            return kept
        count = max(1, int(count * 0.95))


def _edge_tasks(tables: Tables, part: Excerpt) -> pa.Table | None:
    """Return the edges' tasks of the stretch; those of all edges, whichever clients are asked for."""
    if (edges := tables.edges) is None:
        return None
    return part.overlapping(edges.tasks, "dispatched_s", "ended_s")


def _absences(tables: Tables, part: Excerpt, tasks: pa.Table) -> pa.Table | None:
    if (absences := tables.absences) is None:
        return None
    rows = part.spans(absences, "from_s", "until_s")
    return rows if part.clients is not None else _of(compute.unique(tasks["client"]).to_numpy(), rows)


def _of(clients: NDArray[np.int64], rows: pa.Table | None) -> pa.Table | None:
    return None if rows is None else rows.filter(compute.is_in(rows["client"], pa.array(clients)))


def _events_per_task(tasks: pa.Table) -> NDArray[np.int64]:
    """Return how many events each task makes at most, with its share of the server's and of counters."""
    reached = [tasks[name].is_valid().to_numpy() for name in ("download_end_s", "train_end_s")]
    stages = np.sum(reached, axis=0, dtype=np.int64)
    flows = tasks["aggregated_version"].is_valid().to_numpy().astype(np.int64)
    events: NDArray[np.int64] = 3 + _POINTS + stages + 5 * flows
    return events
