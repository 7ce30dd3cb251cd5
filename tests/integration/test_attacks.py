"""Attacks as a user sees them: what they do to a run, what is written of them, and what `describe` says."""

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest

from flsim.cli import main
from flsim.observe.tables import read_tables
from flsim.results import Run
from flsim.running import run
from flsim.scenario import read_scenario, scenario_from
from tests.integration.command import SCENARIOS, flsim, summary_of
from tests.tiny import scenario_data

ATTACKS = SCENARIOS / "byzantine" / "attacks.yaml"
CLIENTS = 6


def rounds(tmp_path: Path, attack: Any, **sections: Any) -> Run:
    """Run four rounds of everybody, about 10 s each."""
    data = scenario_data(CLIENTS, {"kind": "sync", "cohort": CLIENTS}, attack=attack)
    data["fleet"]["compute"] = {"kind": "duration", "task": 10.0}
    data |= {"network": {"sharing": "none"}, "stop": {"updates": 4}, "output": {"dir": str(tmp_path)}}
    data["workload"] |= sections.pop("workload", {})
    return run(scenario_from(data | sections))


@pytest.mark.slow
def test_a_task_is_attacked_if_it_is_dispatched_from_the_start_until_before_the_end(tmp_path: Path) -> None:
    begins = sorted(set(read_tables(rounds(tmp_path, None).folder).tasks["dispatched_s"].to_pylist()))
    interval = {"start": begins[1], "end": begins[3]}  # to the last bit
    attack = {"kind": "scaling", "factor": 1e300, "clients": {"list": [1, 4]}, **interval}
    done = rounds(tmp_path, attack)
    tables = read_tables(done.folder)
    rejected = [
        (row["client"], row["dispatched_s"])
        for row in tables.tasks.to_pylist()
        if row["outcome"] == "rejected"
    ]
    assert sorted(rejected) == [(client, begins[number]) for client in (1, 4) for number in (1, 2)]
    assert tables.attacked_tasks is not None
    listed = tables.attacked_tasks.to_pylist()
    assert [(row["client"], row["dispatched_s"]) for row in listed] == rejected
    by_task = {row["task"]: row for row in tables.tasks.to_pylist()}
    for row in listed:
        assert row == {name: by_task[row["task"]][name] for name in row}
    assert parquet.read_table(done.folder / "attackers.parquet").to_pylist() == [
        {"client": 1, "attacked_tasks": 2, "aggregated": 0},
        {"client": 4, "attacked_tasks": 2, "aggregated": 0},
    ]
    assert done.summary["attack"] == {
        "kind": "scaling",
        "attackers": 2,
        "attacked_tasks": 4,
        "aggregated": 0,
        "rejected": 4,
        "success": None,
    }


def test_the_timeline_shows_who_attacked(tmp_path: Path) -> None:
    done = rounds(tmp_path, {"kind": "ipm", "clients": {"list": [1, 4]}, "start": 5, "end": 25})
    trace = json.loads(gzip.decompress((done.folder / "timeline.json.gz").read_bytes()))
    spans = [each for each in trace["traceEvents"] if each["ph"] == "X" and each["cat"] == "task"]
    attacked = [each["args"]["task"] for each in spans if each["name"] == "compute (attack)"]
    assert len(attacked) == 4
    tables = read_tables(done.folder)
    assert tables.attacked_tasks is not None
    assert sorted(attacked) == sorted(tables.attacked_tasks["task"].to_pylist())
    assert sum(each["name"] == "compute" for each in spans) == 4 * CLIENTS - 4


BACKDOOR = {"kind": "backdoor", "target": 1, "trigger": {"kind": "columns", "columns": [0], "value": 8.0}}


def test_a_backdoors_success_is_in_the_records(tmp_path: Path) -> None:
    done = rounds(tmp_path, BACKDOOR | {"clients": {"list": [0, 1, 2]}}, evaluation={"every": 2})
    success = parquet.read_table(done.folder / "versions.parquet")["attack_success"].to_pylist()
    assert [value is not None for value in success] == [True, False, True, False, True]
    assert success[4] > success[0]
    assert done.summary["attack"]["success"] == success[4]
    versions = json.loads((done.folder / "metrics.json").read_text())["versions"]
    assert [row["attack_success"] for row in versions] == success
    lines = list(csv.DictReader((done.folder / "metrics.csv").read_text().splitlines()))
    assert [float(line["attack_success"]) for line in lines] == [success[0], success[2], success[4]]
    assert (done.folder / "plots" / "attack_success.png").stat().st_size > 5_000


