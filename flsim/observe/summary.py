"""`summary.json`: a run in twenty lines."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from flsim.observe.journal import Totals
from flsim.records import VersionRecord
from flsim.tasks import TrainingReport

Section = Mapping[str, object]


@dataclass(frozen=True)
class Facts:
    """Which run it was, how it ended, and what it came to."""

    name: str
    seed: int
    stop_reason: str
    stop_detail: str
    wall_time_s: float
    virtual_time_s: float
    totals: Totals
    records_sha256: str
    scenario_sha256: str


@dataclass(frozen=True)
class Sections:
    """What the summary says of what a scenario may be without: None without.

    `client_accuracy`: the distribution over the clients' own tests of the last version that they tested.
    `data`: how the clients' samples were spread at first. `privacy`: how it was kept and counted, and what
    was spent. `attack`: who attacked how often, and with what success. `leakage`: what attacks on updates
    and versions gave. `metadata`: what came with the clients' updates. `edges`: in a hierarchy, what the
    edges' tasks come to; the bytes outside it are then those between clients and edges.
    `secure_aggregation`: what its sessions came to. `metrics`: what else was measured of the last versions.
    `adapters`: how much of the model travels, if a part of it is frozen. `tracking`: what became of each
    tracker.
    """

    client_accuracy: Section | None = None
    data: Section | None = None
    privacy: Section | None = None
    attack: Section | None = None
    leakage: Section | None = None
    metadata: Section | None = None
    edges: Section | None = None
    secure_aggregation: Section | None = None
    metrics: Section | None = None
    adapters: Section | None = None
    tracking: Section | None = None


_NOTHING_ELSE = Sections()


def summarise(
    facts: Facts,
    versions: Iterable[VersionRecord],
    training: TrainingReport | None,
    sections: Sections = _NOTHING_ELSE,
    *,
    target: float | None = None,
    client_updates_by: Callable[[float], int] | None = None,
) -> dict[str, object]:
    """Return the summary of a run.

    `updates` leaves out version 0, the initial model. `to_accuracy` is what it took to reach the accuracy
    `target`; in a hierarchy, `client_updates_by` says how many of the clients' updates were used by a time.
    """
    rows = list(versions)
    return {
        "name": facts.name,
        "seed": facts.seed,
        "updates": sum(row.version > 0 for row in rows),
        "virtual_time_s": facts.virtual_time_s,
        "wall_time_s": facts.wall_time_s,
        "stop_reason": facts.stop_reason,
        "stop_detail": facts.stop_detail,
        **tested(rows),
        "to_accuracy": None if target is None else _way_to(target, rows, client_updates_by),
        "client_accuracy": sections.client_accuracy,
        **_if_there(metrics=sections.metrics),
        "privacy": sections.privacy,
        "attack": sections.attack,
        **_if_there(leakage=sections.leakage),
        **_counted(facts.totals),
        "metadata": sections.metadata,
        **_if_there(
            data=sections.data,
            edges=sections.edges,
            secure_aggregation=sections.secure_aggregation,
            adapters=sections.adapters,
        ),
        **_if_there(tracking=sections.tracking),
        "training": None if training is None else _training(training),
        "model_sha256": rows[-1].model_sha256 if rows else None,
        "records_sha256": facts.records_sha256,
        "scenario_sha256": facts.scenario_sha256,
    }


def tested(rows: Sequence[VersionRecord]) -> dict[str, object]:
    """Return what the central tests came to.

    `final_*` are those of the last evaluated version and `best_*` those of the most accurate one, or where
    there is no accuracy, of the one with the least loss; the earliest of equals. None where nothing was
    evaluated or the value is not finite.
    """
    evaluated = [row for row in rows if row.accuracy is not None or row.loss is not None]
    final = evaluated[-1] if evaluated else None
    best = max(
        (row for row in evaluated if _finite(_merit(row)) is not None),
        key=lambda row: _merit(row) or 0.0,
        default=None,
    )
    return {
        "final_accuracy": _finite(final.accuracy) if final else None,
        "best_accuracy": best.accuracy if best else None,
        "best_version": best.version if best else None,
        "final_loss": _finite(final.loss) if final else None,
    }


def _merit(row: VersionRecord) -> float | None:
    """Return what is better the larger it is."""
    if row.accuracy is not None or row.loss is None:
        return row.accuracy
    return -row.loss


def _counted(totals: Totals) -> dict[str, object]:
    return {
        "tasks": {
            "dispatched": totals.dispatched,
            **{outcome.value: count for outcome, count in totals.tasks.items()},
        },
        "bytes_up": totals.bytes_up,
        "bytes_down": totals.bytes_down,
        "energy_j": totals.energy_j,
    }


def _if_there(**sections: Section | None) -> dict[str, object]:
    """Return the sections that there are, by name. The summary has no key for the others."""
    return {name: section for name, section in sections.items() if section is not None}


def _way_to(
    target: float, rows: Sequence[VersionRecord], client_updates_by: Callable[[float], int] | None
) -> dict[str, object]:
    """Return what it took to reach an accuracy: nulls if it was not reached.

    `client_updates` are those that went into the versions up to there; in a hierarchy, those that edges
    had aggregated by then.
    """
    first = next((row for row in rows if row.accuracy is not None and row.accuracy >= target), None)
    if first is None:
        return {"target": target, "time_s": None, "updates": None, "client_updates": None}
    if client_updates_by is None:
        spent = sum(row.tasks for row in rows if row.version <= first.version)
    else:
        spent = client_updates_by(first.time_s)
    return {"target": target, "time_s": first.time_s, "updates": first.version, "client_updates": spent}


def _training(report: TrainingReport) -> dict[str, object]:
    return {
        "executor": report.executor,
        "why": report.why,
        "tasks": report.tasks,
        "unused_share": report.unused / report.tasks if report.tasks else 0.0,
        "batches": report.batches,
        "mean_batch": report.tasks / report.batches if report.batches else None,
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
