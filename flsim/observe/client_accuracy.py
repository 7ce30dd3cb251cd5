"""`client_accuracy.parquet`: the clients' own tests, and the distribution over the clients."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flsim.observe.schemas import CLIENT_ACCURACY_SCHEMA
from flsim.observe.table_file import write_table
from flsim.observe.tables import Tables
from flsim.records import ClientEvaluations

Distribution = dict[str, Any]


def write_client_accuracy(folder: Path, tested: ClientEvaluations) -> None:
    """Write `folder/client_accuracy.parquet`. Raises RunError if it cannot be written."""
    columns = {name: pa.array(getattr(tested, name)) for name in CLIENT_ACCURACY_SCHEMA.names}
    if np.isnan(tested.accuracy).any():  # numbers are neither right nor wrong
        columns["accuracy"] = pa.array(tested.accuracy, from_pandas=True)
    write_table(folder / "client_accuracy.parquet", pa.table(columns, schema=CLIENT_ACCURACY_SCHEMA))


def distribution(accuracy: NDArray[np.float64]) -> Distribution:
    """Return how accuracies are spread over clients, and how fair that is.

    `worst_tenth` is the mean of the worst tenth of the clients, rounded up. See `spread` and `gini`.
    """
    worst = np.sort(accuracy)[: -(-len(accuracy) // 10)]
    fairness = {
        "variance": float(accuracy.var()),
        "gini": gini(accuracy),
        "worst_tenth": float(worst.mean()),
    }
    return spread(accuracy) | fairness


def spread(values: NDArray[np.float64]) -> Distribution:
    """Return how values are spread over clients, each of which counts the same.

    `std` is that of the population; percentiles are interpolated.

    >>> spread(np.array([0.0, 0.5, 1.0, 0.5]))["median"]
    0.5
    """
    low, median, high = np.percentile(values, [10, 50, 90]).tolist()
    return {
        "mean": float(values.mean()),
        "std": float(values.std()),
        "min": float(values.min()),
        "p10": low,
        "median": median,
        "p90": high,
        "max": float(values.max()),
        "clients": len(values),
    }


def gini(values: NDArray[np.float64]) -> float | None:
    """Return the Gini coefficient of values that are not negative; None if all of them are zero.

    With x sorted, i from 1 to n: 2 sum(i x_i) / (n sum(x)) - (n + 1) / n. Zero if all have the same.

    >>> gini(np.array([1.0, 1.0])), gini(np.array([0.0, 1.0]))
    (0.0, 0.5)
    """
    count, total = len(values), float(values.sum())
    if total == 0.0:
        return None
    ranked = float(np.arange(1, count + 1) @ np.sort(values))
    return 2.0 * ranked / (count * total) - (count + 1) / count


def distributions(tables: Tables) -> dict[int, Distribution]:
    """Return the distribution of every version that clients have tested; none if there is no accuracy."""
    tested = tables.client_accuracy
    if tested is None or not tested.num_rows or tested["accuracy"].null_count:
        return {}
    order = np.argsort(tested["version"].to_numpy(), kind="stable")
    versions, starts = np.unique(tested["version"].to_numpy()[order], return_index=True)
    pieces = np.split(tested["accuracy"].to_numpy()[order], starts[1:])
    return {version: distribution(piece) for version, piece in zip(versions.tolist(), pieces, strict=True)}


def last_distribution(tables: Tables) -> Distribution | None:
    """Return the distribution of the last version that clients have tested, and which one that is."""
    tested = distributions(tables)
    return tested[last] | {"version": last} if (last := max(tested, default=None)) is not None else None
