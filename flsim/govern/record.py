"""What a governed run leaves: the audit log, the manifest, and its signature if there is a key."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from flsim.govern.audit import audit_records
from flsim.govern.audit_log import chained, write_log
from flsim.govern.environment import environment
from flsim.govern.lineage import origins
from flsim.govern.manifest import (
    FOLDER,
    Chain,
    Manifest,
    Part,
    VersionOrigin,
    artefacts_in,
    write_manifest,
)
from flsim.govern.signature import sign
from flsim.holdings import Holdings
from flsim.observe.tables import Tables, read_tables
from flsim.scenario import Scenario
from flsim.scenario.workload import TorchWorkload
from flsim.tasks import TaskCosts

_NO_FEATURES = {"name", "seed", "workload", "fleet", "network", "stop", "evaluation", "output"}


def govern(
    scenario: Scenario,
    folder: Path,
    costs: TaskCosts,
    holdings: Holdings | None,
    summary: dict[str, Any],
    *,
    timing_only: bool,
) -> None:
    """Write what a run can be held to account by, if its scenario asks for that. All else is written.

    scenario: as it is in scenario.yaml. Raises RunError if a file cannot be written.
    """
    if scenario.governance is None:
        return
    tables = read_tables(folder)
    privacy = summary["privacy"]
    links = chained(audit_records(scenario, tables, privacy["epsilon"] if privacy else None))
    write_log(folder / FOLDER, links)
    lineage = _lineage(tables)
    manifest = Manifest(
        name=scenario.name,
        config={"scenario_sha256": scenario.sha256, "given_sha256": summary["scenario_sha256"]},
        timing_only=timing_only,
        environment=environment(),
        features=_features(scenario),
        model=_model(scenario, costs, lineage[0].model_sha256),
        data=_data(scenario, tables, holdings),
        records_sha256=summary["records_sha256"],
        audit=Chain(
            records=len(links), head=links[-1].sha256, bodies=tuple(link.body_sha256 for link in links)
        ),
        lineage=lineage,
        artefacts=artefacts_in(folder),
    )
    write_manifest(folder, manifest)
    if scenario.governance.sign is not None:
        sign(folder, Path(scenario.governance.sign))


def _lineage(tables: Tables) -> tuple[VersionOrigin, ...]:
    return tuple(
        VersionOrigin(
            version=origin.version,
            model_sha256=origin.model_sha256,
            tasks=tuple(
                Part(task=task.task, client=task.client, base_version=task.base_version, weight=task.weight)
                for task in origin.tasks
            ),
        )
        for origin in origins(tables)
    )


def _features(scenario: Scenario) -> dict[str, Any]:
    """Return which kind of each component was there, and which optional sections."""
    found: dict[str, Any] = {}
    for name in type(scenario).model_fields:
        part = getattr(scenario, name)
        if name not in _NO_FEATURES:
            found[name] = getattr(part, "kind", None) or part is not None
    return found


def _model(scenario: Scenario, costs: TaskCosts, initial: str | None) -> dict[str, Any] | None:
    if not isinstance(scenario.workload, TorchWorkload):
        return None
    return {
        "architecture": _dumped(scenario.workload.model),
        "parameters": costs.parameters,
        "frozen_parameters": costs.frozen_parameters,
        "initial_sha256": initial,
    }


def _data(scenario: Scenario, tables: Tables, holdings: Holdings | None) -> dict[str, Any] | None:
    if not isinstance(scenario.workload, TorchWorkload):
        return None
    data = scenario.workload.data
    return {
        "dataset": _dumped(data.dataset),
        "partition": _dumped(data.partition),
        "sizes": None if holdings is None else holdings.statistics(),
        "client_samples": tables.clients["samples"].to_pylist(),
    }


def _dumped(section: BaseModel) -> dict[str, Any]:
    return section.model_dump(mode="json")
