"""Further tables for the made-up runs, so that there is a picture of everything."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute

from flsim.observe.schemas import (
    CLIENT_ACCURACY_SCHEMA,
    EDGE_VERSIONS_SCHEMA,
    METADATA_SCHEMA,
    METRICS_SCHEMA,
    TASKS_SCHEMA,
)
from flsim.observe.tables import EdgeTables, Tables
from flsim.records import DIVERGENCE, ClientEvaluations


def with_tests(tables: Tables) -> Tables:
    """Add a test of every version by every client, but for a client that misses every other version."""
    versions, clients = tables.versions["version"].to_numpy(), tables.clients["client"].to_numpy()
    version, client = (grid.ravel() for grid in np.meshgrid(versions, clients, indexing="ij"))
    there = ~((client == clients[-1]) & (version % 2 == 1))
    version, client = version[there], client[there]
    skill = 1 / (1 + client % 7)
    accuracy = np.clip(0.1 + 0.9 * skill * (1 - 0.8**version), 0, 1)
    columns = [version, client, 5 + client, accuracy, 2.5 - 2 * accuracy]
    return replace(tables, client_accuracy=pa.table(columns, schema=CLIENT_ACCURACY_SCHEMA))


def as_evaluations(tables: Tables) -> ClientEvaluations:
    return ClientEvaluations(*(column.to_numpy() for column in tables.client_accuracy.columns))


def with_metrics(tables: Tables) -> Tables:
    """Add two shares and an unbounded metric of every version, and what every update moved."""
    names = ("precision", "roc_auc", "mean_absolute_error", *DIVERGENCE)
    versions = tables.versions["version"].to_pylist()
    rows = [(version, None, name, 0.1 + 0.8 / (1 + version)) for version in versions for name in names]
    columns = list(zip(*rows, strict=True))
    return replace(tables, metrics=pa.table([*map(pa.array, columns)], schema=METRICS_SCHEMA))


def with_reports(tables: Tables) -> Tables:
    """Add what came with the updates: three epochs, the last tasks converged."""
    used = tables.tasks.filter(compute.is_valid(tables.tasks["aggregated_version"]))
    version = used["aggregated_version"].to_numpy()
    losses = [[2 / v, 1.5 / v, 1 / v] for v in version.tolist()]
    rows = len(version)
    columns = [
        used["task"],
        used["client"],
        used["aggregated_version"],
        pa.array(2.0 + version % 3),
        pa.array(version > np.median(version)),
        pa.array(losses, pa.list_(pa.float64())),
        pa.nulls(rows, pa.string()),
        pa.nulls(rows, pa.string()),
    ]
    return replace(tables, metadata=pa.table(columns, schema=METADATA_SCHEMA))


def below(tables: Tables, edges: Tables) -> Tables:
    """Put the clients of `tables` under the servers that are the clients of `edges`."""
    made = tables.versions.select(["version", "time_s", "tasks", "mean_staleness"])
    edge = pa.array(np.zeros(made.num_rows, np.int64))
    made = made.add_column(0, "edge", edge).cast(EDGE_VERSIONS_SCHEMA)
    of_client = np.arange(tables.clients.num_rows) % edges.clients.num_rows
    both = EdgeTables(edges.tasks.cast(TASKS_SCHEMA), made, of_client)
    return replace(tables, versions=edges.versions, edges=both)
