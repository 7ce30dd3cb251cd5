"""One scenario on every executor: the same timeline to the bit, the same learning to round-off."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest

from flsim.running import run
from flsim.scenario import scenario_from
from tests.integration.command import flsim

SCENARIO: dict[str, Any] = {
    "name": "engines",
    "seed": 5,
    "workload": {
        "kind": "torch",
        "data": {
            "dataset": {"kind": "digits"},
            "partition": {"kind": "dirichlet", "alpha": 0.5, "min_samples": 2},
        },
        "model": {"kind": "mlp", "hidden": [16]},
        "training": {"epochs": 2, "batch_size": 8, "optimizer": {"kind": "sgd", "lr": 0.1}},
        "metadata": {"kind": "progress"},
    },
    "fleet": {
        "clients": 20,
        "compute": {"kind": "duration", "task": {"kind": "exponential", "mean": 10.0}},
        "failure": {"dropout": 0.1},
    },
    "strategy": {"kind": "fedbuff", "concurrency": 10, "buffer_size": 5},
    "stop": {"updates": 12},
    "output": {"plots": False, "timeline": False},
}
KINDS = ["vmap", "processes", "ray", pytest.param("compile", marks=pytest.mark.slow)]


def summary_of(folder: Path, kind: str, **sections: Any) -> dict[str, Any]:
    data = SCENARIO | {"executor": {"kind": kind}, "output": SCENARIO["output"] | {"dir": str(folder)}}
    return run(scenario_from(data | sections)).summary


def reports_in(folder: Path) -> list[dict[str, Any]]:
    """Return what came with the updates of the run in a folder."""
    rows: list[dict[str, Any]] = parquet.read_table(folder / "engines" / "metadata.parquet").to_pylist()
    return rows


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("serial")
    return summary_of(folder, "serial") | {"reports": reports_in(folder)}


@pytest.mark.parametrize("kind", KINDS)
def test_the_timeline_is_the_same_and_learning_agrees(
    kind: str, serial: dict[str, Any], tmp_path: Path
) -> None:
    summary = summary_of(tmp_path, kind)
    assert summary["training"]["executor"] == kind
    assert summary["records_sha256"] == serial["records_sha256"]
    assert summary["final_loss"] == pytest.approx(serial["final_loss"], rel=1e-4)
    assert summary["final_accuracy"] == pytest.approx(serial["final_accuracy"], abs=0.005)
    assert summary["metadata"] | {"converged_clients": 0} == serial["metadata"] | {"converged_clients": 0}
    for row, other in zip(reports_in(tmp_path), serial["reports"], strict=True):
        assert row["losses"] == pytest.approx(other["losses"], rel=1e-3)
        assert all(row[name] == other[name] for name in ("task", "client", "version", "training_time_s"))
        norm, expected = (json.loads(each["scalars"])["update_norm"] for each in (row, other))
        assert norm == pytest.approx(expected, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["serial", "vmap", "processes"])
def test_the_same_executor_in_another_process_gives_the_same_model(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "engines.yaml"
    file.write_text(json.dumps(SCENARIO | {"executor": {"kind": kind}}))
    hashes = []
    for turn in "ab":
        done = flsim("run", file, "--out", tmp_path / turn, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        hashes.append(
            json.loads((tmp_path / turn / "engines" / "summary.json").read_text())["model_sha256"]
        )
    assert hashes[0] == hashes[1]


def test_bfloat16_learns_too(serial: dict[str, Any], tmp_path: Path) -> None:
    summary = summary_of(tmp_path, "vmap", executor={"kind": "vmap", "precision": "bfloat16"})
    assert summary["records_sha256"] == serial["records_sha256"]
    assert summary["final_loss"] == pytest.approx(serial["final_loss"], rel=0.1)
    assert summary["final_loss"] != serial["final_loss"]


def test_an_accelerator_that_is_not_there_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        summary = summary_of(tmp_path, "auto", executor={"kind": "auto", "device": "cuda"})
        assert summary["training"]["executor"] == "vmap"
        return
    file = tmp_path / "engines.yaml"
    file.write_text(json.dumps(SCENARIO | {"executor": {"kind": "auto"}}))
    done = flsim("run", file, "--set", "executor.device=cuda", "--out", "out", cwd=tmp_path)
    assert done.returncode == 1
    said = " ".join(done.stderr.split())
    assert "executor.device: torch sees no CUDA device here; accepted: cpu" in said
    assert not (tmp_path / "out").exists()


def test_worker_processes_know_no_accelerator(tmp_path: Path) -> None:
    file = tmp_path / "engines.yaml"
    file.write_text(json.dumps(SCENARIO | {"executor": {"kind": "processes", "device": "cuda"}}))
    done = flsim("validate", file, cwd=tmp_path)
    assert done.returncode == 1
    said = " ".join(done.stderr.split())
    assert "executor.device: unknown key; accepted here: kind, precision, workers" in said
