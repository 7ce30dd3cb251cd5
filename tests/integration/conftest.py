"""Runs that several tests look at: each is made once, in a process of its own."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.command import SCENARIOS, SMALL, flsim


@dataclass(frozen=True)
class Finished:
    """A run that has ended: where it was started, what it said, and its results."""

    cwd: Path
    process: subprocess.CompletedProcess[str]
    folder: Path


@pytest.fixture(scope="session")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The README's first command, in a folder that has nothing but the scenarios."""
    cwd = tmp_path_factory.mktemp("quickstart")
    shutil.copytree(SCENARIOS, cwd / "scenarios", ignore=shutil.ignore_patterns("__pycache__"))
    process = flsim("scenarios/quickstart.yaml", cwd=cwd, PYTHONHASHSEED="1", TZ="Asia/Tokyo", LC_ALL="C")
    assert process.returncode == 0, process.stderr
    return Finished(cwd, process, cwd / "outputs" / "quickstart")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A scenario file that runs in no time."""
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return path
