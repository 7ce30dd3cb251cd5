"""The tables of a finished run. Every picture and every number is a fold over these."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flsim.errors import RunError
from flsim.observe.blocks import JOURNAL
from flsim.observe.clients import drawn_batch, errands_in, with_tasks
from flsim.observe.digest import (
    EDGE_VERSION_COLUMNS,
    TASK_COLUMNS,
    VERSION_COLUMNS,
    TableDigest,
    combined,
)
from flsim.observe.ending import ending_of
from flsim.observe.recovery import recovered_rows
from flsim.observe.schemas import (
    ABSENCES_SCHEMA,
    ATTACKED_TASKS_SCHEMA,
    CLIENT_ACCURACY_SCHEMA,
    CLIENTS_SCHEMA,
    EDGE_OF_CLIENT,
    EDGE_VERSIONS_SCHEMA,
    ENDING_SCHEMA,
    LEAKAGE_SCHEMA,
    MESSAGES_SCHEMA,
    METADATA_SCHEMA,
    METRICS_SCHEMA,
    RECONSTRUCTIONS_SCHEMA,
    SECURE_ERRANDS_SCHEMA,
    SECURE_SESSIONS_SCHEMA,
    TASKS_SCHEMA,
    VERSIONS_SCHEMA,
)
from flsim.observe.table_file import fitting, read_table
from flsim.records import EndingRecord, Outcome, TaskRecord, VersionRecord

_MOST_UNKNOWN = 1_000_000  # clients without a row of their own: of each of them something is kept
Stage = Literal["download", "compute", "upload"]


@dataclass(frozen=True)
class Tables:
    """What a run wrote: one row per task, per server update and per client.

    `client_accuracy`: one per version and client that were tested, if the clients were. `metadata`: one per
    task that went into a server update, if something was trained. `attacked_tasks`: one per task that was
    attacked, if there was an attack. `leakage`: one per attack of the leakage meter, and `reconstructions`:
    one per sample that it reconstructed, if there is one. `secure_sessions`: one per phase of a secure
    session, and `secure_errands`: one per recovery of a buffer and holder. `messages`: one per message of a
    program that asks clients by itself. `metrics`: one per metric of a
    version, or of a client's test of it, if there are any. `absences`: one per time that a client was away,
    if any was and the run wrote them down. In a hierarchy, `edges` has the tables of the
    edge servers; the tasks are the clients', and the versions the server's. `ending`: how the run ended,
    unless it was killed.
    """

    tasks: pa.Table
    versions: pa.Table
    clients: pa.Table
    client_accuracy: pa.Table | None = None
    metadata: pa.Table | None = None
    edges: "EdgeTables | None" = None
    attacked_tasks: pa.Table | None = None
    leakage: pa.Table | None = None
    reconstructions: pa.Table | None = None
    secure_sessions: pa.Table | None = None
    secure_errands: pa.Table | None = None
    messages: pa.Table | None = None
    metrics: pa.Table | None = None
    ending: pa.Table | None = None
    absences: pa.Table | None = None

    @property
    def errands(self) -> pa.Table | None:
        """What clients did beside their tasks, if they did: for a committee, or for a program."""
        if self.messages is None:
            return self.secure_errands
        return errands_in(self.messages)

    @property
    def aggregated(self) -> pa.Table:
        """The tasks that the versions are made of: the clients' or, in a hierarchy, the edges'."""
        return self.tasks if self.edges is None else self.edges.tasks


@dataclass(frozen=True)
class EdgeTables:
    """What edge servers did: one row per task of an edge, whose client is the edge, and per edge's update.

    `of_client`: everybody's edge, [clients].
    """

    tasks: pa.Table
    versions: pa.Table
    of_client: NDArray[np.int64]


class Span(NamedTuple):
    """The time that a task spent in one stage, in virtual seconds."""

    stage: Stage
    start_s: float
    end_s: float


def read_tables(folder: Path) -> Tables:
    """Return the tables that a run left in `folder`: those of its journal, if it was killed.

    Raises RunError if one is missing, was cut off, or is not a flsim table.
    """
    if was_killed(folder):
        return _recovered(folder)
    tested, metadata = folder / "client_accuracy.parquet", folder / "metadata.parquet"
    attacked, sessions = folder / "attacked_tasks.parquet", folder / "secure_sessions.parquet"
    errands, messages = folder / "secure_errands.parquet", folder / "messages.parquet"
    metrics = folder / "metrics.parquet"
    leakage, guesses = folder / "leakage.parquet", folder / "reconstructions.parquet"
    ending, absences = folder / "ending.parquet", folder / "absences.parquet"
    tables = Tables(
        tasks=read_table(folder / "tasks.parquet", TASKS_SCHEMA),
        versions=read_table(folder / "versions.parquet", VERSIONS_SCHEMA),
        clients=read_table(folder / "clients.parquet", CLIENTS_SCHEMA),
        client_accuracy=read_table(tested, CLIENT_ACCURACY_SCHEMA) if tested.exists() else None,
        metadata=read_table(metadata, METADATA_SCHEMA) if metadata.exists() else None,
        edges=_read_edges(folder) if (folder / "edge_tasks.parquet").exists() else None,
        attacked_tasks=read_table(attacked, ATTACKED_TASKS_SCHEMA) if attacked.exists() else None,
        leakage=read_table(leakage, LEAKAGE_SCHEMA) if leakage.exists() else None,
        reconstructions=read_table(guesses, RECONSTRUCTIONS_SCHEMA) if guesses.exists() else None,
        secure_sessions=read_table(sessions, SECURE_SESSIONS_SCHEMA) if sessions.exists() else None,
        secure_errands=read_table(errands, SECURE_ERRANDS_SCHEMA) if errands.exists() else None,
        messages=read_table(messages, MESSAGES_SCHEMA) if messages.exists() else None,
        metrics=read_table(metrics, METRICS_SCHEMA) if metrics.exists() else None,
        ending=read_table(ending, ENDING_SCHEMA) if ending.exists() else None,
        absences=read_table(absences, ABSENCES_SCHEMA) if absences.exists() else None,
    )
    fleet = max(tables.clients.num_rows, _MOST_UNKNOWN)
    if tables.edges is not None:
        fleet = len(tables.edges.of_client)
    for name in ("tasks", "secure_errands", "messages"):
        table = getattr(tables, name)
        _check_clients(str(folder / f"{name}.parquet"), table, fleet)
    if tables.client_accuracy is not None:
        _check_versions(str(tested), tables.client_accuracy, tables.versions)
        _check_shares(str(tested), tables.client_accuracy["accuracy"])
    return tables


def was_killed(folder: Path) -> bool:
    """Return whether the tables in a folder broke off, and its journal has what there is; or it goes on."""
    return not (folder / "ending.parquet").exists() and (folder / JOURNAL).exists()


def ended_by(folder: Path) -> EndingRecord | None:
    """Return how the run of a folder ended; None if it was killed, or goes on."""
    path = folder / "ending.parquet"
    return ending_of(read_table(path, ENDING_SCHEMA)) if path.exists() else None


def _recovered(folder: Path) -> Tables:
    """Return the tables of a run that was killed, as far as its journal has them."""
    rows = recovered_rows(folder)

    def of_journal(name: str, schema: pa.Schema) -> pa.Table | None:
        return fitting(f"{folder / JOURNAL}: {name}", rows[name], schema) if name in rows else None

    tasks = of_journal("tasks", TASKS_SCHEMA)
    tasks = TASKS_SCHEMA.empty_table() if tasks is None else tasks
    errands = of_journal("secure_errands", SECURE_ERRANDS_SCHEMA)
    edges = None
    clients = CLIENTS_SCHEMA.empty_table()
    fleet = rows["clients"].num_rows if "clients" in rows else _MOST_UNKNOWN
    messages = of_journal("messages", MESSAGES_SCHEMA)
    for name, table in (("tasks", tasks), ("secure_errands", errands), ("messages", messages)):
        _check_clients(f"{folder / JOURNAL}: {name}", table, fleet)
    if "clients" in rows:
        drawn = drawn_batch(f"{folder / JOURNAL}: clients", rows["clients"])
        beside = errands if messages is None else errands_in(messages)
        clients = with_tasks(drawn, tasks.to_batches(), () if beside is None else beside.to_batches())
    if EDGE_OF_CLIENT.name in clients.column_names:
        edge_tasks, versions = (
            of_journal("edge_tasks", TASKS_SCHEMA),
            of_journal("edge_versions", EDGE_VERSIONS_SCHEMA),
        )
        edges = EdgeTables(
            TASKS_SCHEMA.empty_table() if edge_tasks is None else edge_tasks,
            EDGE_VERSIONS_SCHEMA.empty_table() if versions is None else versions,
            clients[EDGE_OF_CLIENT.name].to_numpy(),
        )
    versions = of_journal("versions", VERSIONS_SCHEMA)
    return Tables(
        tasks=tasks,
        versions=VERSIONS_SCHEMA.empty_table() if versions is None else versions,
        clients=clients.select(CLIENTS_SCHEMA.names),
        metadata=of_journal("metadata", METADATA_SCHEMA),
        edges=edges,
        secure_sessions=of_journal("secure_sessions", SECURE_SESSIONS_SCHEMA),
        secure_errands=errands,
        messages=messages,
        absences=of_journal("absences", ABSENCES_SCHEMA),
    )


def _read_edges(folder: Path) -> EdgeTables:
    of_edges = pa.schema([*CLIENTS_SCHEMA, EDGE_OF_CLIENT])
    return EdgeTables(
        read_table(folder / "edge_tasks.parquet", TASKS_SCHEMA),
        read_table(folder / "edge_versions.parquet", EDGE_VERSIONS_SCHEMA),
        read_table(folder / "clients.parquet", of_edges)["edge"].to_numpy(),
    )


def records_sha256(tables: Tables) -> str:
    """Return the hash of the tables' timing: the one that the journal gave when it wrote them."""
    digests = {
        "tasks": _digest(tables.tasks, TASK_COLUMNS),
        "versions": _digest(tables.versions, VERSION_COLUMNS),
    }
    if (edges := tables.edges) is not None:
        digests["edge_tasks"] = _digest(edges.tasks, TASK_COLUMNS)
        digests["edge_versions"] = _digest(edges.versions, EDGE_VERSION_COLUMNS)
    return combined(**digests)


