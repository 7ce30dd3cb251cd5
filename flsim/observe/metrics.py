"""`metrics.json`, `metrics.csv` and `communication.json`: what a run learned and what it sent."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flsim.observe.client_accuracy import distributions
from flsim.observe.client_reports import reports
from flsim.observe.files import write_bytes, write_json
from flsim.observe.measured import names_of, of_versions
from flsim.observe.sessions import by_phase
from flsim.observe.tables import Tables, outcomes, version_records
from flsim.observe.uncompressed import uncompressed
from flsim.records import Outcome
from flsim.tasks import TaskCosts
from flsim.untrusted import harmless_row

Counts = NDArray[np.int64]
Reals = NDArray[np.float64]

_LEADING_COLUMNS = ("time", "kind", "round", "loss", "accuracy")
_OTHER_COLUMNS = (
    "tasks",
    "mean_staleness",
    "mean_train_loss",
    "mean_training_time_s",
    "converged_share",
    "bytes_up_cumulative",
    "bytes_down_cumulative",
    "model_sha256",
    "epsilon",
    "attack_success",
)


def write_metrics(folder: Path, tables: Tables, costs: TaskCosts | None = None) -> list[Path]:
    """Write the three files into `folder` and return their paths. `costs`: what tasks cost, if known."""
    metrics, names = metrics_json(tables), names_of(tables)
    paths = [folder / name for name in ("metrics.json", "metrics.csv", "communication.json")]
    write_json(paths[0], metrics)
    write_bytes(paths[1], metrics_csv(metrics, names).encode())
    write_json(paths[2], communication_json(tables, costs))
    return paths


def metrics_json(tables: Tables) -> dict[str, list[dict[str, Any]]]:
    """Return one entry per version: when it was made, of what, how good it is, and the bytes by then.

    `attack_success` is None unless the version is tested and there is a backdoor.
    `client_accuracy` is the distribution over the clients' own tests; None where they did not take place.
    `mean_train_loss` is the plain mean over the tasks that went into the version; None without any.
    `metadata` is what came with their updates; see `client_reports`. What else was measured, if anything,
    has keys of its own; see `of_versions`.
    Bytes are those of all tasks that had ended by then, whatever became of them.
    """
    spent = _Spending.of(tables)
    times = tables.versions["time_s"].to_numpy()
    up, down = spent.up_by(times).tolist(), spent.down_by(times).tolist()
    losses, tested, said = mean_train_losses(tables), distributions(tables), reports(tables)
    measured = of_versions(tables)
    return {
        "versions": [
            {
                "version": row.version,
                "time_s": row.time_s,
                "tasks": row.tasks,
                "mean_staleness": row.mean_staleness,
                "accuracy": row.accuracy,
                "loss": row.loss,
                "client_accuracy": tested.get(row.version),
                "mean_train_loss": losses.get(row.version),
                "metadata": said.get(row.version),
                "bytes_up_cumulative": up[index],
                "bytes_down_cumulative": down[index],
                "model_sha256": row.model_sha256,
                "epsilon": row.epsilon,
                "attack_success": row.attack_success,
            }
            | measured.get(row.version, {})
            for index, row in enumerate(version_records(tables.versions))
        ]
    }


def metrics_csv(metrics: dict[str, list[dict[str, Any]]], names: Sequence[str] = ()) -> str:
    """Return the evaluated versions of `metrics` as CSV: one line each, below a header.

    `time` is in virtual seconds, `kind` says who evaluated (the server: `central`), and `round` is the
    version. The metrics that were asked for, `names`, come last. A value that does not exist is empty.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(harmless_row((*_LEADING_COLUMNS, *_OTHER_COLUMNS, *names)))
    for row in metrics["versions"]:
        if row["accuracy"] is not None or row["loss"] is not None:
            leading = (row["time_s"], "central", row["version"], row["loss"], row["accuracy"])
            flat = row | (row["metadata"] or {"mean_training_time_s": None, "converged_share": None})
            further = row.get("metrics") or {}
            others = [flat[name] for name in _OTHER_COLUMNS]
            writer.writerow(harmless_row([*leading, *others, *(further.get(name) for name in names)]))
    return text.getvalue()


def communication_json(tables: Tables, costs: TaskCosts | None = None) -> dict[str, Any]:
    """Return the bytes of a run: in all, up to each version, per outcome and per client.

    A version counts the tasks that ended since the version before, and cumulatively all that ended by then.
    Errands of holders in recoveries count as tasks do, but are of no outcome. Bytes of an outcome other
    than `aggregated` were spent in vain. In a hierarchy these are the bytes between clients and edges;
    `backbone` says the same of those between edges and server. `uncompressed` is what would have been sent
    without compression; None without any. `secure_aggregation`, where there is some, says the same of the
    phases of its sessions: see `by_phase`.
    """
    communication = _communication(tables, "clients")
    communication["uncompressed"] = None if costs is None else uncompressed(tables.tasks, costs)
    if (sessions := tables.secure_sessions) is not None:
        communication["secure_aggregation"] = by_phase(sessions)
    if (edges := tables.edges) is not None:
        backbone = replace(tables, tasks=edges.tasks, clients=tables.clients.slice(0, 0))
        communication["backbone"] = _communication(backbone, "edges")
    return communication


