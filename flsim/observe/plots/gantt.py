"""`timeline`: what each client did when.

It stays legible at any size of run: it shows at most 40 clients, and the first stretch of time that is
at most 40 tasks of mean length long and that a thousand spans fit into. The title says what was left out.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute

from flsim.observe.canvas import (
    BLACK,
    GREEN,
    ORANGE,
    OUTCOME_COLOURS,
    SKY,
    label_time,
    new_figure,
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
_MOST_SPANS = 1_000
_MOST_TASK_LENGTHS = 40  # across the page: the stages of a typical task can then be told apart
_STAGE_COLOURS: dict[Stage, str] = {"download": SKY, "compute": ORANGE, "upload": GREEN}
_UPDATE = "server update"
_MARKS = {
    Outcome.DISCARDED: "D",
    Outcome.DROPPED: "X",
    Outcome.LOST: "v",
    Outcome.REJECTED: "s",
    Outcome.UNFINISHED: ">",
}


def figure_timeline(tables: Tables) -> "Figure | None":
    """Return the stages of the tasks, a row per client; None if there is no task."""
    if not tables.tasks.num_rows:
        return None
    tasks, end_s = _shown(tables.tasks)
    clients = _rows(tables, tasks)
    start_s = min(task.dispatched_s for task in tasks)
    unit, second = time_unit(end_s - start_s if start_s else end_s)
    figure = new_figure(8.0, 1.9 + 0.16 * max(len(clients), 6))
    axes = figure.subplots()
    rows = {client: row for row, client in enumerate(clients)}
    _draw_versions(axes, tables.versions["time_s"].to_numpy(), start_s, end_s, second)
    _draw_spans(axes, tasks, rows, second)
    _draw_marks(axes, tasks, rows, end_s, second)
    tidy(axes)
    axes.grid(visible=False)
    axes.set_xlim(start_s / second, end_s / second)
    axes.set_ylim(len(clients) - 0.4, -0.6)
    axes.set_yticks(range(len(clients)), [str(client) for client in clients], fontsize=8)
    axes.set_ylabel("client")
    axes.set_title(_title(tables, len(clients), start_s, end_s), fontsize=10, loc="left")
    label_time(axes, unit)
    handles, labels = axes.get_legend_handles_labels()
    named = dict(zip(labels, handles, strict=True))
    order = [label for label in (*_STAGE_COLOURS, _UPDATE, *_MARKS) if label in named]
    figure.legend(
        [named[label] for label in order],
        order,
        loc="outside lower center",
        ncols=5,
        frameon=False,
        fontsize=8.5,
    )
    return figure


def _shown(tasks: pa.Table) -> tuple[list[TaskRecord], float]:
    """Return the tasks to draw and the second at which the picture ends."""
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
            linewidth=0.7,
            alpha=float(np.clip(60 / len(moments), 0.12, 0.6)),
            label=_UPDATE,
            zorder=1,
        )


def _draw_spans(axes: "Axes", tasks: list[TaskRecord], rows: dict[int, int], second: float) -> None:
    for stage, colour in _STAGE_COLOURS.items():
        drawn = [
            (rows[task.client], span)
            for task in tasks
            for span in spans(task)
            if span.stage == stage and span.end_s > span.start_s
        ]
        if drawn:
            axes.barh(
                [row for row, _ in drawn],
                [(span.end_s - span.start_s) / second for _, span in drawn],
                left=[span.start_s / second for _, span in drawn],
                height=0.72,
                color=colour,
                label=stage,
                zorder=2,
            )


def _draw_marks(
    axes: "Axes", tasks: list[TaskRecord], rows: dict[int, int], end_s: float, second: float
) -> None:
    """Mark the end of every task whose work was lost."""
    for outcome, mark in _MARKS.items():
        ended = [task for task in tasks if task.outcome is outcome and task.ended_s <= end_s]
        if ended:
            axes.plot(
                [task.ended_s / second for task in ended],
                [rows[task.client] for task in ended],
                linestyle="",
                marker=mark,
                markersize=6,
                markerfacecolor="white" if outcome is Outcome.DISCARDED else OUTCOME_COLOURS[outcome],
                markeredgecolor=OUTCOME_COLOURS[outcome] if outcome is Outcome.DISCARDED else "white",
                markeredgewidth=1.3 if outcome is Outcome.DISCARDED else 0.5,
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
