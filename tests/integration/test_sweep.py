"""`flsim sweep`: every combination an ordinary run, and a table of what became of them."""

import csv
import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from flsim.errors import ScenarioError
from flsim.sweeping import grid_of, read_grids, sweep, variations
from tests.integration.command import SMALL, command_line, environment, files_in, flsim, summary_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "small.yaml").write_text(SMALL)
    return tmp_path


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "sweep.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_combination_is_an_ordinary_run(folder: Path) -> None:
    done = flsim(
        *("sweep", "small.yaml", "--set", "seed=7", "--out", "out"),
        *(
            "strategy.cohort=5,10",
            "network.downlink=6 Mbit/s,{kind: exponential, mean: 1 MB/s}",
        ),
        cwd=folder,
    )
    assert (done.returncode, done.stderr) == (0, "")
    runs = folder / "out" / "small"
    rows = table(runs)
    assert [(row["strategy.cohort"], row["network.downlink"]) for row in rows] == [
        ("5", "6 Mbit/s"),
        ("5", '{"kind": "exponential", "mean": "1 MB/s"}'),
        ("10", "6 Mbit/s"),
        ("10", '{"kind": "exponential", "mean": "1 MB/s"}'),
    ]
    assert len({row["records_sha256"] for row in rows}) == 4
    for row in rows:
        summary = summary_of(runs / row["run"])
        assert summary["name"] == row["run"]
        assert summary["seed"] == 7
        assert row["stop_reason"] == summary["stop_reason"] == "updates"
        assert int(row["updates"]) == summary["updates"]
        assert float(row["virtual_time_s"]) == summary["virtual_time_s"]
        assert row["records_sha256"] == summary["records_sha256"]
        assert row["error"] == row["final_accuracy"] == ""
        assert row["run"] in done.stdout
    changes = ["--set", "seed=7", "--set", "strategy.cohort=5", "--set", "network.downlink=6 Mbit/s"]
    alone = flsim("run", "small.yaml", *changes, "--out", "alone", cwd=folder)
    assert alone.returncode == 0
    assert summary_of(folder / "alone" / "small")["records_sha256"] == rows[0]["records_sha256"]
    assert files_in(folder / "alone" / "small") == files_in(runs / rows[0]["run"])


def test_a_run_that_fails_stops_no_other(folder: Path) -> None:
    done = flsim("sweep", "small.yaml", "strategy.cohort=5,0,6", cwd=folder)
    assert done.returncode == 1
    good, bad, last = table(folder / "outputs" / "small")
    assert good["updates"] == last["updates"] == "10"
    assert "strategy.cohort: must be greater than or equal to 1" in bad["error"]
    assert "(given: 0)" in bad["error"]
    assert bad["updates"] == bad["records_sha256"] == ""
    assert bad["error"] in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("vary", "why"),
    [
        (["seed="], "expected a key path and values, such as seed=1,2,3"),
        (["=1,2"], "expected a key path and values"),
        (["seed"], "expected a key path and values"),
        (["seed=1,2", "seed=3"], "seed is varied twice"),
        (["seed=[1"], "not valid YAML: did not find expected"),
    ],
)
def test_variations_that_cannot_be(folder: Path, vary: list[str], why: str) -> None:
    with pytest.raises(ScenarioError, match=re.escape(why)):
        sweep(folder / "small.yaml", [grid_of(vary)], out=str(folder / "out"))
    assert files_in(folder) == {"small.yaml"}


def test_names_differ_though_the_values_are_written_alike() -> None:
    names = [
        each.name for each in variations([grid_of(["network.latency=0.1,0-1,{kind: constant}", "seed=1"])])
    ]
    assert names == ["latency-0-1_seed-1", "latency-0-1_seed-1_2", "latency-kind-constant_seed-1"]


def times_of(runs: Path) -> dict[str, int]:
    """Return when each run wrote its summary."""
    return {path.parent.name: path.stat().st_mtime_ns for path in runs.glob("*/summary.json")}


