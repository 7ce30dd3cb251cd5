"""The leakage meter as a user meets it: a scenario, its files, and a sweep over what helps."""

import csv
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

from tests.integration.command import flsim, summary_of

LEAKING = """\
name: leaking
seed: 2
workload:
  kind: torch
  data: {dataset: {kind: digits}, partition: {kind: dirichlet, alpha: 1.0, min_samples: 2}}
  model: {kind: mlp, hidden: [32]}
  training: {epochs: 2, batch_size: 8}
fleet: {clients: 60, compute: {kind: duration, task: 10}}
strategy: {kind: sync, cohort: 5}
leakage: {clients: 2, every: 2}
stop: {updates: 3}
output: {plots: false, timeline: false}
"""


@pytest.mark.slow
def test_another_process_measures_the_same(tmp_path: Path) -> None:
    (tmp_path / "leaking.yaml").write_text(LEAKING)
    read = []
    for out, seed in (("one", "1"), ("two", "2")):
        done = flsim("run", "leaking.yaml", "--out", out, cwd=tmp_path, PYTHONHASHSEED=seed)
        assert done.returncode == 0, done.stderr
        assert "Leakage of updates: alignment 0." in done.stdout
        folder = tmp_path / out / "leaking"
        read.append(
            (
                [parquet.read_table(folder / f"{name}.parquet") for name in ("leakage", "reconstructions")],
                summary_of(folder)["leakage"],
            )
        )
    (first, summed), (second, summed_again) = read
    assert all(a.num_rows and a.equals(b) for a, b in zip(first, second, strict=True))
    assert summed == summed_again


@pytest.mark.slow
def test_a_sweep_tells_what_each_setting_gives_away(tmp_path: Path) -> None:
    (tmp_path / "leaking.yaml").write_text(LEAKING)
    settings = "compression=null,{uplink: {kind: top_k, share: 0.02}}"
    done = flsim("sweep", "leaking.yaml", settings, "--out", "swept", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "swept" / "leaking" / "sweep.csv").open() as file:
        plain, pressed = list(csv.DictReader(file))
    column = "leakage.update.inversion"
    assert float(plain[column]) > float(pressed[column]) + 20
    told = summary_of(tmp_path / "swept" / "leaking" / plain["run"])["leakage"]
    assert float(plain["leakage.release.loss"]) == told["release"]["loss"]["score"]


def test_a_wrong_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "leaking.yaml").write_text(LEAKING)
    done = flsim("validate", "leaking.yaml", "--set", "leakage.inversion={kind: analytical}", cwd=tmp_path)
    assert done.returncode == 1
    assert "leakage.inversion" in done.stderr
    assert "analytic, gradient_matching" in done.stderr