def _digest(table: pa.Table, columns: Sequence[str]) -> TableDigest:
    digest = TableDigest(columns)
    for batch in table.to_batches():
        digest = digest.extended(batch)
    return digest


def task_records(tasks: pa.Table) -> Iterator[TaskRecord]:
    """Yield the rows of a task table."""
    for row in zip(*(column.to_pylist() for column in tasks.columns), strict=True):
        record = TaskRecord(*row)
        yield record._replace(outcome=Outcome(record.outcome))


def version_records(versions: pa.Table) -> Iterator[VersionRecord]:
    """Yield the rows of a version table."""
    for row in zip(*(column.to_pylist() for column in versions.columns), strict=True):
        yield VersionRecord(*row)


def spans(task: TaskRecord) -> list[Span]:
    """Return the stages that a task went through, in order; it ended in the last of them."""
    if task.download_end_s is None:
        return [Span("download", task.dispatched_s, task.ended_s)]
    download = Span("download", task.dispatched_s, task.download_end_s)
    if task.train_end_s is None:
        return [download, Span("compute", task.download_end_s, task.ended_s)]
    return [
        download,
        Span("compute", task.download_end_s, task.train_end_s),
        Span("upload", task.train_end_s, task.ended_s),
    ]


def outcomes(tasks: pa.Table) -> NDArray[np.object_]:
    """Return the outcome of every row as a word. Returns [tasks]."""
    words: NDArray[np.object_] = tasks["outcome"].cast(pa.string()).to_numpy()
    return words


def _check_versions(where: str, table: pa.Table, versions: pa.Table) -> None:
    """Raise RunError if a table is of versions that there are none of."""
    strange = np.setdiff1d(table["version"].to_numpy(), versions["version"].to_numpy())
    if len(strange):
        raise RunError(f"{where}: rows of version {strange[0]}, which versions.parquet has not")


def _check_shares(where: str, column: pa.ChunkedArray) -> None:
    """Raise RunError if accuracies are none."""
    shares = column.drop_null().to_numpy()
    if not ((shares >= 0.0) & (shares <= 1.0)).all():
        raise RunError(f"{where}: the column accuracy has a number that is not from 0 to 1")


def _check_clients(where: str, table: pa.Table | None, clients: int) -> None:
    """Raise RunError if a table has rows of clients beyond those that there are."""
    if table is not None and int(table["client"].to_numpy().max(initial=-1)) >= clients:
        raise RunError(f"{where}: rows of clients that are not there; the fleet has {clients:,}")
