"""The summary of a run from its totals and versions."""

from typing import Any

import numpy as np
import pyarrow as pa

from flsim.observe.edges import client_updates_by
from flsim.observe.journal import Totals
from flsim.observe.schemas import TASKS_SCHEMA
from flsim.observe.summary import Facts, _way_to, summarise
from flsim.observe.tables import EdgeTables
from flsim.records import Outcome, VersionRecord
from flsim.tasks import TrainingReport


def version(number: int, accuracy: float | None, loss: float | None = None) -> VersionRecord:
    return VersionRecord(number, 10.0 * number, 5, 0.0, accuracy, loss, f"hash {number}")


def summary_of(*versions: VersionRecord, target: float | None = None) -> dict[str, Any]:
    facts = Facts(
        scenario_sha256="s" * 64,
        name="study",
        seed=7,
        stop_reason="updates",
        stop_detail="3 updates",
        wall_time_s=1.5,
        virtual_time_s=30.0,
        totals=Totals(dict.fromkeys(Outcome, 2) | {Outcome.AGGREGATED: 10}, 300, 200, 12.5),
        records_sha256="abc",
    )
    return summarise(facts, iter(versions), TrainingReport("vmap", "because", 8, 2, 4), target=target)


def test_a_summary_says_it_all():
    versions = [version(0, 0.1, 2.3), version(1, None), version(2, 0.8, 0.5), version(3, 0.7, 0.4)]
    assert summary_of(*versions) == {
        "name": "study",
        "seed": 7,
        "updates": 3,
        "virtual_time_s": 30.0,
        "wall_time_s": 1.5,
        "stop_reason": "updates",
        "stop_detail": "3 updates",
        "final_accuracy": 0.7,
        "best_accuracy": 0.8,
        "best_version": 2,
        "final_loss": 0.4,
        "to_accuracy": None,
        "client_accuracy": None,
        "metadata": None,
        "privacy": None,
        "attack": None,
        "tasks": {
            "dispatched": 20,
            "aggregated": 10,
            "discarded": 2,
            "dropped": 2,
            "lost": 2,
            "rejected": 2,
            "unfinished": 2,
        },
        "bytes_up": 200,
        "bytes_down": 300,
        "energy_j": 12.5,
        "training": {
            "executor": "vmap",
            "why": "because",
            "tasks": 8,
            "unused_share": 0.25,
            "batches": 4,
            "mean_batch": 2.0,
        },
        "model_sha256": "hash 3",
        "records_sha256": "abc",
        "scenario_sha256": "s" * 64,
    }


def test_nothing_evaluated_gives_nulls():
    summary = summary_of(version(0, None), version(1, None))
    assert summary["updates"] == 1
    for name in ("final_accuracy", "best_accuracy", "best_version", "final_loss"):
        assert summary[name] is None


def test_a_run_stopped_before_its_first_version():
    summary = summary_of()
    assert (summary["updates"], summary["best_version"], summary["model_sha256"]) == (0, None, None)


def test_final_is_the_last_evaluated_version():
    summary = summary_of(version(0, 0.1, 2.3), version(1, 0.5, 1.0), version(2, None))
    assert (summary["final_accuracy"], summary["final_loss"]) == (0.5, 1.0)
    assert summary["model_sha256"] == "hash 2"


def test_of_equally_good_versions_the_earliest_is_best():
    assert summary_of(version(0, 0.1), version(1, 0.6), version(2, 0.6))["best_version"] == 1


def test_a_version_with_no_accuracy_at_all_can_be_best():
    assert summary_of(version(0, 0.0))["best_version"] == 0


def test_a_diverged_loss_is_null():
    summary = summary_of(version(0, 0.3, 2.0), version(1, float("nan"), float("nan")))
    assert (summary["final_accuracy"], summary["final_loss"]) == (None, None)
    assert (summary["best_accuracy"], summary["best_version"]) == (0.3, 0)


def test_the_way_to_an_accuracy_is_counted_to_the_first_version_that_has_it() -> None:
    """Versions count that are not tested, and those after it do not."""
    versions = [version(0, 0.1), version(1, None), version(2, 0.8), version(3, 0.9)]
    reached = {"target": 0.75, "time_s": 20.0, "updates": 2, "client_updates": 15}
    assert summary_of(*versions, target=0.75)["to_accuracy"] == reached
    not_reached = dict.fromkeys(reached) | {"target": 0.95}
    assert summary_of(*versions, target=0.95)["to_accuracy"] == not_reached


def test_in_a_hierarchy_the_clients_updates_are_those_that_edges_had_used_by_then() -> None:
    table = pa.table({"time_s": [0.0, 5.0, 20.0, 20.5], "tasks": [0, 3, 4, 8]})
    edges = EdgeTables(TASKS_SCHEMA.empty_table(), table, np.zeros(3, np.int64))
    assert [client_updates_by(edges, at) for at in (0.0, 19.9, 20.0, 99.0)] == [0, 3, 7, 15]
    versions = [version(0, 0.1), version(1, None), version(2, 0.8)]
    way = _way_to(0.75, versions, lambda time_s: client_updates_by(edges, time_s))
    assert way == {"target": 0.75, "time_s": 20.0, "updates": 2, "client_updates": 7}
