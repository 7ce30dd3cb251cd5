"""`timeline`: what each client did when, and in a hierarchy each edge.

It stays legible at any size of run: it shows at most 40 clients and 20 edges, and the first stretch of time
that is at most 40 tasks of mean length long and that a thousand spans fit into. The title says what is
left out.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute

from flsim.observe.canvas import (
    BLACK,
    OUTCOME_COLOURS,
    PAGE,
    STAGE_COLOURS,
    label_time,
    new_figure,
    styled,
    thinned,
    tidy,
    time_unit,
)
from flsim.observe.tables import Stage, Tables, spans, task_records
from flsim.records import Outcome, TaskRecord
from flsim.units import TIME

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_CLIENTS = 40
_MOST_EDGES = 20
_MOST_SPANS = 1_000
_MOST_TASK_LENGTHS = 40  # across the page: the stages of a typical task can then be told apart
_HEIGHTS: dict[Stage, float] = {"download": 0.42, "compute": 0.78, "upload": 0.42}  # not colours alone
_UPDATE = "server update"
_MARKS = {
    Outcome.DISCARDED: "D",
    Outcome.DROPPED: "X",
    Outcome.LOST: "v",
    Outcome.REJECTED: "s",
    Outcome.UNFINISHED: ">",
}


class _Bar(NamedTuple):
    """A task, and the row that it is drawn in."""

    row: int
    task: TaskRecord


@styled
def figure_timeline(tables: Tables) -> "Figure | None":
    """Return the stages of the tasks, a row per edge and client; None if there is no task."""
    if not tables.tasks.num_rows:
        return None
    tasks, end_s = _shown(tables.tasks)
    clients = _rows(tables, tasks)
    of_edges = _of_edges(tables, end_s)
    edges = sorted({task.client for task in of_edges})
    places = {client: len(edges) + place for place, client in enumerate(clients)}
    bars = [_Bar(edges.index(task.client), task) for task in of_edges]
    bars += [_Bar(places[task.client], task) for task in tasks]
    start_s = min(bar.task.dispatched_s for bar in bars)
    unit, second = time_unit(end_s - start_s if start_s else end_s)
    names = [f"edge {edge}" for edge in edges] + [str(client) for client in clients]
    figure = new_figure(PAGE, 1.3 + 0.125 * max(len(names), 6))
    axes = figure.subplots()
    _draw_versions(axes, tables.versions["time_s"].to_numpy(), start_s, end_s, second)
    _draw_spans(axes, bars, second)
    _draw_marks(axes, bars, end_s, second)
    tidy(axes)
    axes.grid(visible=False)
    axes.set_xlim(start_s / second, end_s / second)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylabel("edge, client" if edges else "client")
    axes.set_title(_title(tables, len(clients), start_s, end_s), loc="left")
    label_time(axes, unit)
    handles, labels = axes.get_legend_handles_labels()
    named = dict(zip(labels, handles, strict=True))
    order = [label for label in (*STAGE_COLOURS, _UPDATE, *_MARKS) if label in named]
    figure.legend(
        [named[label] for label in order], order, loc="outside lower center", ncols=min(len(order), 6)
    )
    return figure


def _shown(tasks: pa.Table) -> tuple[list[TaskRecord], float]:
    """Return the clients' tasks to draw and the second at which the picture ends."""
    starts, ends = tasks["dispatched_s"].to_numpy(), tasks["ended_s"].to_numpy()
    typical = float(np.mean(ends - starts))
    end_s = min(float(ends.max()), float(starts.min()) + _MOST_TASK_LENGTHS * typical)
    if end_s <= starts.min():  # nothing takes time
        end_s = max(float(ends.max()), float(starts.min()) + 1.0)
    early = tasks.filter(compute.less(tasks["dispatched_s"], end_s))
    clients = np.unique(early["client"].to_numpy())
    count = min(len(clients), _MOST_CLIENTS)
    kept = clients[np.arange(count) * len(clients) // count]
    sample = early.filter(compute.is_in(early["client"], pa.array(kept)))
    shown = sorted(task_records(sample), key=lambda task: (task.dispatched_s, task.task))
    drawn = 0
    for place, task in enumerate(shown):
        drawn += len(spans(task))
        if drawn > _MOST_SPANS:
            return shown[:place], task.dispatched_s
    return shown, end_s


def _of_edges(tables: Tables, end_s: float) -> list[TaskRecord]:
    """Return the edges' tasks to draw; none without a hierarchy."""
    if tables.edges is None:
        return []
    early = tables.edges.tasks.filter(compute.less(tables.edges.tasks["dispatched_s"], end_s))
    edges = np.unique(early["client"].to_numpy())
    kept = edges[thinned(len(edges), _MOST_EDGES)]
    shown = task_records(early.filter(compute.is_in(early["client"], pa.array(kept))))
    return sorted(shown, key=lambda task: (task.dispatched_s, task.task))[:_MOST_SPANS]


def _rows(tables: Tables, tasks: list[TaskRecord]) -> list[int]:
    """Return the clients that have a row: all of a small fleet, idle ones too, or those with tasks."""
    shown = {task.client for task in tasks}
    if tables.clients.num_rows <= _MOST_CLIENTS:
        shown |= set(tables.clients["client"].to_pylist())
    return sorted(shown)


def _draw_versions(
    axes: "Axes", times: Iterable[float], start_s: float, end_s: float, second: float
) -> None:
    moments = [time / second for time in times if start_s < time <= end_s]
    if moments:
        axes.vlines(
            moments,
            0,
            1,
            transform=axes.get_xaxis_transform(),
            color=BLACK,
            linewidth=0.5,
            alpha=float(np.clip(60 / len(moments), 0.12, 0.6)),
            label=_UPDATE,
            zorder=1,
        )


def _draw_spans(axes: "Axes", bars: list[_Bar], second: float) -> None:
    for stage, colour in STAGE_COLOURS.items():
        drawn = [
            (bar.row, span)
            for bar in bars
            for span in spans(bar.task)
            if span.stage == stage and span.end_s > span.start_s
        ]
        if drawn:
            axes.barh(
                [row for row, _ in drawn],
                [(span.end_s - span.start_s) / second for _, span in drawn],
                left=[span.start_s / second for _, span in drawn],
                height=_HEIGHTS[stage],
                color=colour,
                label=stage,
                zorder=2,
            )


def _draw_marks(axes: "Axes", bars: list[_Bar], end_s: float, second: float) -> None:
    """Mark the end of every task whose work was lost."""
    for outcome, mark in _MARKS.items():
        ended = [bar for bar in bars if bar.task.outcome is outcome and bar.task.ended_s <= end_s]
        if ended:
            hollow = outcome is Outcome.DISCARDED
            axes.plot(
                [bar.task.ended_s / second for bar in ended],
                [bar.row for bar in ended],
                linestyle="",
                color=OUTCOME_COLOURS[outcome],
                marker=mark,
                markersize=3.6 if hollow else 5,
                markerfacecolor="white" if hollow else OUTCOME_COLOURS[outcome],
                markeredgecolor=OUTCOME_COLOURS[outcome] if hollow else "white",
                markeredgewidth=1.1 if hollow else 0.4,
                clip_on=False,
                label=outcome.value,
                zorder=3,
            )


def _title(tables: Tables, shown: int, start_s: float, end_s: float) -> str:
    active = compute.count_distinct(tables.tasks["client"]).as_py()
    fleet = max(tables.clients.num_rows, active)  # an interrupted run has no rows of clients
    whole_s = float(tables.tasks["ended_s"].to_numpy().max())
    who = f"all {fleet:,} clients" if shown == fleet else f"{shown} of {fleet:,} clients"
    when = TIME.format(whole_s)
    if end_s < whole_s:
        when = f"the first {TIME.format(end_s - start_s)} of {when}"
    return f"Tasks of {who}, {when}"
