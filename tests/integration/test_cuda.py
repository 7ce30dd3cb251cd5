"""Runs on an accelerator, if there is one: the same timeline to the bit, the same learning to round-off."""

from pathlib import Path
from typing import Any

import pytest
import torch

from flsim.running import run
from flsim.scenario import scenario_from
from tests.integration.test_executors import SCENARIO

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device here")

WORK = SCENARIO["workload"]
TRAINING = WORK["training"]
CNN = {"kind": "cnn", "channels": [4, 8]}


def summary_of(folder: Path, device: str, training: dict[str, Any], **sections: Any) -> dict[str, Any]:
    kind = "serial" if device == "cpu" else "auto"
    data = SCENARIO | {
        "workload": WORK | {"training": TRAINING | training} | sections.pop("workload", {}),
        "executor": {"kind": kind, "device": device},
        "output": SCENARIO["output"] | {"dir": str(folder / device)},
    }
    return run(scenario_from(data | sections)).summary


def assert_agrees(folder: Path, training: dict[str, Any], **sections: Any) -> None:
    here = summary_of(folder, "cpu", training, **dict(sections))
    there = summary_of(folder, "cuda", training, **dict(sections))
    assert there["records_sha256"] == here["records_sha256"]
    assert there["final_loss"] == pytest.approx(here["final_loss"], rel=1e-3)
    assert there["final_accuracy"] == pytest.approx(here["final_accuracy"], abs=0.006)


@pytest.mark.parametrize("objective", ["loss", "fedprox", "scaffold", "feddyn", "mime_lite"])
def test_every_objective(objective: str, tmp_path: Path) -> None:
    assert_agrees(tmp_path, {"objective": {"kind": objective}})


@pytest.mark.parametrize(
    "optimizer",
    [
        {"kind": "sgd", "lr": 0.05, "momentum": 0.9},
        {"kind": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
        {"kind": "adam", "lr": 0.01},
    ],
)
def test_every_optimiser(optimizer: dict[str, Any], tmp_path: Path) -> None:
    assert_agrees(tmp_path, {"optimizer": optimizer})


@pytest.mark.parametrize("model", [{"kind": "logistic"}, CNN])
def test_every_sort_of_model(model: dict[str, Any], tmp_path: Path) -> None:
    # Few updates: where pooled values tie, which they often do in pictures of sixteen greys, round-off
    # decides what moves, also between two executors on one processor.
    assert_agrees(tmp_path, {}, workload={"model": model}, stop={"updates": 2})


def test_clipping_and_a_schedule(tmp_path: Path) -> None:
    assert_agrees(tmp_path, {"clip": 0.5, "schedule": {"kind": "cosine", "over": 12}})


@pytest.mark.parametrize("kind", ["fedavgm", "fedadam", "fedyogi", "fedadagrad"])
def test_every_server_optimiser(kind: str, tmp_path: Path) -> None:
    assert_agrees(tmp_path, {}, server_optimizer={"kind": kind, "lr": 0.1})


@pytest.mark.parametrize("kind", ["fine_tune", "fedper", "fedrep", "ditto"])
def test_every_personalisation(kind: str, tmp_path: Path) -> None:
    data = WORK["data"] | {"client_test_share": 0.2}
    assert_agrees(
        tmp_path,
        {},
        workload={"data": data},
        personalization={"kind": kind},
        evaluation={"clients": {"every": 4}},
    )


@pytest.mark.parametrize("kind", ["ca2fl", "unbiased", "fedstale_async", "ace", "afl"])
def test_every_sort_of_aggregation(kind: str, tmp_path: Path) -> None:
    assert_agrees(tmp_path, {}, aggregation={"kind": kind})


@pytest.mark.parametrize("model", [WORK["model"], CNN])
def test_the_same_bits_again(model: dict[str, Any], tmp_path: Path) -> None:
    hashes = [
        summary_of(tmp_path / turn, "cuda", {}, workload={"model": model})["model_sha256"] for turn in "ab"
    ]
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize(
    "aggregation",
    [{"kind": "krum", "f": 1}, {"kind": "median"}, {"kind": "geometric_median"}, {"kind": "fltrust"}],
)
def test_robust_rules(aggregation: dict[str, Any], tmp_path: Path) -> None:
    assert_agrees(tmp_path, {}, aggregation=aggregation)


@pytest.mark.parametrize("attack", ["sign_flip", "alie", "label_flip", "backdoor", "gaussian_noise"])
def test_attacks(attack: str, tmp_path: Path) -> None:
    assert_agrees(tmp_path, {}, attack={"kind": attack})


@pytest.mark.parametrize(
    "codec",
    [{"kind": "top_k", "share": 0.1}, {"kind": "qsgd", "levels": 64}, {"kind": "low_rank", "rank": 2}],
)
def test_compression(codec: dict[str, Any], tmp_path: Path) -> None:
    # Few updates: whether a value is among the largest turns on its last bits.
    assert_agrees(tmp_path, {}, compression={"uplink": codec}, stop={"updates": 2})
