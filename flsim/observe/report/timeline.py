"""The Gantt chart of a run: a row for each client, a bar for each stage of its tasks.

It shows at most a hundred clients and 3,000 bars, and says what it leaves out: of a larger fleet, clients
evenly spaced by id; of a longer run, its first stretch.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
from numpy.typing import NDArray

from flsim.observe.report.parts import (
    OUTCOME_COLOURS,
    STATE_COLOURS,
    Figure,
    Table,
    Trace,
    numbers,
    plot,
    sampled,
    thinned,
    time_axis,
)
from flsim.observe.report.run_facts import Recorded
from flsim.observe.states import BUSY, stage_bounds, stage_seconds
from flsim.observe.tables import outcomes
from flsim.records import Outcome
from flsim.units import TIME

MOST_CLIENTS = 100
FEWEST_CLIENTS = 30
MOST_BARS = 3_000
MOST_LINES = 300
_SYMBOLS = {
    Outcome.DISCARDED: "diamond-open",
    Outcome.DROPPED: "x",
    Outcome.LOST: "triangle-down",
    Outcome.REJECTED: "square",
    Outcome.UNFINISHED: "triangle-right",
}


class Shown(NamedTuple):
    """The tasks that are drawn, in the order of their dispatch, the clients with a row, and until when.

    `note`: what is left out; empty if nothing is.
    """

    tasks: pa.Table
    clients: NDArray[np.int64]
    end_s: float
    note: str


def shown(run: Recorded, most_bars: int = MOST_BARS) -> Shown:
    """Choose what to draw: as many clients as possible, then as long a stretch of time as possible."""
    tasks = run.tables.tasks
    everybody = np.unique(tasks["client"].to_numpy())
    if run.clients <= MOST_CLIENTS:
        everybody = np.arange(run.clients)
    bars = (~np.isnan(stage_seconds(tasks))).sum(axis=0)
    owner = np.searchsorted(everybody, tasks["client"].to_numpy())
    per_client = np.bincount(owner, bars, len(everybody))
    count = min(len(everybody), MOST_CLIENTS)
    while True:
        kept = np.arange(count) * len(everybody) // max(count, 1)
        if count <= FEWEST_CLIENTS or per_client[kept].sum() <= most_bars:
            break
        count = max(FEWEST_CLIENTS, int(count * 0.9))
    clients = everybody[kept]
    own = tasks.filter(compute.is_in(tasks["client"], pa.array(clients)))
    own = own.sort_by([("dispatched_s", "ascending"), ("task", "ascending")])
    bars = np.cumsum((~np.isnan(stage_seconds(own))).sum(axis=0))
    drawn, end_s = int(np.searchsorted(bars, most_bars, side="right")), run.end_s
    if drawn < own.num_rows:
        end_s = own["dispatched_s"][drawn].as_py()
        own = own.slice(0, drawn)
    left_out = []
    if len(clients) < len(everybody):
        left_out.append(
            f"{len(clients)} of the {len(everybody):,} clients that had tasks, evenly spaced by id"
        )
    if end_s < run.end_s:
        left_out.append(f"the first {TIME.format(end_s)} of {TIME.format(run.end_s)}")
    note = f"Shown: {', and '.join(left_out)}." if left_out else ""
    return Shown(own, clients, end_s, note)


def gantt(run: Recorded) -> Figure | None:
    """Return the chart; None without tasks."""
    if not run.tables.tasks.num_rows:
        return None
    what = shown(run)
    when, second = time_axis(what.end_s)
    rows = np.searchsorted(what.clients, what.tasks["client"].to_numpy())
    words = outcomes(what.tasks)
    traces = [
        *_bars(what, rows, words, second),
        *_marks(what, rows, words, second),
        *_versions(run, what, second),
    ]
    count, updates = len(what.clients), len(_updates(run, what))
    places = thinned(count, 25)
    lines = "A thin line is a server update."
    if updates > MOST_LINES:
        lines = f"The {updates:,} server updates are too many to be drawn."
    return Figure(
        "gantt",
        "What each client did when",
        "A bar is a stage of a task, a mark the end of a task that came to nothing. "
        f"{lines} {what.note}".strip(),
        [
            (
                "Virtual time",
                plot(
                    traces,
                    when,
                    "client",
                    barmode="overlay",
                    bargap=0.15,
                    hovermode="closest",
                    xaxis={"range": [0.0, numbers([what.end_s / second or 1.0])[0]]},
                    yaxis={
                        "range": [count - 0.3, -0.9],
                        "tickvals": places.tolist(),
                        "ticktext": [str(client) for client in what.clients[places].tolist()],
                        "showgrid": False,
                        "zeroline": False,
                    },
                ),
            )
        ],
        _table(what, words),
        height=int(np.clip(150 + 11 * count, 320, 1250)),
        buttons=True,
    )


def _updates(run: Recorded, what: Shown) -> NDArray[np.float64]:
    """Return when the server updates were made that lie within the chart."""
    version, time_s = (run.tables.versions[name].to_numpy() for name in ("version", "time_s"))
    times: NDArray[np.float64] = time_s[(version > 0) & (time_s <= what.end_s)]
    return times


def _bars(what: Shown, rows: NDArray[np.int64], words: NDArray[np.object_], second: float) -> list[Trace]:
    starts, seconds = stage_bounds(what.tasks), stage_seconds(what.tasks)
    tasks, clients = (what.tasks[name].to_numpy() for name in ("task", "client"))
    traces = []
    for stage, start_s, length_s in zip(BUSY, starts[:3], seconds, strict=True):
        there = np.flatnonzero(length_s > 0)
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": stage,
                "y": rows[there].tolist(),
                "base": numbers(start_s[there] / second, 9),
                "x": numbers(length_s[there] / second),
                "marker": {"color": STATE_COLOURS[stage], "line": {"width": 0}},
                "customdata": [
                    list(row)
                    for row in zip(
                        tasks[there].tolist(),
                        clients[there].tolist(),
                        words[there].tolist(),
                        numbers(start_s[there]),
                        numbers(length_s[there]),
                        strict=True,
                    )
                ],
                "hovertemplate": "client %{customdata[1]}, task %{customdata[0]} (%{customdata[2]})<br>"
                f"{stage} from %{{customdata[3]}} s, for %{{customdata[4]}} s<extra></extra>",
            }
        )
    return traces


def _marks(what: Shown, rows: NDArray[np.int64], words: NDArray[np.object_], second: float) -> list[Trace]:
    """Mark the end of every task whose work was lost."""
    ended_s, tasks = (what.tasks[name].to_numpy() for name in ("ended_s", "task"))
    traces = []
    for outcome, symbol in _SYMBOLS.items():
        there = np.flatnonzero((words == outcome.value) & (ended_s <= what.end_s))
        if len(there):
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": outcome.value,
                    "x": numbers(ended_s[there] / second, 9),
                    "y": rows[there].tolist(),
                    "marker": {"symbol": symbol, "size": 7, "color": OUTCOME_COLOURS[outcome]},
                    "customdata": [
                        list(pair)
                        for pair in zip(tasks[there].tolist(), numbers(ended_s[there]), strict=True)
                    ],
                    "hovertemplate": f"task %{{customdata[0]}} {outcome.value} at %{{customdata[1]}} s"
                    "<extra></extra>",
                }
            )
    return traces


def _versions(run: Recorded, what: Shown, second: float) -> list[Trace]:
    """Draw the server updates as one broken line from top to bottom, unless they would be a haze."""
    times = _updates(run, what)
    if not 0 < len(times) <= MOST_LINES:
        return []
    x = [value for time in numbers(times / second, 9) for value in (time, time, None)]
    bottom = len(what.clients) - 0.5
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "server update",
            "x": x,
            "y": [-0.8, bottom, None] * len(times),
            "line": {"color": "--ink", "width": 1},
            "opacity": round(float(np.clip(60 / len(times), 0.15, 0.6)), 3),
            "hoverinfo": "skip",
        }
    ]


def _table(what: Shown, words: NDArray[np.object_]) -> Table:
    bounds = stage_bounds(what.tasks)
    tasks, clients = (what.tasks[name].to_pylist() for name in ("task", "client"))
    rows, note = sampled(
        [
            (str(task), str(client), word, *("" if np.isnan(at) else f"{at:.6g}" for at in instants))
            for task, client, word, instants in zip(tasks, clients, words, bounds.T, strict=True)
        ],
        "tasks",
    )
    return Table(
        "Tasks: virtual seconds",
        ("Task", "Client", "Outcome", "Dispatched", "Downloaded", "Trained", "Ended"),
        rows,
        words=frozenset({2}),
        note=note,
    )
