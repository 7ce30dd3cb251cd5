"""The audit log against the tables, read with pandas: who was asked, who was in it, what it cost."""

import json
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flsim.govern.audit import virtual_time
from flsim.govern.audit_log import broken_link, chained, read_log
from flsim.observe.tables import read_tables
from tests.governed import EQUAL, NOISY, records_of, run_in, timed, trained

LOSSY = timed()["fleet"] | {"failure": {"dropout": 0.3}}
ROUNDS = {"kind": "sync", "cohort": 5, "over_selection": 1.4, "deadline": 12.0, "quorum": 4}


def _diverging() -> dict[str, Any]:
    """Return a scenario whose updates are no numbers: all of them are rejected."""
    data = trained(stop={"updates": 2})
    data["workload"]["training"]["optimizer"]["lr"] = 1e38
    return data


WORLDS: dict[str, dict[str, Any]] = {
    "rounds": timed(fleet=LOSSY, strategy=ROUNDS),
    "buffers": timed(fleet=LOSSY, strategy={"kind": "fedbuff", "concurrency": 8, "buffer_size": 3}),
    "sessions": timed(
        fleet=LOSSY,
        workload={"kind": "synthetic", "upload": "4 kB"},
        strategy=EQUAL,
        secure_aggregation={"kind": "secagg", "threshold": 4},
    ),
    "recoveries": timed(
        fleet=LOSSY,
        workload={"kind": "synthetic", "upload": "4 kB"},
        strategy={"kind": "fedbuff", "concurrency": 8, "buffer_size": 3},
        secure_aggregation={"kind": "lightsecagg", "committee": 6, "threshold": 5, "colluding": 2},
    ),
    "poisson": timed(
        strategy={"kind": "sync", "cohort": "all", "weighting": "equal"},
        selection={"kind": "poisson", "q": 0.1, "redraw": False},
        privacy=NOISY | {"noise_multiplier": 3.0},
        stop={"updates": 12},
    ),
    "local": timed(
        strategy=ROUNDS | {"weighting": "equal"},
        fleet=LOSSY,
        privacy={
            "kind": "local",
            "clip": 1.0,
            "noise_multiplier": 20.0,
            "delta": 1e-6,
            "accounting": "rdp",
        },
        stop={"time": 60.0},
    ),
    "cut off": timed(fleet=LOSSY, strategy=ROUNDS, stop={"time": 33.0}),
    "not finite": _diverging(),
    "outage": timed(
        fleet=timed()["fleet"]
        | {"failure": {"outages": [{"kind": "server", "start": "5 s", "duration": "5 s"}]}},
        strategy={"kind": "fedbuff", "concurrency": 8, "buffer_size": 3},
    ),
}


@pytest.fixture(scope="module", params=WORLDS)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_in(tmp_path_factory.mktemp(request.param), WORLDS[request.param])


def _tasks(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "tasks.parquet").set_index("task")


def test_every_task_is_in_one_record_with_its_client_and_outcome(world: Path) -> None:
    tasks, records = _tasks(world), records_of(world)
    said = Counter(task for record in records for task, _ in record["selected"])
    assert said == Counter(tasks.index.tolist())
    for record in records:
        for task, client in record["selected"]:
            assert tasks.loc[task, "client"] == client
        for task, client, outcome in record["dropped"]:
            assert (tasks.loc[task, "client"], tasks.loc[task, "outcome"]) == (client, outcome)
        parts = [*record["active"], *([task, client] for task, client, _ in record["dropped"])]
        assert sorted(parts) == record["selected"]


def test_an_update_is_of_the_tasks_that_went_into_it(world: Path) -> None:
    tasks = _tasks(world)
    versions = pd.read_parquet(world / "versions.parquet").set_index("version")
    made = {record["version"]: record for record in records_of(world) if record["version"] is not None}
    assert sorted(made) == versions.index.tolist()
    for version, record in made.items():
        used = tasks[(tasks.aggregated_version == version) & (tasks.outcome == "aggregated")]
        assert sorted(used.index) == [task for task, _ in record["active"]]
        assert record["time_s"] == versions.loc[version, "time_s"]
        assert record["event"] == ("update" if version else "initial")


