"""What each server update had to wait for: the last update that it needed.

The critical task of a version is, of the tasks that were aggregated into it, the one whose update arrived
last; of those that arrived at one instant, the one with the largest id. The way to the version is cut into

- before: from the version before it until the critical task was dispatched (nothing, if that was earlier);
- download, compute, upload: the stages of the critical task;
- after: from its arrival until the version was made.

In a synchronous round the critical task is dispatched after the version before, so the parts add up to the
length of the round. Without rounds it may have been dispatched earlier, and they add up to more. In a
hierarchy the tasks are those of the edges, and to compute is to run rounds with their clients.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flsim.observe.states import stage_seconds
from flsim.observe.tables import Tables, outcomes
from flsim.records import Outcome

PARTS = ("before", "download", "compute", "upload", "after")

Seconds = NDArray[np.float64]
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class CriticalPath:
    """The critical task of every version that has one, as columns [versions].

    `client`: in a hierarchy the edge. `parts_s`: the seconds of each of PARTS, [parts, versions].
    `interval_s`: since the version before.
    """

    version: Ids
    time_s: Seconds
    interval_s: Seconds
    task: Ids
    client: Ids
    parts_s: NDArray[np.float64]

    @property
    def shares(self) -> Seconds:
        """What share of all critical seconds each part has: [parts]."""
        sums: Seconds = self.parts_s.sum(axis=1)
        return sums / sums.sum() if sums.sum() > 0 else sums


def critical_path(tables: Tables) -> CriticalPath:
    """Return the critical tasks of a run, in the order of the versions."""
    tasks = tables.aggregated
    tasks = tasks.take(np.flatnonzero(outcomes(tasks) == Outcome.AGGREGATED.value))
    goal, arrived, ids = (tasks[name].to_numpy() for name in ("aggregated_version", "ended_s", "task"))
    order = np.lexsort((ids, arrived, goal))
    last = order[np.append(goal[order][1:] != goal[order][:-1], True)] if len(order) else order
    version, time_s = (tables.versions[name].to_numpy() for name in ("version", "time_s"))
    by_version = np.argsort(version, kind="stable")
    version, time_s = version[by_version], time_s[by_version]
    last = last[np.isin(goal[last], version)]
    place = np.searchsorted(version, goal[last])
    started_s = time_s[np.maximum(place - 1, 0)]
    dispatched = tasks["dispatched_s"].to_numpy()[last]
    before = np.maximum(dispatched - started_s, 0.0)
    after = np.maximum(time_s[place] - arrived[last], 0.0)
    return CriticalPath(
        version=version[place],
        time_s=time_s[place],
        interval_s=time_s[place] - started_s,
        task=ids[last],
        client=tasks["client"].to_numpy()[last],
        parts_s=np.vstack([before, stage_seconds(tasks)[:, last], after]),
    )


def most_critical(path: CriticalPath, most: int) -> list[tuple[int, int, float]]:
    """Return who was critical most often: client, how often, and the mean seconds of its critical tasks."""
    clients, places = np.unique(path.client, return_inverse=True)
    counts = np.bincount(places, minlength=len(clients))
    seconds = np.bincount(places, path.parts_s[1:4].sum(axis=0), len(clients))
    order = np.argsort(-counts, kind="stable")[:most]
    return [(int(clients[row]), int(counts[row]), float(seconds[row] / counts[row])) for row in order]
