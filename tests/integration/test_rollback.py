"""`flsim rollback` gives the model of any version that a checkpoint has kept, and no other one for it."""

import shutil
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

from flsim.cli import cli
from flsim.errors import EXIT_DONE, RunError
from flsim.learn.state import read_state, write_state
from flsim.observe.blocks import JOURNAL
from flsim.observe.tables import read_tables
from flsim.rollback import rollback
from flsim.running import run
from flsim.scenario import scenario_from
from tests.tiny import scenario_data

EVERY = {"every": 2, "keep": "all", "best": True}


def _run(folder: Path, updates: int, seed: int = 1, **sections: object) -> Path:
    output = {"dir": str(folder), "plots": False, "timeline": False, "report": False, "model": True}
    data = scenario_data(10, {"kind": "fedbuff", "concurrency": 4, "buffer_size": 2, "weighting": "equal"})
    data |= {"output": output, "stop": {"updates": updates}, "seed": seed, **sections}
    return run(scenario_from(data)).folder


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _run(tmp_path_factory.mktemp("kept"), 6, checkpoint=EVERY)


def _loaded(path: Path) -> dict[str, Tensor]:
    entries: dict[str, Tensor] = torch.load(f"{path}.pt", weights_only=True)
    return entries


def _same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("version", [2, 4])
def test_a_version_is_what_a_run_that_stops_there_ends_with(
    kept: Path, version: int, tmp_path: Path
) -> None:
    shorter = _run(tmp_path, version)
    got = _loaded(rollback(kept, version, tmp_path / "back"))
    assert _same(got, _loaded(shorter / "model"))
    assert not _same(got, _loaded(kept / "model"))


def test_the_last_is_the_file_that_the_run_left(kept: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    path = rollback(kept, 6, tmp_path)
    assert _same(_loaded(path), _loaded(kept / "model"))
    assert _same(load_file(f"{path}.safetensors"), _loaded(kept / "model"))


def test_the_best_is_kept_though_no_task_starts_from_it_any_more(tmp_path: Path) -> None:
    own = _run(tmp_path, 6, checkpoint={"every": 6, "best": True}, strategy={"kind": "sync", "cohort": 3})
    state = read_state(own / "checkpoints" / "version-6.safetensors")
    accuracy = (
        read_tables(own).versions["accuracy"].to_pylist()[:6]
    )  # when it was saved, 6 was not yet tested
    best = accuracy.index(max(accuracy))
    assert best not in state["versions"]
    shorter = _run(tmp_path / "shorter", best, strategy={"kind": "sync", "cohort": 3})
    assert _same(_loaded(rollback(own, best)), _loaded(shorter / "model"))


def test_the_command_says_where_the_files_are(kept: Path, tmp_path: Path) -> None:
    own = shutil.copytree(kept, tmp_path / "own")
    done = CliRunner().invoke(cli, ["rollback", str(own), "4"], standalone_mode=False)
    assert done.return_value == EXIT_DONE
    there = own / "export" / "version-4"
    assert done.output == f"Version 4: {there}.pt, {there}.safetensors\n"
    assert _same(_loaded(there), _loaded(rollback(kept, 4, tmp_path)))


def test_a_run_that_was_killed_is_rolled_back_too(kept: Path, tmp_path: Path) -> None:
    own = shutil.copytree(kept, tmp_path / "own")
    for table in own.glob("*.parquet"):
        table.unlink()
    assert (own / JOURNAL).is_file()
    assert _same(_loaded(rollback(own, 4)), _loaded(rollback(kept, 4, tmp_path)))


def test_what_is_not_kept_is_said_with_what_is(kept: Path, tmp_path: Path) -> None:
    own = shutil.copytree(kept, tmp_path / "own")
    (own / "checkpoints" / "notes.safetensors").write_text("nothing")
    (own / "checkpoints" / "version-6b.safetensors").write_text("nothing")
    with pytest.raises(RunError, match="there is no version 7; the last is 6"):
        rollback(own, 7)
    for version in (2, 4):
        (own / "checkpoints" / f"version-{version}.safetensors").unlink()
    with pytest.raises(RunError, match=r"version 2 is not kept; those that are: .*6$"):
        rollback(own, 2)
    (own / "checkpoints" / "version-6.safetensors").unlink()
    with pytest.raises(RunError, match="no version is kept, as there are no checkpoints"):
        rollback(own, 2)


def test_a_checkpoint_of_another_run_is_not_taken_for_one(kept: Path, tmp_path: Path) -> None:
    other = _run(tmp_path, 4, seed=2, checkpoint={"every": 4})
    own = shutil.copytree(kept, tmp_path / "own")
    for version in (4, 6):
        shutil.copy(
            other / "checkpoints" / "version-4.safetensors",
            own / "checkpoints" / f"version-{version}.safetensors",
        )
    with pytest.raises(RunError, match="its version 4 is another model than the run's records have"):
        rollback(own, 4)
    assert not (own / "export").exists()


def test_a_file_that_is_no_state_of_a_learner_is_named(kept: Path, tmp_path: Path) -> None:
    own = shutil.copytree(kept, tmp_path / "own")
    write_state(own / "checkpoints" / "version-6.safetensors", {"versions": 3})
    with pytest.raises(RunError, match=r"version-6\.safetensors is not the state of a run"):
        rollback(own, 6)
    with pytest.raises(RunError, match="cannot write"):
        rollback(kept, 6, own / "scenario.yaml")
