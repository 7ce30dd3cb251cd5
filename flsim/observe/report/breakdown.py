"""Where time went: clients' seconds by state, as a stack for each and as sums by device class."""

import numpy as np
from numpy.typing import NDArray

from flsim.observe.report.parts import (
    STATE_COLOURS,
    Figure,
    Note,
    Part,
    Table,
    Terms,
    bars,
    per_cent,
    plot,
    sampled,
    share,
)
from flsim.observe.report.ranks import AXIS, Ranks
from flsim.observe.report.run_facts import Recorded
from flsim.observe.states import BUSY, STATES, seconds_by_client
from flsim.units import TIME

MEANINGS = (
    ("download", "from the dispatch of a task until its version has arrived, or the task has ended"),
    ("compute", "from then until training is over, or the task has ended"),
    ("upload", "from then until the task has ended"),
    (
        "waiting",
        "no task, but the client's last update has arrived and is not used yet: until the server (in a "
        "hierarchy the edge) makes the version that it goes into, the client's next dispatch, or the end "
        "of the run, whichever comes first",
    ),
    ("idle", "all else, whether the client was there or not"),
)
_DETAIL = (
    "A client is in exactly one of these states, so its seconds add up to the length of the run. What "
    "holds a task up belongs to its stage: latency, queues, retries, and pauses of a client that is away. "
    "With secure aggregation the messages before the model are part of the download, those after it of the "
    "upload. A discarded update does not wait: the records do not say when it was thrown away."
)


def busiest_first(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the clients in the order of the time that they had a task, the longest first: [clients]."""
    order: NDArray[np.int64] = np.argsort(-seconds[:, : len(BUSY)].sum(axis=1), kind="stable")
    return order


def breakdown(run: Recorded) -> list[Part]:
    """Return the stack, the meaning of the states, and the sums."""
    seconds = seconds_by_client(run.tables)
    if not seconds.sum() > 0:
        return [Note("No time has passed.")]
    return [_stack(run, seconds), Terms(MEANINGS), Note(_DETAIL), _classes(run, seconds)]


def _stack(run: Recorded, seconds: NDArray[np.float64]) -> Figure:
    ranks = Ranks.of(busiest_first(seconds))
    shares = ranks.means(seconds[ranks.order]) / run.end_s
    traces = [
        bars(
            state,
            ranks.middles,
            100 * shares[:, column],
            ranks.widths,
            STATE_COLOURS[state],
            f"%{{customdata}}: {state} %{{y:.3g}} %",
            ranks.names,
        )
        for column, state in enumerate(STATES)
    ]
    look = {"barmode": "stack", "bargap": 0, "showlegend": True, "xaxis": ranks.axis}
    across, up = AXIS, "share of the run (%)"
    whole = seconds.sum(axis=0)
    told = ", ".join(
        f"{state} {share(part, whole.sum())}" for state, part in zip(STATES, whole.tolist(), strict=True)
    )
    rows, note = sampled(
        [
            (name, *(per_cent(part) for part in row))
            for name, row in zip(ranks.names, shares.tolist(), strict=True)
        ],
        "bars",
    )
    return Figure(
        "breakdown",
        "Where the clients' time went",
        f"Of all the clients' time: {told}.{ranks.note}",
        [
            ("The whole run", plot(traces, across, up, **look, yaxis={"range": [0, 100]})),
            ("Without idle time", plot(traces[:-1], across, up, **look, yaxis={"rangemode": "tozero"})),
        ],
        Table("Share of the run by client", ("Client", *STATES), rows, note=note),
    )


def _classes(run: Recorded, seconds: NDArray[np.float64]) -> Table:
    """Return the clients' seconds by device class, and those of all."""
    classes = run.device_classes
    groups = [(name, classes == name) for name in sorted(set(classes.tolist()))]
    if len(groups) > 1:
        groups.append(("all", np.ones(len(seconds), np.bool_)))
    rows = []
    for name, own in groups:
        sums = seconds[own].sum(axis=0)
        cells = [
            f"{TIME.format(part)} ({share(part, sums.sum())})" if part else "0 s" for part in sums.tolist()
        ]
        rows.append((name, f"{int(own.sum()):,}", *cells))
    return Table(
        "Time of all clients together, by device class", ("Device class", "Clients", *STATES), rows
    )