@pytest.mark.slow
def test_without_an_attack_nothing_speaks_of_one(tmp_path: Path) -> None:
    attacked = rounds(tmp_path, BACKDOOR)
    written = {path.name for path in attacked.folder.rglob("*")}
    done = rounds(tmp_path, None)
    assert done.folder == attacked.folder
    missing = written - {path.name for path in done.folder.rglob("*")}
    assert missing == {"attackers.parquet", "attacked_tasks.parquet", "attack_success.png"}
    assert done.summary["attack"] is None
    assert not any(
        row["attack_success"] for row in parquet.read_table(done.folder / "versions.parquet").to_pylist()
    )


@pytest.mark.slow
def test_an_attack_changes_no_timeline_and_timing_alone_knows_none(tmp_path: Path) -> None:
    hashes = {rounds(tmp_path, attack).summary["records_sha256"] for attack in (None, {"kind": "ipm"})}
    data = scenario_data(CLIENTS, {"kind": "sync", "cohort": CLIENTS}, attack={"kind": "ipm"})
    data |= {"output": {"dir": str(tmp_path)}}
    timed = run(scenario_from(data), timing_only=True)
    assert len(hashes) == 1
    assert timed.summary["attack"] is None
    assert not (timed.folder / "attackers.parquet").exists()


@pytest.mark.parametrize("attack", ["gaussian_noise", "backdoor", "weight_perturbation"])
@pytest.mark.slow
def test_another_process_draws_the_same(attack: str, tmp_path: Path) -> None:
    overrides = [f"attack.kind={attack}", "stop.updates=2", "executor={kind: serial}"]
    overrides.append("output={plots: false, timeline: false}")
    told = flsim(
        "run",
        ATTACKS,
        "--out",
        "there",
        "-q",
        *(word for override in overrides for word in ("--set", override)),
        cwd=tmp_path,
        PYTHONHASHSEED="77",
    )
    assert told.returncode == 0, told.stderr
    here = run(read_scenario(ATTACKS, [*overrides, f"output.dir={tmp_path / 'here'}"]))
    there = summary_of(tmp_path / "there" / "attacks")
    assert there["model_sha256"] == here.summary["model_sha256"]
    assert there["attack"] == here.summary["attack"]


@pytest.mark.slow
def test_an_attack_is_the_same_in_worker_processes(tmp_path: Path) -> None:
    """Whose copies of the samples are their own: also where labels follow from each task's model."""
    for attack in ({"kind": "label_flip", "mode": "dynamic"}, {"kind": "label_flip"}):
        accuracies = {
            rounds(tmp_path, attack, executor=executor).summary["final_loss"]
            for executor in ({"kind": "serial"}, {"kind": "processes", "workers": 2})
        }
        assert max(accuracies) == pytest.approx(min(accuracies), rel=1e-5)


def test_federated_averaging_collapses_under_flipped_signs(tmp_path: Path) -> None:
    common = [f"output={{dir: {tmp_path}, plots: false, timeline: false}}", "stop.updates=20"]
    attacked = run(read_scenario(ATTACKS, common)).summary
    clean = run(read_scenario(ATTACKS, [*common, "attack=null", "name=clean"])).summary
    assert attacked["attack"]["attackers"] == 12
    assert clean["final_accuracy"] > 0.75
    assert attacked["final_accuracy"] < 0.4
    assert attacked["records_sha256"] == clean["records_sha256"]


def test_a_backdoor_works_and_leaves_the_accuracy_alone(tmp_path: Path) -> None:
    common = [f"output={{dir: {tmp_path}, plots: false, timeline: false}}", "stop.updates=20"]
    attacked = run(read_scenario(ATTACKS, [*common, "attack.kind=backdoor"])).summary
    assert attacked["attack"]["success"] > 0.5
    assert attacked["final_accuracy"] > 0.7


@pytest.mark.slow
def test_describe_and_run_say_who_attacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*args: str) -> str:
        with pytest.raises(SystemExit) as end:
            main(list(args))
        assert end.value.code == 0
        return capsys.readouterr().out

    monkeypatch.chdir(tmp_path)
    interval = ("--set", "attack.start=1 min", "--set", "attack.end=2 h")
    sentence = "Attack: sign_flip by 12 of 40 clients, in tasks dispatched from 0 s on"
    assert sentence in " ".join(said("describe", str(ATTACKS)).split())
    later = " ".join(said("describe", str(ATTACKS), *interval).split())
    assert "in tasks dispatched from 1 min to 2 h" in later
    assert "Attack" not in said("describe", str(ATTACKS), "--set", "attack=null")
    ran = said("run", str(ATTACKS), "--set", "stop.updates=1", "--set", "attack.kind=backdoor")
    [line] = [line for line in ran.splitlines() if line.startswith("Attack: ")]
    summary = summary_of(tmp_path / "outputs" / "attacks")["attack"]
    counts = f"{summary['aggregated']} of {summary['attacked_tasks']} attacked tasks aggregated"
    assert line == f"Attack: backdoor by 12 clients: {counts}, success {summary['success']:.4f}"
