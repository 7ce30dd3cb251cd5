"""What came with the clients' updates, per version and in all: a fold over `metadata.parquet`.

The tasks of a version are those that went into it, and those whose update was rejected.
"""

import math
from collections import defaultdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
from numpy.typing import NDArray

from flsim.errors import RunError
from flsim.observe.tables import Tables, outcomes
from flsim.records import Outcome
from flsim.untrusted import json_of

Places = NDArray[np.int64]


def reports(tables: Tables) -> dict[int, dict[str, Any]]:
    """Return what came with the updates of every version; nothing where nothing was trained.

    Nothing either in a hierarchy, where the versions of the clients' tasks are their edges'.
    `losses` has the mean over tasks for each epoch, and `scalars` the mean of each number that clients
    reported, by name; of what is true or false it is the share that is true. What is not finite is left
    out. `converged_share` is that of the tasks that can tell, None if no task can.
    """
    table = tables.metadata
    if table is None or not table.num_rows or tables.edges is not None:
        return {}
    versions, places = np.unique(table["version"].to_numpy(), return_inverse=True)
    count = len(versions)
    times = _means(places, table["training_time_s"].to_numpy(), count)
    shares, losses = _converged(table, places, count), _mean_losses(table, places, count)
    scalars = _mean_scalars(table, places, count)
    refused = np.bincount(places[_is_there(table["rejected"])], minlength=count).tolist()
    return {
        version: {
            "mean_training_time_s": times[place],
            "converged_share": shares[place],
            "losses": losses[place],
            "scalars": scalars[place],
            "payloads_rejected": refused[place],
        }
        for place, version in enumerate(versions.tolist())
    }


def summary_of_reports(tables: Tables) -> dict[str, Any] | None:
    """Return what came with the updates of a run in four numbers; None where nothing was trained.

    `converged_clients` is the share of all clients whose last aggregated task had converged, which is what
    a run can be stopped by; None if no task can tell.
    """
    table = tables.metadata
    if table is None or not table.num_rows:
        return None
    return {
        "tasks": table.num_rows,
        "mean_training_time_s": compute.mean(table["training_time_s"]).as_py(),
        "converged_clients": _converged_clients(tables, table),
        "payloads_rejected": int(_is_there(table["rejected"]).sum()),
    }


def _converged_clients(tables: Tables, table: pa.Table) -> float | None:
    if not _is_there(table["converged"]).any():
        return None
    counted = outcomes(tables.tasks) == Outcome.AGGREGATED.value
    used = np.isin(table["task"].to_numpy(), tables.tasks["task"].to_numpy()[counted])
    clients, converged = table["client"].to_numpy()[used], _converged_or_false(table)[used]
    _, last = np.unique(clients[::-1], return_index=True)  # rows are in the order of the server updates
    return float(converged[::-1][last].sum() / tables.clients.num_rows)


def _converged(table: pa.Table, places: Places, count: int) -> list[float | None]:
    known = _is_there(table["converged"])
    return _means(places[known], _converged_or_false(table)[known].astype(np.float64), count)


def _converged_or_false(table: pa.Table) -> NDArray[np.bool_]:
    column: NDArray[np.bool_] = table["converged"].fill_null(False).to_numpy()
    return column


def _mean_losses(table: pa.Table, places: Places, count: int) -> list[list[float | None]]:
    """Return the mean loss of each epoch, for so many versions."""
    lengths = compute.list_value_length(table["losses"]).to_numpy()
    losses = compute.list_flatten(table["losses"]).to_numpy()
    epochs = int(lengths.max(initial=0))
    epoch = np.arange(len(losses)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    means = _means(np.repeat(places, lengths) * epochs + epoch, losses, count * epochs)
    return [means[start : start + epochs] for start in range(0, count * epochs, epochs or 1)] or [
        []
    ] * count


def _mean_scalars(table: pa.Table, places: Places, count: int) -> list[dict[str, float | None]]:
    """Return the mean of each number by its name, for so many versions."""
    found: defaultdict[str, tuple[list[int], list[float]]] = defaultdict(lambda: ([], []))
    for place, text in zip(places.tolist(), table["scalars"].to_pylist(), strict=True):
        for name, value in _said(text).items() if text else ():
            if not isinstance(value, str):
                at, values = found[name]
                at.append(place)
                values.append(value)
    means: list[dict[str, float | None]] = [{} for _ in range(count)]
    for name, (at, values) in sorted(found.items()):
        for place, mean in enumerate(_means(np.array(at), np.array(values), count)):
            if mean is not None:
                means[place][name] = mean
    return means


def _said(text: str) -> dict[str, str | float]:
    """Return what a client reported beside its update. Raises RunError if that is no such report."""
    try:
        said = json_of(text.encode())
    except ValueError as error:
        raise RunError(f"metadata.parquet: the scalars of a task are not JSON: {error}") from error
    if not isinstance(said, dict) or not all(
        isinstance(value, str | int | float) for value in said.values()
    ):
        raise RunError("metadata.parquet: the scalars of a task are no numbers and words by name")
    return {name: value if isinstance(value, str) else _real(value) for name, value in said.items()}


def _real(value: float) -> float:
    """Return a number as a float: infinite if no float is so large, as a whole number of JSON may be."""
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _means(places: Places, values: NDArray[np.float64], count: int) -> list[float | None]:
    """Return the mean of the finite values at each of so many places; None where there is none."""
    finite = np.isfinite(values)
    counts = np.bincount(places[finite], minlength=count)
    sums = np.bincount(places[finite], values[finite], count)
    return [float(total / each) if each else None for total, each in zip(sums, counts, strict=True)]


def _is_there(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    there: NDArray[np.bool_] = column.is_valid().to_numpy()
    return there
