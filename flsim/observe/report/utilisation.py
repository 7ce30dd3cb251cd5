"""Utilisation: how many clients are at work, and at what, over virtual time."""

import numpy as np

from flsim.observe.report.parts import (
    STATE_COLOURS,
    Figure,
    Table,
    numbers,
    plot,
    sampled,
    share,
    time_axis,
)
from flsim.observe.report.run_facts import Recorded
from flsim.observe.states import BUSY, mean_level, stretches
from flsim.units import TIME

_BINS = 150


def utilisation(run: Recorded) -> Figure | None:
    """Return the mean number of clients in each state that is not idle, over time; None without tasks."""
    if not run.tables.tasks.num_rows or run.end_s <= 0:
        return None
    edges_s = np.linspace(0.0, run.end_s, _BINS + 1)
    found = stretches(run.tables)
    levels = {state: mean_level(own, edges_s) for state, own in found.items()}
    when, second = time_axis(run.end_s)
    x = numbers(edges_s / second)
    traces = [
        {
            "type": "scatter",
            "mode": "lines",
            "stackgroup": "clients",
            "name": state,
            "x": x,
            "y": numbers([*level, level[-1]]),  # a step ends where the next one would begin
            "line": {"shape": "hv", "width": 0.5, "color": STATE_COLOURS[state]},
            "fillcolor": STATE_COLOURS[state],
            "hovertemplate": f"{state}: %{{y:.3g}} clients<extra></extra>",
        }
        for state, level in levels.items()
    ]
    busy = np.sum([levels[state] for state in BUSY], axis=0)
    shares = [share(level, run.clients) for level in busy.tolist()]
    rows, note = sampled(
        [
            (TIME.format(start), *(f"{own[place]:.3g}" for own in levels.values()), shares[place])
            for place, start in enumerate(edges_s[:-1].tolist())
        ],
        "stretches",
    )  # fmt: skip
    mean = float(busy.mean())
    return Figure(
        "utilisation",
        "Utilisation",
        f"How many of the {run.clients:,} clients are at work, and at what; the others are idle. A step is "
        f"the mean over {TIME.format(edges_s[1])}. On average {mean:.3g} clients have a task, "
        f"{share(mean, run.clients)} of the fleet.",
        [
            (
                "Virtual time",
                plot(traces, when, "clients", hovermode="x unified", yaxis={"rangemode": "tozero"}),
            )
        ],
        Table("Clients at work", ("From", *levels, "Busy share"), rows, note=note),
    )
