"""The lineage of a version: whose updates it was made of, and which versions these had started from."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import networkx as nx
import pyarrow as pa

from flsim.errors import RunError
from flsim.observe.tables import EdgeTables, Tables, read_tables, task_records, version_records
from flsim.records import Outcome, TaskRecord


class Origin(NamedTuple):
    """Where a version comes from: the one before it, and the tasks whose updates went into it.

    In a hierarchy the tasks are those of edges, and `clients` has the tasks of clients that each of them
    was made of, by the edge's task.
    """

    version: int
    time_s: float
    model_sha256: str | None
    tasks: Sequence[TaskRecord]
    clients: dict[int, Sequence[TaskRecord]]

    @property
    def before(self) -> list[int]:
        """The versions that it follows from: the one that it changed, and those that tasks started from."""
        bases = {task.base_version for task in self.tasks}
        return sorted(bases | {self.version - 1}) if self.version else []


def origins(tables: Tables) -> list[Origin]:
    """Return the origin of every version, in order."""
    tasks: dict[int | None, list[TaskRecord]] = defaultdict(list)
    for task in _used(tables.aggregated):
        tasks[task.aggregated_version].append(task)
    below = {} if tables.edges is None else _below(tables, tables.edges)
    return [
        Origin(
            row.version,
            row.time_s,
            row.model_sha256,
            sorted(tasks[row.version], key=lambda task: task.task),
            {
                task.task: below.get(task.task, ())
                for task in tasks[row.version]
                if tables.edges is not None
            },
        )
        for row in version_records(tables.versions)
    ]


def _used(tasks: pa.Table) -> Iterator[TaskRecord]:
    """Yield the tasks that went into a version. Raises RunError if one of them has no weight."""
    for task in task_records(tasks):
        if task.outcome is Outcome.AGGREGATED:
            if task.weight is None:
                raise RunError(
                    f"task {task.task} went into version {task.aggregated_version} without a weight"
                )
            yield task


def lineage(folder: Path, version: int, depth: int | None = None) -> list[Origin]:
    """Return the origins of a version and of all that it follows from, the latest first.

    `depth`: how many versions to go back; None: to the initial model. Raises RunError where the run has no
    such version.
    """
    found = origins(read_tables(folder))
    if not 0 <= version < len(found):
        raise RunError(f"{folder} has no version {version}; it has 0 to {len(found) - 1}")
    reached, border = {version}, {version}
    for _ in range(version if depth is None else depth):
        border = {before for number in border for before in found[number].before if before < len(found)}
        border -= reached
        if not border:
            break
        reached |= border
    return [found[number] for number in sorted(reached, reverse=True)]


def as_text(some: Sequence[Origin]) -> str:
    """Return a line for each version and each of its tasks."""
    return "".join(f"{line}\n" for origin in some for line in _lines(origin))


def as_data(some: Sequence[Origin]) -> list[dict[str, Any]]:
    """Return the origins as plain data."""
    return [
        {
            "version": origin.version,
            "time_s": origin.time_s,
            "model_sha256": origin.model_sha256,
            "follows_from": origin.before,
            "tasks": [
                _part(task) | ({"clients": [_part(under) for under in below]} if below else {})
                for task in origin.tasks
                for below in [origin.clients.get(task.task, ())]
            ],
        }
        for origin in some
    ]


def as_graphml(some: Sequence[Origin]) -> str:
    """Return versions and tasks as a graph in GraphML: arrows go from what was to what came of it."""
    graph = nx.DiGraph()
    for origin in some:
        made = f"version {origin.version}"
        graph.add_node(made, kind="version", time_s=origin.time_s, model_sha256=origin.model_sha256 or "")
        if origin.version:
            graph.add_edge(f"version {origin.version - 1}", made)
        for task in origin.tasks:
            name = f"task {task.task}"
            graph.add_node(name, kind="task", client=task.client)
            graph.add_edge(f"version {task.base_version}", name)
            graph.add_edge(name, made, weight=task.weight)
            for under in origin.clients.get(task.task, ()):
                below = f"task {under.task} of a client"
                graph.add_node(below, kind="client task", client=under.client)
                graph.add_edge(below, name, weight=under.weight)
    return "\n".join(nx.generate_graphml(graph)) + "\n"


def _below(tables: Tables, edges: EdgeTables) -> dict[int, Sequence[TaskRecord]]:
    """Return the clients' tasks in each edge's task: those that its edge used while it was at work."""
    made_s = {
        (row["edge"], row["version"]): row["time_s"]
        for row in edges.versions.select(["edge", "version", "time_s"]).to_pylist()
    }
    used: dict[int, list[tuple[float, TaskRecord]]] = defaultdict(list)
    for task in _used(tables.tasks):
        if task.aggregated_version is not None:
            edge = int(edges.of_client[task.client])
            used[edge].append((made_s.get((edge, task.aggregated_version), -1.0), task))
    return {
        task.task: [
            under
            for at_s, under in used[task.client]
            if task.download_end_s is not None
            and task.train_end_s is not None
            and task.download_end_s <= at_s <= task.train_end_s
        ]
        for task in task_records(edges.tasks)
        if task.outcome is Outcome.AGGREGATED
    }


def _part(task: TaskRecord) -> dict[str, Any]:
    return {
        "task": task.task,
        "client": task.client,
        "base_version": task.base_version,
        "weight": task.weight,
    }


def _lines(origin: Origin) -> Iterator[str]:
    model = f", model {origin.model_sha256[:16]}…" if origin.model_sha256 else ""
    follows = (
        f", follows from {', '.join(map(str, origin.before))}" if origin.version else ", the initial model"
    )
    yield f"version {origin.version} at {origin.time_s:g} s{model}{follows}"
    for task in origin.tasks:
        who = "edge" if task.task in origin.clients else "client"
        start = f"from version {task.base_version}, weight {task.weight:g}"
        yield f"  task {task.task}: {who} {task.client}, {start}"
        for under in origin.clients.get(task.task, ()):
            yield f"    task {under.task}: client {under.client}, weight {under.weight:g}"
