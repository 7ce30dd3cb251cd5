"""The further tables of a run: each of them changed, beside the others as they were."""

import io
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

from flsim.observe import schemas
from tests.fuzz.folded import folded
from tests.fuzz.place import folder, placed
from tests.fuzz.target import CORPUS, Target

_AS_THEY_ARE = ("tasks", "versions")
_NUMBERS = {"version": 1, "edge": 0, "accuracy": 0.5}
_WORDS = {"metric": "macro_f1", "phase": "masks", "mode": "cohort", "outcome": "done", "seen": "update"}
_OWN: Mapping[str, Mapping[str, Any]] = {
    "metadata": {"losses": [0.5, 0.25], "scalars": '{"grad_norm": 1.5}', "rejected": None},
    "reconstructions": {"shape": [1, 2], "true": [0.0, 1.0], "guess": [0.5, 0.5]},
    "ending": {"stop_reason": "updates", "stop_detail": "3 updates were made"},
    "attacked_tasks": {"outcome": "aggregated"},
    "edge_tasks": {"outcome": "aggregated", "client": 0},
}
_SCHEMAS: Mapping[str, pa.Schema] = {
    "absences": schemas.ABSENCES_SCHEMA,
    "attacked_tasks": schemas.ATTACKED_TASKS_SCHEMA,
    "attackers": schemas.ATTACKERS_SCHEMA,
    "client_accuracy": schemas.CLIENT_ACCURACY_SCHEMA,
    "edge_tasks": schemas.TASKS_SCHEMA,
    "edge_versions": schemas.EDGE_VERSIONS_SCHEMA,
    "ending": schemas.ENDING_SCHEMA,
    "factorisation": schemas.FACTORISATION_SCHEMA,
    "leakage": schemas.LEAKAGE_SCHEMA,
    "metadata": schemas.METADATA_SCHEMA,
    "metrics": schemas.METRICS_SCHEMA,
    "reconstructions": schemas.RECONSTRUCTIONS_SCHEMA,
    "secure_errands": schemas.SECURE_ERRANDS_SCHEMA,
    "secure_sessions": schemas.SECURE_SESSIONS_SCHEMA,
}
_OF_EDGES = ("edge_tasks", "edge_versions")


def _value(table: str, field: pa.Field, row: int) -> Any:
    """Return what a row has in a column: something that a run might have written."""
    given = {**_NUMBERS, **_WORDS, **_OWN.get(table, {})}
    if field.name in given:
        return given[field.name]
    if pa.types.is_string(field.type):
        return "alignment"
    if pa.types.is_boolean(field.type):
        return bool(row % 2)
    return row if pa.types.is_integer(field.type) else row + 0.5


def _bytes_of(table: pa.Table) -> bytes:
    out = io.BytesIO()
    parquet.write_table(table, out)
    return out.getvalue()


def side_tables() -> list[str]:
    """Return the names of the tables that a run without edges may have."""
    return [name for name in _SCHEMAS if name not in _OF_EDGES]


@cache
def good(name: str) -> bytes:
    """Return a table as a run might have written it."""
    schema = _SCHEMAS[name]
    count = 1 if name == "ending" else 3
    rows = [{field.name: _value(name, field, row) for field in schema} for row in range(count)]
    return _bytes_of(pa.Table.from_pylist(rows, schema))


@cache
def run_with_tables(*further: str) -> Path:
    """Return the folder of a run that has these tables beside the three of every run."""
    home = f"with-{further[0]}-{len(further)}"
    for name in _AS_THEY_ARE:
        placed(f"{home}/{name}.parquet", (CORPUS / name / f"{name}.parquet").read_bytes())
    clients = parquet.read_table(CORPUS / "clients" / "clients.parquet")
    if further == _OF_EDGES:
        clients = clients.append_column(schemas.EDGE_OF_CLIENT, [np.zeros(clients.num_rows, np.int64)])
    placed(f"{home}/clients.parquet", _bytes_of(clients))
    placed(f"{home}/scenario.yaml", (CORPUS / "run_scenario" / "scenario.yaml").read_bytes())
    for name in further:
        placed(f"{home}/{name}.parquet", good(name))
    return folder() / home


def _reading(name: str) -> Callable[[bytes], None]:
    def read(content: bytes) -> None:
        run = run_with_tables(*(_OF_EDGES if name in _OF_EDGES else (name,)))
        path = placed(f"{run.name}/{name}.parquet", content)
        try:
            folded(run, path)
        finally:
            placed(f"{run.name}/{name}.parquet", good(name))

    return read


def _target(name: str) -> Target:
    return Target(f"{name}_table", _reading(name), "table", lambda: [good(name)], share=0.4)


TARGETS = tuple(_target(name) for name in _SCHEMAS)
