"""What a run's compliance is judged by: everything that it has left, read once."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from flsim.errors import RunError
from flsim.govern.audit import AuditRecord, audit_records
from flsim.govern.audit_log import LINES, Link, read_log
from flsim.govern.manifest import FOLDER, MANIFEST, Manifest, manifest_bytes, parsed
from flsim.observe.folder import SCENARIO
from flsim.observe.tables import Tables, read_tables
from flsim.scenario import Scenario, read_scenario
from flsim.untrusted import read_json

_RECORD: TypeAdapter[AuditRecord] = TypeAdapter(AuditRecord)


@dataclass(frozen=True)
class Case:
    """A run that is judged.

    `records`: the audit log as it was written or, where there is none, as the tables have it; `links`: its
    chain, None where there is none; `folded`: what the tables say that the log must. `manifest`: None where
    there is none or, with `manifest_damage`, none that can be relied on.
    """

    folder: Path
    scenario: Scenario
    tables: Tables
    summary: Mapping[str, Any]
    records: Sequence[AuditRecord]
    folded: Sequence[AuditRecord]
    links: Sequence[Link] | None
    manifest: Manifest | None
    manifest_damage: str | None

    @property
    def epsilon(self) -> float | None:
        """What the run has spent; None without a privacy. It is infinite where JSON says null."""
        privacy = self.summary.get("privacy")
        if self.scenario.privacy is None or not isinstance(privacy, dict):
            return None
        epsilon = privacy.get("epsilon")
        return math.inf if epsilon is None else float(epsilon)


def read_case(folder: Path) -> Case:
    """Return what there is of a run. Raises RunError if it cannot be read, and ScenarioError likewise."""
    scenario, tables = read_scenario(folder / SCENARIO), read_tables(folder)
    summary = _summary(folder)
    privacy = summary.get("privacy")
    epsilon = privacy.get("epsilon") if isinstance(privacy, dict) else None
    folded = audit_records(scenario, tables, epsilon)
    links = read_log(folder / FOLDER) if (folder / FOLDER / LINES).exists() else None
    manifest, damage = None, None
    if (folder / FOLDER / MANIFEST).is_file():
        manifest, damage = parsed(manifest_bytes(folder))
    records = folded if links is None else [_record(link, folder) for link in links]
    return Case(folder, scenario, tables, summary, records, folded, links, manifest, damage)


def _record(link: Link, folder: Path) -> AuditRecord:
    try:
        return _RECORD.validate_python(dict(link.record))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise RunError(f"{folder / FOLDER / LINES}: a record's {key}: {first['msg']}") from error


def _summary(folder: Path) -> dict[str, Any]:
    path = folder / "summary.json"
    try:
        summary = read_json(path)
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {error}; was the run killed?") from error
    if not isinstance(summary, dict):
        raise RunError(f"{path} is not a run's summary")
    return summary
