"""`metrics.parquet`: the metrics of versions and of the clients' own tests, and what they come to."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flsim.observe.client_accuracy import Distribution, spread
from flsim.observe.schemas import METRICS_SCHEMA
from flsim.observe.table_file import write_table
from flsim.observe.tables import Tables
from flsim.records import DIVERGENCE, MetricRecord
from flsim.tasks import TrainingReport

Values = dict[str, float | None]


def write_measured(folder: Path, report: TrainingReport) -> None:
    """Write `folder/metrics.parquet`, if anything was measured. Raises RunError if it cannot be written.

    Rows are in the order of versions; of one, the server's metrics come first, then each client's.
    """
    rows = sorted([*report.metrics, *_of_clients(report)], key=_place)
    if not rows:
        return
    columns = zip(*rows, strict=True)
    arrays = [pa.array(column, kind) for column, kind in zip(columns, METRICS_SCHEMA.types, strict=True)]
    write_table(folder / "metrics.parquet", pa.table(arrays, schema=METRICS_SCHEMA))


def _place(row: MetricRecord) -> tuple[int, int]:
    return row.version, -1 if row.client is None else row.client


def _of_clients(report: TrainingReport) -> Iterator[MetricRecord]:
    if (tests := report.clients) is None:
        return
    versions, clients = tests.version.tolist(), tests.client.tolist()
    for name, values in tests.metrics.items():
        for version, client, value in zip(versions, clients, values.tolist(), strict=True):
            yield MetricRecord(version, client, name, None if np.isnan(value) else value)


def of_versions(tables: Tables) -> dict[int, dict[str, Any]]:
    """Return what was measured of every version, as metrics.json has it; nothing if nothing was.

    `metrics`: those of the central test; None where it did not take place. `client_metrics`: how each is
    spread over the clients' own tests, likewise. `divergence`: of the update that led to the version.
    """
    if tables.metrics is None:
        return {}
    central, divergence = _of_server(tables.metrics)
    clients = _spreads(tables.metrics)
    return {
        version: {
            "metrics": central.get(version),
            "client_metrics": clients.get(version),
            "divergence": divergence.get(version),
        }
        for version in tables.versions["version"].to_pylist()
    }


def summary_of_measured(tables: Tables) -> dict[str, Any] | None:
    """Return what was measured last of each sort, and of which version; None if nothing was."""
    versions = of_versions(tables)
    if not versions:
        return None
    found: dict[str, Any] = {}
    for sort in ("metrics", "client_metrics", "divergence"):
        last = max((version for version, row in versions.items() if row[sort] is not None), default=None)
        found[sort] = None if last is None else {"version": last, **versions[last][sort]}
    return {
        "central": found["metrics"],
        "clients": found["client_metrics"],
        "divergence": found["divergence"],
    }


def names_of(tables: Tables) -> list[str]:
    """Return the names of the central test's metrics, in the order in which they were asked for."""
    if tables.metrics is None:
        return []
    names = tables.metrics.filter(tables.metrics["client"].is_null())["metric"].unique().to_pylist()
    return [name for name in names if name not in DIVERGENCE]


def _of_server(table: pa.Table) -> tuple[dict[int, Values], dict[int, Values]]:
    """Return the metrics of central tests, and those of server updates, by version."""
    central: dict[int, Values] = {}
    updates: dict[int, Values] = {}
    for row in _rows(table.filter(table["client"].is_null())):
        of = updates if row.metric in DIVERGENCE else central
        of.setdefault(row.version, {})[row.metric] = row.value
    return central, updates


def _spreads(table: pa.Table) -> dict[int, dict[str, Any]]:
    """Return how each metric is spread over the clients, by version."""
    found: dict[int, dict[str, list[float | None]]] = {}
    for row in _rows(table.filter(table["client"].is_valid())):
        found.setdefault(row.version, {}).setdefault(row.metric, []).append(row.value)
    return {
        version: {name: _spread(values) for name, values in metrics.items()}
        for version, metrics in found.items()
    }


def _spread(values: list[float | None]) -> dict[str, Any]:
    """Return how the values are spread of those clients that have one, and how many do not."""
    defined: NDArray[np.float64] = np.array([value for value in values if value is not None])
    undefined = len(values) - len(defined)
    empty: Distribution = dict.fromkeys(("mean", "std", "min", "p10", "median", "p90", "max"))
    return (spread(defined) if len(defined) else empty | {"clients": 0}) | {"undefined": undefined}


def _rows(table: pa.Table) -> Iterator[MetricRecord]:
    for row in zip(*(column.to_pylist() for column in table.columns), strict=True):
        yield MetricRecord(*row)