@pytest.mark.slow
def test_what_an_earlier_sweep_finished_is_not_run_again(folder: Path) -> None:
    words = ("sweep", "small.yaml", "seed=1..3")
    assert flsim(*words, cwd=folder).returncode == 0
    runs = folder / "outputs" / "small"
    before, first = times_of(runs), (runs / "sweep.csv").read_bytes()
    assert len(before) == 3
    cut, interrupted = "seed-1", "seed-2"
    (runs / cut / "summary.json").unlink()
    half = summary_of(runs / interrupted) | {"stop_reason": "interrupted"}
    (runs / interrupted / "summary.json").write_text(json.dumps(half))
    done = flsim(*words, cwd=folder)
    assert done.returncode == 0
    after = times_of(runs)
    assert {name for name in after if after[name] != before[name]} == {cut, interrupted}
    assert re.findall(r"^(\S+): .*\(done before\)$", done.stdout, re.MULTILINE) == ["seed-3"]
    assert (runs / "sweep.csv").read_bytes() == first

    assert flsim(*words, "--set", "stop={updates: 3}", cwd=folder).returncode == 0  # other scenarios
    assert [row["updates"] for row in table(runs)] == ["3"] * 3
    again = times_of(runs)
    assert flsim(*words, "--set", "stop={updates: 3}", "--fresh", cwd=folder).returncode == 0
    assert not times_of(runs).items() & again.items()


@pytest.mark.slow
def test_a_sweep_that_is_killed_goes_on_where_it_was(folder: Path) -> None:
    words = ("small.yaml", "seed=0..4", "strategy.cohort=5,6,7", "fleet.clients=20,25,30")
    undisturbed = flsim("sweep", *words, "--out", "whole", cwd=folder, deadline_s=600)
    assert undisturbed.returncode == 0
    process = subprocess.Popen(
        command_line("sweep", *words, "--out", "cut"),
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    for _ in range(12):
        assert process.stdout.readline()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    before = times_of(folder / "cut" / "small")
    assert 10 <= len(before) < 45
    resumed = flsim("sweep", *words, "--out", "cut", cwd=folder, deadline_s=600)
    assert resumed.returncode == 0
    assert resumed.stdout.count("(done before)") == len(before)
    assert before.items() <= times_of(folder / "cut" / "small").items()
    for name in ("sweep.csv", "comparison.csv"):
        assert (folder / "cut/small" / name).read_bytes() == (folder / "whole/small" / name).read_bytes()
    shown = [out.stdout.partition("Whole runs")[2].partition("Files:")[0] for out in (undisturbed, resumed)]
    assert shown[0] == shown[1] != ""


@pytest.mark.slow
def test_a_grid_file_says_what_varies(folder: Path) -> None:
    (folder / "grid.yaml").write_text("- {seed: 1..2, strategy.cohort: 5}\n- stop.updates: [2, 3]\n")
    done = flsim("sweep", "small.yaml", "--grid", "grid.yaml", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    rows = table(folder / "outputs" / "small")
    varied = [(row["seed"], row["strategy.cohort"], row["stop.updates"], row["updates"]) for row in rows]
    assert varied == [("1", "5", "", "10"), ("2", "5", "", "10"), ("", "", "2", "2"), ("", "", "3", "3")]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "grid.yaml: expected keys with their values"),
        ("[]", "grid.yaml: expected keys with their values"),
        ("- 5", "grid.yaml: expected keys with their values"),
        ("seed: 4..1", "grid.yaml: seed: 4..1: a range goes up"),
        ("seed: []", "grid.yaml: seed: no values"),
        ("seed: [1", "grid.yaml"),
        ("seed: 0..999999999", "a range goes up, as 0..4 does, to 100,000 values"),
    ],
)
def test_grid_files_that_cannot_be(folder: Path, text: str, why: str) -> None:
    (folder / "grid.yaml").write_text(text)
    with pytest.raises(ScenarioError, match=re.escape(why)):
        read_grids(folder / "grid.yaml")


