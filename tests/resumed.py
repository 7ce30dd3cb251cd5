"""Runs that are cut off and resumed, and what they have in common with those that never were."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet

from flsim.observe.blocks import JOURNAL
from flsim.resuming import resume
from flsim.running import run
from flsim.scenario import Scenario, read_scenario
from flsim.sim.surroundings import Moment


class Killed(BaseException):
    """The end of a process, as far as one can have that within a process."""


def killed_at(scenario: Scenario, version: int) -> None:
    """Run until a version is there, and then no further: nothing more is done in order."""

    def watch(moment: Moment) -> bool:
        if moment.version >= version:
            raise Killed
        return True

    try:
        run(scenario, watch=watch)
    except Killed:
        return
    raise AssertionError(f"the run never came to version {version}")


def go_on(scenario_yaml: Path, overrides: Sequence[str], folder: Path) -> None:
    """Begin a run or go on with it, as whoever has been told that it was killed would do."""
    if (folder / "summary.json").is_file():
        return  # which is written last
    if (folder / JOURNAL).is_file():
        resume(folder)
    else:
        run(read_scenario(scenario_yaml, overrides))


def contents(folder: Path) -> dict[str, Any]:
    """Return all that a run has left that does not tell of the clock on the wall, by file."""
    found: dict[str, Any] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if name == "summary.json":
            summary = json.loads(path.read_text())
            del summary["wall_time_s"]
            found[name] = summary
        elif path.suffix == ".parquet":
            found[name] = parquet.read_table(path)
        else:
            found[name] = path.read_bytes()
    return found


def assert_same(one: Path, other: Path) -> None:
    """Two runs have left the same: tables, hashes, models, checkpoints and journals, to the last bit."""
    left, right = contents(one), contents(other)
    assert left.keys() == right.keys()
    assert [name for name in left if left[name] != right[name]] == []


def assert_resumes(scenario: Scenario, versions: Sequence[int] = (3,)) -> Path:
    """A run that is killed when these versions are there ends as it does without; return its folder."""
    folder = run(scenario).folder
    whole = folder.with_name(f"{folder.name}-whole")
    shutil.rmtree(whole, ignore_errors=True)
    folder.rename(whole)
    killed_at(scenario, versions[0])
    for version in versions[1:]:

        def watch(moment: Moment, version: int = version) -> bool:
            if moment.version >= version:
                raise Killed
            return True

        try:
            resume(folder, watch=watch)
        except Killed:
            continue
        raise AssertionError(f"the run never came to version {version}")
    resume(folder)
    assert_same(whole, folder)
    return folder
