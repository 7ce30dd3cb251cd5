"""The models that a run leaves are the versions that its records name, for torch and for safetensors."""

import hashlib
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest
import torch
from safetensors.torch import load_file

from flsim.errors import ScenarioError
from flsim.running import run
from flsim.scenario import read_scenario
from tests.integration.test_every_method import METHODS


def sha256(entries: dict[str, torch.Tensor]) -> str:
    """Return a model's hash as versions.parquet has it: of names and shapes, and of float32 values."""
    shapes = sorted((name, tuple(entry.shape)) for name, entry in entries.items())
    values = b"".join(entry.numpy().astype("<f4").tobytes() for entry in entries.values())
    return hashlib.sha256(repr(shapes).encode() + values).hexdigest()


def ran(folder: Path, *overrides: str) -> Path:
    output = f"output={{dir: {folder}, plots: false, timeline: false, model: true}}"
    return run(read_scenario(METHODS, (output, "stop={updates: 6}", *overrides))).folder


def test_the_last_model_and_the_best_one_are_files(tmp_path: Path) -> None:
    folder = ran(
        tmp_path,
        "checkpoint={every: 4, best: true}",
        "evaluation.every=1",
        "server_optimizer={kind: sgd, lr: 3.0}",  # so much that some versions are worse than others
    )
    versions = parquet.read_table(folder / "versions.parquet")
    accuracy: Any = versions["accuracy"].to_pylist()
    best = accuracy.index(max(accuracy))
    assert best not in (0, 6)
    hashes = versions["model_sha256"].to_pylist()
    for name, version in (("model", 6), ("best_model", best)):
        loaded = torch.load(folder / f"{name}.pt", weights_only=True)
        assert sha256(loaded) == hashes[version]
        again = load_file(folder / f"{name}.safetensors")
        assert again.keys() == loaded.keys()
        assert all(torch.equal(again[key], loaded[key]) for key in loaded)


def test_a_state_is_whole_where_a_module_counts_its_batches(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Sequential):\n"
        "    def __init__(self):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, 10))\n"
    )
    net = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(64, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 10)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        folder = ran(
            tmp_path,
            "workload.model={kind: module, path: 'nets:Net'}",
            "stop={updates: 1}",
            "workload.training.batch_size=full",
        )
    state = torch.load(folder / "model.pt", weights_only=True)
    assert net.load_state_dict(state, strict=False) == ([], [])
    assert int(state["2.num_batches_tracked"]) == int(net.state_dict()["2.num_batches_tracked"])


def test_without_training_there_is_no_model(tmp_path: Path) -> None:
    changes = ("workload={kind: synthetic}", "evaluation={}", "fleet.compute={kind: duration, task: 1 s}")
    for key in ("output.model=true", "checkpoint={every: 2, best: true}"):
        with pytest.raises(ScenarioError, match="there is no model: it needs workload torch"):
            read_scenario(METHODS, (*changes, key))