def test_values_are_given_on_the_line_or_in_a_file(folder: Path) -> None:
    (folder / "grid.yaml").write_text("seed: 1\n")
    for words in ((), ("seed=1", "--grid", "grid.yaml")):
        done = flsim("sweep", "small.yaml", *words, cwd=folder)
        assert done.returncode == 2
        assert "say what varies: KEY=V1,V2,… or --grid FILE.yaml, one of the two" in done.stderr
    with pytest.raises(ScenarioError, match=r"none\.yaml: cannot be read"):
        read_grids(folder / "none.yaml")


def test_a_usage_error_and_an_error_before_anything_runs(folder: Path) -> None:
    assert flsim("sweep", "small.yaml", cwd=folder).returncode == 2
    done = flsim("sweep", "small.yaml", "seed=", cwd=folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: seed=: expected a key path")


@pytest.mark.slow
def test_a_sweep_on_ray_gives_the_same_table(folder: Path) -> None:
    for out, options in (("here", []), ("there", ["--ray", "--workers", "2"])):
        done = flsim(
            "sweep",
            "small.yaml",
            "seed=1,2",
            "strategy.cohort=0,5",
            "--out",
            out,
            *options,
            cwd=folder,
        )
        assert done.returncode == 1, done.stderr
        assert done.stderr == ""
    assert table(folder / "here" / "small") == table(folder / "there" / "small")


TRAINED = """\
name: trained
workload:
  kind: torch
  data: {dataset: {kind: synthetic, samples: 200, features: 4, classes: 2}, partition: {kind: iid}}
  model: {kind: logistic}
  training: {}
fleet: {clients: 8, compute: {kind: duration, task: 1 s}}
strategy: {kind: sync, cohort: 8, quorum: 8}
stop: {updates: 2}
output: {plots: false, timeline: false}
"""


@pytest.mark.slow
def test_a_heat_map_of_attacks_and_defences(tmp_path: Path) -> None:
    """Commas inside of braces belong to a value."""
    (tmp_path / "trained.yaml").write_text(TRAINED)
    attacks = "attack=null,{kind: sign_flip, clients: {share: 0.25}}"
    rules = "aggregation={kind: mean},{kind: trimmed_mean, f: 2},{kind: krum, f: 9}"
    words = ("sweep", "trained.yaml", attacks, rules, "--heatmap", "attack,aggregation")
    done = flsim(*words, cwd=tmp_path)
    runs = tmp_path / "outputs" / "trained"
    assert done.returncode == 1  # for krum does not withstand 9 of 8
    assert f"Picture: {runs / 'heatmap.png'}" in done.stdout
    assert (runs / "heatmap.png").read_bytes().startswith(b"\x89PNG")
    rows = table(runs)
    assert [row["run"] for row in rows[:2]] == [
        "attack-null_aggregation-kind-mean",
        "attack-null_aggregation-kind-trimmed-mean-f-2",
    ]
    assert [bool(row["error"]) for row in rows] == [False, False, True] * 2
    assert all("tolerates f = 9 attackers among n >= 2f + 3 = 21" in row["error"] for row in rows[2::3])


def test_a_heat_map_of_keys_that_are_not_varied_is_refused_before_anything_runs(folder: Path) -> None:
    done = flsim("sweep", "small.yaml", "seed=1,2", "--heatmap", "seed,strategy", cwd=folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: --heatmap seed,strategy: expected two different keys")
    assert files_in(folder) == {"small.yaml"}


@pytest.mark.slow
def test_without_accuracies_there_is_no_heat_map(folder: Path) -> None:
    varied = ("seed=1", "strategy.cohort=5,6")
    done = flsim("sweep", "small.yaml", *varied, "--heatmap", "seed,strategy.cohort", cwd=folder)
    assert done.returncode == 0
    assert "Picture" not in done.stdout
    assert not (folder / "outputs" / "small" / "heatmap.png").exists()
