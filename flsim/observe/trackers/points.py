"""The metrics that trackers are given: those of metrics.json, each under one name.

A part of them is in the row of a version and so known while the run goes on. The others, such as the bytes
up to a version, or what the clients' tests gave, can be told only from the tables of the whole run.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from flsim.observe.metrics import metrics_json
from flsim.observe.summary import tested
from flsim.observe.tables import Tables, outcomes, records_sha256, version_records
from flsim.observe.trackers.writer import Finished, Point
from flsim.records import EndingRecord, Outcome, VersionRecord

_EARLY = ("tasks", "mean_staleness", "accuracy", "loss", "epsilon", "clip", "clipped", "attack_success")
_NO_METRICS = ("version", "time_s", "model_sha256")


def early(row: VersionRecord) -> Point:
    """Return what is known of a version when it has been tested. What does not exist is left out."""
    found = {name: value for name in _EARLY if (value := getattr(row, name)) is not None}
    return Point(row.version, row.time_s, found)


def late(tables: Tables) -> Iterator[Point]:
    """Yield what else there is of every version."""
    for row in metrics_json(tables)["versions"]:
        found = {
            name: value
            for name, value in _flat(_renamed(row))
            if name not in _EARLY and name not in _NO_METRICS
        }
        if found:
            yield Point(row["version"], row["time_s"], found)


def finished(tables: Tables, ending: EndingRecord) -> Finished:
    """Return what a run came to, as its records tell."""
    rows = list(version_records(tables.versions))
    words = outcomes(tables.tasks)
    outcome: dict[str, Any] = {
        **ending._asdict(),
        "updates": sum(row.version > 0 for row in rows),
        **tested(rows),
        **{f"tasks_{each.value}": int((words == each.value).sum()) for each in Outcome},
        "model_sha256": rows[-1].model_sha256 if rows else None,
        "records_sha256": records_sha256(tables),
    }
    return Finished(tables, {name: value for name, value in outcome.items() if value is not None})


def _renamed(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry of metrics.json with what metrics.csv has, too, under the names it has there."""
    row = dict(row)
    reported = dict(row.pop("metadata") or {})
    losses = reported.pop("losses", ())
    central = row.pop("metrics", None) or {}
    return {
        **central,
        **row,
        "reported": reported.pop("scalars", None),
        **reported,
        "epoch_loss": {str(epoch): loss for epoch, loss in enumerate(losses, 1)},
    }


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Yield the numbers that there are, groups with their name in front.

    >>> dict(_flat({"loss": 0.5, "client_accuracy": {"mean": 0.25, "gini": None}}))
    {'loss': 0.5, 'client_accuracy/mean': 0.25}
    """
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}/")
        elif value is not None:
            yield f"{prefix}{name}", value
