"""The wall clock has no part in what is recorded, wherever it jumps to."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from flsim.running import run
from flsim.scenario import scenario_from
from flsim.terminal import Watcher
from tests.faults.clocks import jumping
from tests.faults.runs import learning


def finished(folder: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Run with a display; return the bytes of the tables, and the summary."""
    output = {"dir": str(folder), "plots": False}
    scenario = scenario_from(learning(output=output))
    watcher = Watcher(scenario, Console(file=StringIO(), force_terminal=True), quiet=False)
    with watcher.watching():
        results = run(scenario, watch=watcher).folder
    tables = {path.name: path.read_bytes() for path in results.glob("*.parquet")}
    return tables, json.loads((results / "summary.json").read_text())


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], dict[str, Any]]:
    return finished(tmp_path_factory.mktemp("steady"))


@pytest.mark.parametrize(
    "jumps_s",
    [[0.0, 3600.0], [0.0, -3600.0], [0.0, -1e9, 1e9, 1e-9]],
    ids=["forwards", "backwards", "to and fro"],
)
def test_a_clock_that_jumps_changes_no_record(
    jumps_s: list[float], steady: tuple[dict[str, bytes], dict[str, Any]], tmp_path: Path
) -> None:
    with jumping(jumps_s) as readings:
        tables, summary = finished(tmp_path)
    assert readings[0] > 10
    assert tables == steady[0]
    differing = {key for key in summary if summary[key] != steady[1][key]}
    assert differing <= {"wall_time_s", "scenario_sha256", "updates_per_wall_s", "tasks_per_wall_s"}