def _communication(tables: Tables, who: str) -> dict[str, Any]:
    """Return the bytes of the tasks of clients, or of edges."""
    spent = _Spending.of(tables)
    words = spent.outcome
    return {
        "bytes_up": int(spent.up.sum()),
        "bytes_down": int(spent.down.sum()),
        "versions": _per_version(tables, spent),
        "outcomes": {
            outcome.value: {
                "tasks": int((words == outcome.value).sum()),
                "bytes_up": int(spent.up[words == outcome.value].sum()),
                "bytes_down": int(spent.down[words == outcome.value].sum()),
            }
            for outcome in Outcome
        },
        who: _per_client(tables, spent, who.removesuffix("s")),
    }


def traffic_by(tables: Tables, times: Reals) -> tuple[Counts, Counts]:
    """Return the bytes up and down of all tasks that had ended by each of `times`."""
    spent = _Spending.of(tables)
    return spent.up_by(times), spent.down_by(times)


@dataclass(frozen=True)
class _Spending:
    """The bytes of every task and then of every holder's errand, whose they were, and by when.

    All [tasks + errands]; `outcome` is a word, and that of an errand is empty.
    """

    ended_s: Reals
    up: Counts
    down: Counts
    client: Counts
    outcome: NDArray[np.object_]

    @classmethod
    def of(cls, tables: Tables) -> "_Spending":
        parts, words = [tables.tasks], outcomes(tables.tasks)
        if (errands := tables.errands) is not None:
            parts.append(errands)
            words = np.concatenate([words, np.full(errands.num_rows, "", np.object_)])

        def column(name: str) -> NDArray[Any]:
            return np.concatenate([part[name].to_numpy() for part in parts])

        return cls(column("ended_s"), column("bytes_up"), column("bytes_down"), column("client"), words)

    def up_by(self, times: Reals) -> Counts:
        """Return the bytes that tasks sent up until they ended at or before each of `times`."""
        return self._by(times, self.up)

    def down_by(self, times: Reals) -> Counts:
        """Return the bytes that tasks took down until they ended at or before each of `times`."""
        return self._by(times, self.down)

    def _by(self, times: Reals, sizes: Counts) -> Counts:
        order = np.argsort(self.ended_s, kind="stable")
        sums = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes[order])])
        ended: Counts = np.searchsorted(self.ended_s[order], times, side="right")
        return sums[ended]


def mean_train_losses(tables: Tables) -> dict[int, float]:
    """Return the mean training loss of the tasks that went into each version that has any."""
    tasks = tables.aggregated.select(["aggregated_version", "outcome", "train_loss"]).drop_null()
    if not tasks.num_rows:
        return {}
    counted = outcomes(tasks) == Outcome.AGGREGATED.value
    versions = tasks["aggregated_version"].to_numpy()[counted]
    losses = tasks["train_loss"].to_numpy()[counted]
    distinct, places = np.unique(versions, return_inverse=True)
    means = np.bincount(places, losses) / np.bincount(places)
    return dict(zip(distinct.tolist(), means.tolist(), strict=True))


def _per_version(tables: Tables, spent: _Spending) -> list[dict[str, Any]]:
    times = tables.versions["time_s"].to_numpy()
    up, down = spent.up_by(times), spent.down_by(times)
    columns = {
        "version": tables.versions["version"].to_numpy(),
        "time_s": times,
        "bytes_up": np.diff(up, prepend=0),
        "bytes_down": np.diff(down, prepend=0),
        "bytes_up_cumulative": up,
        "bytes_down_cumulative": down,
    }
    return _rows(columns)


def _per_client(tables: Tables, spent: _Spending, who: str) -> list[dict[str, Any]]:
    clients = np.union1d(tables.clients["client"].to_numpy(), spent.client)
    places = np.searchsorted(clients, spent.client)
    tasks, up, down = (np.zeros(len(clients), np.int64) for _ in range(3))
    np.add.at(tasks, places[: tables.tasks.num_rows], 1)
    np.add.at(up, places, spent.up)
    np.add.at(down, places, spent.down)
    return _rows({who: clients, "tasks": tasks, "bytes_up": up, "bytes_down": down})


def _rows(columns: dict[str, NDArray[Any]]) -> list[dict[str, Any]]:
    values = (column.tolist() for column in columns.values())
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]
