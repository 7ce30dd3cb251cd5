"""Where the clients' time went: what each of them does at every instant of a run, from its tasks.

A client is in exactly one of five states, so that over a run of T seconds their seconds add up to T:

- download: from the dispatch of its task until the task's version has arrived (or the task has ended);
- compute: from then until training is over (or the task has ended);
- upload: from then until the task has ended;
- waiting: it has no task, but its last update has arrived and is not used yet: from the arrival until the
  server (in a hierarchy the edge) makes the version that it goes into, the client's next dispatch, or the
  end of the run, whichever comes first;
- idle: all else, whether the client was there or not.

What holds a task up belongs to its stage: latency, queues, retries, and pauses of a client that is away.
With secure aggregation the messages before the model are part of the download, those after it of the
upload. A discarded update does not wait: the records do not say when it was thrown away.
"""

from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flsim.observe.ending import ending_of
from flsim.observe.tables import Tables, outcomes
from flsim.records import Outcome

State = Literal["download", "compute", "upload", "waiting", "idle"]
STATES: tuple[State, ...] = ("download", "compute", "upload", "waiting", "idle")
BUSY: tuple[State, ...] = ("download", "compute", "upload")

Seconds = NDArray[np.float64]
Ids = NDArray[np.int64]


class Stretches(NamedTuple):
    """Stretches of time that clients spent in one state. All [stretches]; none is of negative length."""

    client: Ids
    start_s: Seconds
    end_s: Seconds


def end_of_run(tables: Tables) -> float:
    """Return the virtual second at which the run ended: of a run that was killed, the last one recorded."""
    if (ending := ending_of(tables.ending)) is not None:
        return ending.virtual_time_s
    columns = [tables.tasks["ended_s"], tables.versions["time_s"]]
    return max((float(column.to_numpy().max(initial=0.0)) for column in columns), default=0.0)


def fleet_size(tables: Tables) -> int:
    """Return how many clients there are; at least those that had tasks."""
    return max(int(tables.clients.num_rows), int(tables.tasks["client"].to_numpy().max(initial=-1)) + 1)


def stage_bounds(tasks: pa.Table) -> NDArray[np.float64]:
    """Return when each task entered its stages and left the last: [4, tasks], NaN for what was not reached.

    A task's stage ends where the next one begins or, if that was not reached, where the task ended.
    """
    names = ("dispatched_s", "download_end_s", "train_end_s", "ended_s")
    return np.stack([tasks[name].to_numpy().astype(np.float64) for name in names])


def stage_seconds(tasks: pa.Table) -> NDArray[np.float64]:
    """Return the seconds of each task in download, compute and upload: [3, tasks]; NaN: not reached."""
    bounds = stage_bounds(tasks)
    ends = np.where(np.isnan(bounds[1:]), bounds[3], bounds[1:])
    seconds: NDArray[np.float64] = ends - bounds[:3]
    return seconds


def used_at(tables: Tables) -> Seconds:
    """Return the second of the update that each client's task went into: [tasks], NaN where there is none.

    Also of rejected tasks, which had waited for it. Of an update that arrived and was still unused when the
    run ended, that is the end of the run.
    """
    tasks = tables.tasks
    version = tasks["aggregated_version"].to_numpy().astype(np.float64)
    made, time_s = tables.versions["version"].to_numpy(), tables.versions["time_s"].to_numpy()
    if (edges := tables.edges) is not None:
        step = int(edges.versions["version"].to_numpy().max(initial=0)) + 1
        made = edges.versions["edge"].to_numpy() * step + edges.versions["version"].to_numpy()
        time_s = edges.versions["time_s"].to_numpy()
        version = version + edges.of_client[tasks["client"].to_numpy()] * step
    used = np.full(len(version), np.nan)
    if len(made):
        order = np.argsort(made, kind="stable")
        places = np.searchsorted(made[order], np.nan_to_num(version, nan=-1.0)).clip(max=len(made) - 1)
        found = made[order][places] == version
        used[found] = time_s[order][places][found]
    left = (outcomes(tasks) == Outcome.UNFINISHED.value) & tasks["train_end_s"].is_valid().to_numpy()
    used[left] = end_of_run(tables)
    return used


def stretches(tables: Tables) -> dict[State, Stretches]:
    """Return the stretches of every state but `idle`."""
    client = tables.tasks["client"].to_numpy()
    starts = stage_bounds(tables.tasks)[:3]
    ends = starts + stage_seconds(tables.tasks)
    found: dict[State, Stretches] = {}
    for stage, start_s, end_s in zip(BUSY, starts, ends, strict=True):
        reached = ~np.isnan(start_s)
        found[stage] = Stretches(client[reached], start_s[reached], end_s[reached])
    found["waiting"] = _waiting(tables, client)
    return found


def _waiting(tables: Tables, client: Ids) -> Stretches:
    dispatched, arrived = (tables.tasks[name].to_numpy() for name in ("dispatched_s", "ended_s"))
    order = np.lexsort((tables.tasks["task"].to_numpy(), dispatched, client))
    following = np.full(len(order), np.inf)  # the client's next dispatch
    same = client[order][1:] == client[order][:-1]
    following[order[:-1][same]] = dispatched[order[1:][same]]
    end_s = np.minimum(used_at(tables), following)  # NaN stays NaN
    waits = end_s > arrived
    return Stretches(client[waits], arrived[waits], end_s[waits])


def seconds_by_client(tables: Tables) -> NDArray[np.float64]:
    """Return the seconds of every client in every state: [clients, states]; a row adds up to the run."""
    clients = fleet_size(tables)
    seconds = np.zeros((clients, len(STATES)))
    for state, own in stretches(tables).items():
        seconds[:, STATES.index(state)] = np.bincount(own.client, own.end_s - own.start_s, clients)
    seconds[:, -1] = np.maximum(end_of_run(tables) - seconds.sum(axis=1), 0.0)
    return seconds


def mean_level(own: Stretches, edges_s: Seconds) -> Seconds:
    """Return how many of the stretches are under way, on average over every bin: [bins].

    edges_s: [bins + 1], increasing.
    """

    def passed(instants_s: Seconds) -> Seconds:
        """Return the seconds since the instants, summed over those that lie before each edge."""
        ordered = np.sort(instants_s)
        before = np.searchsorted(ordered, edges_s)
        sums = np.concatenate([np.zeros(1), np.cumsum(ordered)])
        since: Seconds = before * edges_s - sums[before]
        return since

    level: Seconds = np.diff(passed(own.start_s) - passed(own.end_s)) / np.diff(edges_s)
    return np.maximum(level, 0.0)  # round-off
