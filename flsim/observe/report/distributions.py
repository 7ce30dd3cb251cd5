"""How staleness, the time between updates, and the stages of tasks are spread."""

import numpy as np
from numpy.typing import NDArray

from flsim.observe.report.parts import (
    STATE_COLOURS,
    Figure,
    Note,
    Part,
    Table,
    Trace,
    bars,
    numbers,
    plot,
    real,
)
from flsim.observe.report.run_facts import Recorded
from flsim.observe.report.spread import Histogram, histogram, quantiles
from flsim.observe.states import BUSY, stage_seconds
from flsim.observe.tables import outcomes
from flsim.records import Outcome

_FEWEST_NUMBERS = 6  # on an axis of whole numbers
_QUANTILES = ("5 %", "25 %", "median", "75 %", "95 %")


def staleness(run: Recorded) -> NDArray[np.float64]:
    """Return the staleness of every update that went into a version: [aggregated tasks]."""
    tasks = run.tables.aggregated
    used = tasks.take(np.flatnonzero(outcomes(tasks) == Outcome.AGGREGATED.value))
    found: NDArray[np.float64] = used["staleness"].drop_null().to_numpy().astype(np.float64)
    return found


def round_seconds(run: Recorded) -> NDArray[np.float64]:
    """Return the seconds between each version and the one before it: [versions - 1]."""
    return np.diff(np.sort(run.tables.versions["time_s"].to_numpy()))


def spreads(run: Recorded) -> list[Part]:
    """Return the figures; one without values is left out."""
    stale, gaps = staleness(run), round_seconds(run)
    parts: list[Part] = []
    if len(gaps):
        title = "Round time" if run.kind_of("strategy") == "sync" else "Time between server updates"
        parts.append(
            _histogram(
                "round-time", title, gaps, "time from one version to the next (s)", "versions", "--blue"
            )
        )
    if len(stale):
        parts.append(
            _histogram(
                "staleness",
                "Staleness",
                stale,
                "staleness when aggregated (versions)",
                "updates",
                "--purple",
            )
        )
    if run.tables.tasks.num_rows:
        parts.append(_stages(run))
    return parts or [Note("There is nothing to show: no task and no server update.")]


def _histogram(name: str, title: str, values: NDArray[np.float64], x: str, y: str, colour: str) -> Figure:
    found = histogram(values)
    low, *_, high = quantiles(values)
    middle = float(np.median(values))
    return Figure(
        name,
        title,
        f"{len(values):,} {y}, by {x}: median {real(middle)}, mean {real(float(values.mean()))}, 90 % of "
        f"them from {real(low)} to {real(high)}, at most {real(float(values.max()))}.",
        [
            (
                title,
                plot([_bins(found, colour)], x, y, xaxis=_axis(found), yaxis={"rangemode": "tozero"}),
            )
        ],
        Table(
            title,
            ("From", "To", y.capitalize()),
            [
                (real(low, 6), real(high, 6), f"{count:,}")
                for low, high, count in zip(
                    found.edges[:-1].tolist(), found.edges[1:].tolist(), found.counts.tolist(), strict=True
                )
            ],
        ),
        height=300,
    )  # fmt: skip


def _axis(found: Histogram) -> dict[str, object]:
    """Return what an axis of a few whole numbers needs: no others, and not one bar from end to end."""
    low, high = float(found.edges[0]), float(found.edges[-1])
    if low % 1 != 0.5 or len(found.counts) > 12:
        return {}
    return {"tickmode": "linear", "dtick": 1, "range": [low, max(high, low + _FEWEST_NUMBERS)]}


def _bins(found: Histogram, colour: str) -> Trace:
    low, high = found.edges[:-1], found.edges[1:]
    about = [list(pair) for pair in zip(numbers(low), numbers(high), strict=True)]
    middles, hover = numbers((low + high) / 2), "%{customdata[0]} to %{customdata[1]}: %{y}"
    return bars("count", middles, found.counts, numbers(high - low), colour, hover, about)


def _stages(run: Recorded) -> Figure:
    seconds = dict(zip(BUSY, stage_seconds(run.tables.tasks), strict=True))
    traces: list[Trace] = []
    rows = []
    for stage, found in seconds.items():
        values = found[~np.isnan(found)]
        if not len(values):
            continue
        low, quarter, middle, three, high = numbers(quantiles(values))
        traces.append(
            {
                "type": "box",
                "name": stage,
                "x": [stage],
                "lowerfence": [low],
                "q1": [quarter],
                "median": [middle],
                "q3": [three],
                "upperfence": [high],
                "mean": numbers([values.mean()]),
                "marker": {"color": STATE_COLOURS[stage]},
                "line": {"width": 2},
            }
        )
        rows.append(
            (
                stage,
                f"{len(values):,}",
                *(real(each) for each in quantiles(values)),
                real(float(values.mean())),
            )
        )
    return Figure(
        "stages",
        "Stages of tasks",
        "How long the stages of tasks take. A box has its ends at the quartiles and a line at the median, "
        "whiskers reach from the 5 % to the 95 % quantile, and the dashed line is the mean.",
        [("Stages", plot(traces, "stage", "time (s)", showlegend=False, yaxis={"rangemode": "tozero"}))],
        Table("Seconds of the stages", ("Stage", "Tasks", *_QUANTILES, "mean"), rows),
    )  # fmt: skip
