"""The page about methods of one's own: its blocks are a module that runs, and that passes the kit."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest
import yaml

from flsim.testing import __all__ as checks
from tests.integration.command import REPOSITORY, SCENARIOS, flsim

PAGE = (REPOSITORY / "docs" / "extending.md").read_text()
KIT = """
from my_methods import Effort, EqualLengths, Lagging, Patient, Persistent, Quickest, Signs
from flsim.testing import check_aggregation, check_attack, check_metadata, check_objective, check_selection
from flsim.testing import check_server_optimizer, check_strategy

check_strategy(Patient(concurrency=4, buffer_size=3, patience=2.0))
check_selection(Quickest())
check_aggregation(EqualLengths())
check_attack(Lagging())
check_server_optimizer(Signs())
check_objective(Persistent())
check_metadata(Effort())
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the page's module, and a scenario that uses it."""
    (tmp_path / "my_methods.py").write_text("\n\n".join(blocks("python")))
    scenario: dict[str, Any] = yaml.safe_load((SCENARIOS / "quickstart.yaml").read_text())
    [sections] = [yaml.safe_load(block) for block in blocks("yaml") if "my_methods" in block]
    [objective] = re.findall(r"`objective: (\{.*?\})`", PAGE)
    [metadata] = re.findall(r"`metadata: (\{.*?\})`", PAGE)
    scenario |= sections | {"stop": {"updates": 8}, "output": {"plots": False}}
    scenario["workload"]["training"]["objective"] = yaml.safe_load(objective)
    scenario["workload"]["metadata"] = yaml.safe_load(metadata)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(scenario))
    return tmp_path


def test_a_scenario_runs_on_the_pages_methods(folder: Path) -> None:
    done = flsim("mine.yaml", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    [summary] = folder.glob("outputs/*/summary.json")
    assert json.loads(summary.read_text())["updates"] == 8
    resolved = yaml.safe_load((summary.parent / "scenario.yaml").read_text())
    assert resolved["strategy"]["patience"] == 20
    assert resolved["workload"]["training"]["objective"]["kind"] == "my_methods:Persistent"
    reports = parquet.read_table(summary.parent / "metadata.parquet").to_pylist()
    assert reports
    for row in reports:
        said = json.loads(row["scalars"])
        assert said["joules"] == pytest.approx(3 * row["training_time_s"])
        assert said["was_worth_it"] == (row["losses"][0] - row["losses"][-1] > 0.01)


def test_the_pages_methods_pass_the_kit(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KIT], cwd=folder, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_every_check_is_on_the_page() -> None:
    assert set(re.findall(r"^\| `(check_\w+)` \|", PAGE, re.MULTILINE)) == set(checks)
