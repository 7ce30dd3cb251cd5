"""The determinism sanitiser: a scenario runs twice, in surroundings that must make no difference.

Each run is a process of its own. Hash seed, locale, time zone, numbers of threads and of worker processes,
and the output folder all differ; whatever of these reaches a record is named with the first record that it
changes.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from flsim.errors import EXIT_DONE, EXIT_INTERRUPTED, RunError
from flsim.govern.differences import Compared, compare_folders
from flsim.scenario import Scenario, read_scenario

_IGNORED = {"summary.json": ("wall_time_s", "scenario_sha256", "training")}


class Surroundings(NamedTuple):
    """What a run finds around it. `folder`: where it writes, below a temporary folder."""

    variables: Mapping[str, str]
    workers: int
    folder: str


FIRST = Surroundings(
    {"PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo", "LC_ALL": "C", "OMP_NUM_THREADS": "1"}, 1, "one"
)
SECOND = Surroundings(
    {"PYTHONHASHSEED": "4242", "TZ": "America/Caracas", "LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "3"},
    3,
    "another/and deeper",
)


def check_determinism(file: Path, overrides: Sequence[str] = (), *, timing_only: bool = False) -> Compared:
    """Run a scenario file twice and compare what the runs have written, but for pictures.

    Raises ScenarioError before anything runs, and RunError where a run fails.
    """
    scenario = read_scenario(file, overrides)
    with tempfile.TemporaryDirectory(prefix="flsim-determinism-") as temporary:
        folders = []
        for around in (FIRST, SECOND):
            out = Path(temporary) / around.folder
            _run(_command(file, [*overrides, *_changes(scenario, around)], out, timing_only), around)
            folders.append(out / scenario.name)
        return compare_folders(folders[0], folders[1], _IGNORED)


def _changes(scenario: Scenario, around: Surroundings) -> list[str]:
    """Return what is changed of the scenario: how many work on it; nothing is drawn, signed or tracked."""
    changes = ["output.plots=false", "output.report=false", "governance=null", "tracking=[]"]
    for key in ("workers", "threads"):
        if key in type(scenario.executor).model_fields:
            changes.append(f"executor.{key}={around.workers}")
    return changes


def _command(file: Path, changes: Sequence[str], out: Path, timing_only: bool) -> list[str]:
    settings = [word for change in changes for word in ("--set", change)]
    command = [sys.executable, "-m", "flsim", "run", str(file), "--quiet", "--out", str(out), *settings]
    return [*command, "--timing-only"] if timing_only else command


def _run(command: Sequence[str], around: Surroundings) -> None:
    done = subprocess.run(  # noqa: S603
        command,
        env={**os.environ, **around.variables},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode == EXIT_INTERRUPTED:
        raise KeyboardInterrupt
    if done.returncode != EXIT_DONE:
        said = done.stderr.strip().removeprefix("error: ")
        where = json.dumps(dict(around.variables))
        raise RunError(f"a run failed with {where}: {said or f'exit code {done.returncode}'}")
