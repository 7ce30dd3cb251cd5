"""The scenarios of docs/results.md run, and what the benchmark sets in them fits."""

from pathlib import Path

import pytest

from benchmarks.results import STUDIES, Method, Study, job
from flsim.running import run
from flsim.scenario import read_scenario
from tests.integration.command import REPOSITORY, SCENARIOS

PAPERS = sorted((SCENARIOS / "papers").glob("*.yaml"))
METHODS = [
    pytest.param(study, method, id=f"{study.file} {method.name}")
    for study in STUDIES
    for method in study.methods
]


def test_every_scenario_is_in_a_study() -> None:
    assert {path.name for path in PAPERS} == {study.file for study in STUDIES}


@pytest.mark.parametrize(("study", "method"), METHODS)
def test_a_method_learns_on_its_scenario(study: Study, method: Method, tmp_path: Path) -> None:
    small = (f"output={{dir: {tmp_path}, plots: false, timeline: false}}", "stop={updates: 2}")
    chosen = job(study, method, method.chosen, seed=1)
    summary = run(read_scenario(SCENARIOS / "papers" / study.file, (*chosen.overrides, *small))).summary
    assert summary["updates"] == 2
    assert summary["final_loss"] is not None


@pytest.mark.parametrize(("study", "method"), METHODS)
def test_the_settings_that_the_page_shows_are_those_that_run(study: Study, method: Method) -> None:
    page = (REPOSITORY / "docs" / "results.md").read_text()
    settings = ", ".join(f"`{key.rpartition('.')[2]}: {value}`" for key, value in method.chosen.items())
    assert f"| {method.name} | {settings} | {'0.' if study.by_class else '5 of 5'}" in page
    for settings_of_grid in method.candidates():
        grid = job(study, method, settings_of_grid, seed=0)
        read_scenario(SCENARIOS / "papers" / study.file, grid.overrides)
