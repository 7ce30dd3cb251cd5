"""In an ideal world, a Flower app does under flsim what it does under Flower's own simulation engine. Slow.

Both run the app as it is, and nodes train alike, to the bit. What differs is the order in which answers
come in, and so the order in which the server adds float32 numbers up. Between two runs of the engine
itself that moves the weights by 1e-7 and the metrics by 1e-8 in three rounds, so a hundred times as
much is allowed here; one answer more or less, or other samples, would move them by far more.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.flower_engine import KINDS, REPOSITORY, environment, run_config, under_flower

FLOWER = REPOSITORY / "scenarios" / "flower"
ROUND_OFF = 1e-5

pytestmark = pytest.mark.slow


def _under_flsim(app: Path, nodes: int, values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Run an app in the ideal world, with `folder` as the current one; return its flower.json."""
    command = [sys.executable, "-m", "flsim", "flower", str(app), "--world"]
    command += [str(FLOWER / "worlds" / "ideal.yaml"), "--run-config", run_config(values)]
    command += [
        "--set",
        f"fleet.clients={nodes}",
        "--set",
        "output.plots=false",
        "--out",
        str(folder / "out"),
    ]
    finished = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=600, check=False
    )
    assert finished.returncode == 0, finished.stderr[-5000:]
    told: dict[str, Any] = json.loads((folder / "out" / "ideal" / "flower.json").read_text())
    return told


def _assert_alike(app: str, nodes: int, values: Mapping[str, Any], folder: Path, **engine: bool) -> Any:
    """Run an app both ways; assert the same metrics and the same model files, and return the metrics."""
    ours, theirs = folder / "flsim", folder / "flower"
    ours.mkdir()
    theirs.mkdir()
    expected = under_flower(FLOWER / "apps" / app, nodes, values, theirs, **engine)
    measured = _under_flsim(FLOWER / "apps" / app, nodes, values, ours)
    for kind in KINDS:
        told = getattr(expected, kind)
        assert told
        assert measured[kind].keys() == told.keys()
        for number, metrics in told.items():
            assert measured[kind][number] == pytest.approx(metrics, abs=ROUND_OFF, rel=0), (kind, number)
    for file in theirs.glob("*.pt"):
        weights, expected_weights = torch.load(ours / file.name), torch.load(file)
        assert weights.keys() == expected_weights.keys()
        for name, values_there in expected_weights.items():
            torch.testing.assert_close(weights[name], values_there, atol=ROUND_OFF, rtol=0)
    return expected


def test_the_quickstart_is_the_same_under_both(tmp_path: Path) -> None:
    expected = _assert_alike("quickstart", 8, {"num-server-rounds": 3}, tmp_path)
    assert expected.evaluate_metrics_serverapp["3"]["accuracy"] > 0.5
    assert (tmp_path / "flsim" / "final_model.pt").exists()


def test_the_own_strategy_is_the_same_under_both(tmp_path: Path) -> None:
    expected = _assert_alike("adagrad", 8, {"num-server-rounds": 3}, tmp_path)
    assert expected.train_metrics_clientapp["3"].keys() == {
        "train_loss",
        "converged-share",
        "first-epoch-loss",
    }
    assert (tmp_path / "flsim" / "best_model.pt").exists()


def test_the_app_of_old_is_the_same_under_both(tmp_path: Path) -> None:
    expected = _assert_alike("legacy", 8, {"num-server-rounds": 3}, tmp_path)
    assert expected.evaluate_metrics_serverapp["3"]["accuracy"] > 0.5


def test_who_is_sampled_is_the_same_under_both(tmp_path: Path) -> None:
    """The app seeds what its strategy samples by; both list nodes in the order of their partitions."""
    values = {"num-server-rounds": 3, "fraction-train": 0.5, "fraction-evaluate": 0.5}
    _assert_alike("quickstart", 10, values, tmp_path, same_sampling=True)
