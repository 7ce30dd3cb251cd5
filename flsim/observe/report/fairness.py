"""Fairness: how work, updates and accuracy are shared out among the clients."""

import numpy as np
from numpy.typing import NDArray

from flsim.observe.participation import tasks_by_outcome
from flsim.observe.report.parts import (
    OUTCOME_COLOURS,
    Figure,
    Part,
    Table,
    bars,
    numbers,
    plot,
    real,
    sampled,
    share,
)
from flsim.observe.report.ranks import AXIS, Ranks
from flsim.observe.report.run_facts import Recorded
from flsim.observe.report.spread import gini, histogram, jain, lorenz
from flsim.observe.tables import outcomes
from flsim.records import Outcome

Amounts = NDArray[np.float64]


def fairness(run: Recorded) -> list[Part]:
    """Return who had how many tasks, how evenly, and how well the last model serves everybody."""
    parts: list[Part] = []
    if run.tables.tasks.num_rows:
        parts += [_participation(run), _lorenz(run)]
    if (tests := last_tests(run)) is not None:
        parts.append(_accuracies(*tests))
    parts.append(_classes(run))
    return parts


def shared_out(run: Recorded) -> dict[str, Amounts]:
    """Return what every client has had: tasks, aggregated updates and, if it counted, weight.

    Each is [clients].
    """
    tasks, clients = run.tables.tasks, run.clients
    owner = tasks["client"].to_numpy()
    used = outcomes(tasks) == Outcome.AGGREGATED.value
    found: dict[str, Amounts] = {
        "tasks": np.bincount(owner, minlength=clients).astype(np.float64),
        "aggregated updates": np.bincount(owner[used], minlength=clients).astype(np.float64),
    }
    weight = np.nan_to_num(tasks["weight"].to_numpy().astype(np.float64))[used]
    if weight.any() and (weight >= 0).all():  # a rule may count updates against one another
        found["weight in the models"] = np.bincount(owner[used], weight, clients).astype(np.float64)
    return found


def last_tests(run: Recorded) -> tuple[int, Amounts] | None:
    """Return the last version that clients have tested, and their accuracies; None if there are none."""
    tested = run.tables.client_accuracy
    if tested is None or not tested.num_rows or tested["accuracy"].null_count:
        return None
    versions = tested["version"].to_numpy()
    return int(versions.max()), tested["accuracy"].to_numpy()[versions == versions.max()]


def _participation(run: Recorded) -> Figure:
    clients, counts = tasks_by_outcome(run.tables)
    ranks = Ranks.of(clients)
    means = ranks.means(counts)
    traces = [
        bars(
            outcome.value,
            ranks.middles,
            means[:, column],
            ranks.widths,
            OUTCOME_COLOURS[outcome],
            f"%{{customdata}}: %{{y:.3g}} {outcome.value}",
            ranks.names,
        )
        for column, outcome in enumerate(Outcome)
        if counts[:, column].any()
    ]
    totals = counts.sum(axis=1)
    rows, note = sampled(
        [
            (name, *(f"{value:.4g}" for value in row))
            for name, row in zip(ranks.names, means.tolist(), strict=True)
        ],
        "bars",
    )
    look = {"barmode": "stack", "bargap": 0, "showlegend": True, "xaxis": ranks.axis}
    up = "tasks" if ranks.alone else "tasks per client"
    return Figure(
        "participation",
        "Participation",
        f"Tasks of each client by outcome: between {int(totals.min()):,} and "
        f"{int(totals.max()):,}, median {float(np.median(totals)):.4g}.{ranks.note}",
        [("Clients", plot(traces, AXIS, up, **look))],
        Table("Tasks by client", ("Client", *(outcome.value for outcome in Outcome)), rows, note=note),
    )


def _lorenz(run: Recorded) -> Figure:
    colours = ("--sky", "--blue", "--vermilion")
    amounts = shared_out(run)
    traces = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "equal shares",
            "x": [0, 100],
            "y": [0, 100],
            "line": {"color": "--grey", "width": 1, "dash": "dot"},
            "hoverinfo": "skip",
        }
    ]
    for (what, own), colour in zip(amounts.items(), colours, strict=False):
        poorest, part = lorenz(own)
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": what,
                "x": numbers(100 * poorest),
                "y": numbers(100 * part),
                "line": {"color": colour, "width": 2},
                "hovertemplate": f"%{{x:.3g}} % of the clients have %{{y:.3g}} % of the {what}"
                "<extra></extra>",
            }
        )
    told = "; ".join(
        f"{what}: Gini {gini(own):.3f}, Jain's index {jain(own):.3f}" for what, own in amounts.items()
    )
    return Figure(
        "lorenz",
        "How evenly it is shared out",
        f"What share the clients with the least have together; on the dotted line all have the "
        f"same. Of {told}.",
        [
            (
                "Clients",
                plot(
                    traces,
                    "clients, those with the least first (%)",
                    "share of the whole (%)",
                    xaxis={"range": [0, 100]},
                    yaxis={"range": [0, 101]},
                ),
            )
        ],
        Table(
            "How evenly it is shared out",
            ("What", "Gini", "Jain's index", "Clients with none", "Most of one client"),
            [
                (what, real(gini(own)), real(jain(own)), f"{int((own == 0).sum()):,}", real(own.max()))
                for what, own in amounts.items()
            ],
        ),
    )  # fmt: skip


def _accuracies(version: int, accuracy: Amounts) -> Figure:
    found = histogram(accuracy)
    low, high = found.edges[:-1], found.edges[1:]
    return Figure(
        "client-accuracy",
        "Accuracy by client",
        f"Version {version:,} on the held-out samples of {len(accuracy):,} clients: mean "
        f"{real(accuracy.mean())}, worst {real(accuracy.min())}, standard deviation "
        f"{real(accuracy.std())}.",
        [
            (
                "Clients",
                plot(
                    [
                        bars(
                            "clients",
                            numbers((low + high) / 2),
                            found.counts,
                            numbers(high - low),
                            "--blue",
                            "accuracy about %{x:.3g}: %{y} clients",
                        )
                    ],
                    "accuracy (clients' own tests)",
                    "clients",
                    bargap=0.04,
                ),
            )
        ],
        Table(
            "Accuracy by client",
            ("From", "To", "Clients"),
            [
                (real(a, 6), real(b, 6), f"{count:,}")
                for a, b, count in zip(low.tolist(), high.tolist(), found.counts.tolist(), strict=True)
            ],
        ),
        height=300,
    )


def _classes(run: Recorded) -> Table:
    """Return what the clients of each device class have had."""
    amounts = shared_out(run)
    classes = run.device_classes
    rows = []
    for name in sorted(set(classes.tolist())):
        own = classes == name
        cells = [
            f"{real(float(each[own].mean()))} ({share(each[own].sum(), each.sum())})"
            for each in amounts.values()
        ]
        rows.append((name, f"{int(own.sum()):,}", share(own.sum(), len(own)), *cells))
    return Table(
        "By device class: the mean of a client, and the share of all",
        ("Device class", "Clients", "Share", *amounts),
        rows,
    )  # fmt: skip