def test_what_came_to_nothing_is_in_the_record_of_its_round_or_the_next_one(world: Path) -> None:
    tasks, records = _tasks(world), records_of(world)
    sync = "kind: sync" in (world / "scenario.yaml").read_text()
    for record in records[:-1]:
        lost = [task for task, _, outcome in record["dropped"] if outcome in ("dropped", "lost")]
        for task, row in tasks.loc[lost].iterrows():
            others = [other for other, _ in record["selected"] if other != task]
            if sync:
                assert set(tasks.loc[others, "dispatched_s"]) <= {row.dispatched_s}
            else:
                later = [other["time_s"] for other in records[1:] if other["time_s"] >= row.ended_s]
                assert record["time_s"] == later[0]


def test_rejected_updates_are_not_active(tmp_path: Path) -> None:
    folder = run_in(tmp_path, WORLDS["not finite"])
    rejected = _tasks(folder).query("outcome == 'rejected'").index.tolist()
    said = [
        task
        for record in records_of(folder)
        for task, _, outcome in record["dropped"]
        if outcome == "rejected"
    ]
    assert sorted(said) == sorted(rejected)
    assert rejected


def test_a_round_that_the_end_cut_off_is_not_skipped(tmp_path: Path) -> None:
    folder = run_in(tmp_path, WORLDS["cut off"])
    unfinished = _tasks(folder).query("outcome == 'unfinished'")
    assert len(unfinished)
    last = records_of(folder)[-1]
    assert {tuple(part[:2]) for part in last["dropped"] if part[2] == "unfinished"} == {
        (task, client) for task, client in unfinished.client.items()
    }


def test_records_are_numbered_in_the_order_of_time_and_end_with_the_reason(world: Path) -> None:
    records = records_of(world)
    assert [record["number"] for record in records] == list(range(len(records)))
    assert [record["time_s"] for record in records] == sorted(record["time_s"] for record in records)
    assert records[-1]["event"] == "end"
    assert records[-1]["reason"] == json.loads((world / "summary.json").read_text())["stop_detail"]
    unfinished = _tasks(world).outcome == "unfinished"
    assert unfinished.sum() == sum(item[2] == "unfinished" for item in records[-1]["dropped"])


def test_epsilon_adds_up_to_what_was_spent(world: Path) -> None:
    records, summary = records_of(world), json.loads((world / "summary.json").read_text())
    spent = [record["epsilon_spent"] for record in records if record["epsilon_spent"] is not None]
    if summary["privacy"] is None:
        assert spent == []
        return
    assert sum(spent) == pytest.approx(summary["privacy"]["epsilon"])
    assert records[-1]["epsilon_total"] == summary["privacy"]["epsilon"]
    deltas = [record["delta_spent"] for record in records if record["delta_spent"] is not None]
    assert sum(deltas) == records[-1]["delta_total"] == 1e-6


def test_rounds_without_an_update_are_skipped_ones(tmp_path: Path) -> None:
    """By the tables: whoever was asked at one instant was a round, and of some nobody was aggregated."""
    folder = run_in(tmp_path, WORLDS["rounds"])
    tasks = _tasks(folder)
    asked = tasks.groupby("dispatched_s").outcome.agg(lambda outcomes: (outcomes == "aggregated").any())
    skipped = [record for record in records_of(folder) if record["event"] == "skipped"]
    assert len(skipped) == (~asked).sum() > 0
    for record in skipped:
        round_ = tasks.loc[[task for task, _ in record["selected"]]]
        assert round_.dispatched_s.nunique() == 1
        assert len(round_) == 7
        assert record["time_s"] == round_.ended_s.max()
        assert record["pre_model_sha256"] == record["post_model_sha256"]
        assert "the round was abandoned: of 7 tasks" in record["reason"]


@pytest.mark.parametrize(("world_of", "phase"), [("sessions", None), ("recoveries", "recovery")])
def test_failed_sessions_are_skipped_updates(tmp_path: Path, world_of: str, phase: str | None) -> None:
    folder = run_in(tmp_path, WORLDS[world_of])
    phases = pd.read_parquet(folder / "secure_sessions.parquet")
    failed = phases[phases.outcome == "failed"]
    skipped = [record for record in records_of(folder) if record["event"] == "skipped"]
    assert len(skipped) == len(failed) > 0
    for record, (_, row) in zip(skipped, failed.iterrows(), strict=True):
        assert f"{row.session} " in record["reason"]
        assert record["time_s"] == row.ended_s
        if phase is None:
            assert f"failed in its phase {row.phase}" in record["reason"]
        assert {outcome for _, _, outcome in record["dropped"]} <= {"discarded", "dropped", "lost"}
        assert record["active"] == []


def test_what_a_skipped_round_cost_is_told_where_it_is_known(tmp_path: Path) -> None:
    """Local noise is spent when clients are asked, so a round that came to nothing has cost something."""
    folder = run_in(tmp_path, WORLDS["local"])
    skipped = [record for record in records_of(folder) if record["event"] == "skipped"]
    assert skipped
    assert {record["epsilon_spent"] for record in skipped} == {None}


def test_the_chain_is_broken_by_whatever_is_changed(tmp_path: Path) -> None:
    links = read_log(run_in(tmp_path, WORLDS["rounds"]) / "governance")
    assert broken_link(links) is None
    for number, link in enumerate(links):
        changes = [
            link._replace(record=link.record | {"reason": "because"}),
            link._replace(previous="1" * 64),
            link._replace(sha256="1" * 64),
        ]
        for change in changes:
            assert f"record {number} " in (
                broken_link([*links[:number], change, *links[number + 1 :]]) or ""
            )
    assert broken_link(links[1:]) is not None
    assert broken_link([links[0], *links[2:]]) is not None


def test_a_record_holds_the_hash_of_the_one_before(tmp_path: Path) -> None:
    import hashlib

    links = read_log(run_in(tmp_path, WORLDS["buffers"]) / "governance")
    previous = "0" * 64
    for link in links:
        text = json.dumps(link.record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        body = hashlib.sha256(text.encode()).hexdigest()
        assert link.previous == previous
        previous = hashlib.sha256(f"{previous}\n{body}".encode()).hexdigest()
        assert link.sha256 == previous


def test_both_files_of_the_log_say_the_same(tmp_path: Path) -> None:
    folder = run_in(tmp_path, WORLDS["buffers"]) / "governance"
    lines = [json.loads(line) for line in (folder / "audit_log.jsonl").read_text().splitlines()]
    assert json.loads((folder / "audit_log.json").read_text())["records"] == lines


@given(st.floats(0, 2e11))
def test_virtual_time_is_a_time_with_a_zone(time_s: float) -> None:
    told = datetime.fromisoformat(virtual_time(time_s))
    assert told.utcoffset() == timedelta(0)
    exact = (told - datetime.fromisoformat("1970-01-01T00:00:00Z")) / timedelta(microseconds=1)
    assert 0 <= time_s * 1e6 - exact < 2 + time_s * 1e-9


def test_no_records_make_no_chain() -> None:
    assert chained([]) == []
    assert broken_link([]) is None


def test_the_log_is_a_fold_over_the_records(world: Path) -> None:
    """Nothing in it is known from the run itself: the tables give it once more."""
    from flsim.govern.audit import audit_records
    from flsim.scenario import read_scenario

    scenario = read_scenario(world / "scenario.yaml")
    epsilon = (json.loads((world / "summary.json").read_text())["privacy"] or {}).get("epsilon")
    assert chained(audit_records(scenario, read_tables(world), epsilon)) == read_log(world / "governance")
