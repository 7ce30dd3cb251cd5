"""What can be made of a run that was killed: all that its journal has."""

import shutil
from pathlib import Path

import pytest

from flsim.observe.export import export
from flsim.observe.tables import read_tables
from flsim.running import run
from flsim.scenario import read_scenario
from tests.integration.command import SCENARIOS


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in which clients come and go."""
    out = tmp_path_factory.mktemp("runs")
    changes = ["fleet.clients=40", "strategy.cohort=10", "stop.time=20 min", "output.plots=false"]
    return run(read_scenario(SCENARIOS / "edge_outage.yaml", [*changes, f"output.dir={out}"])).folder


@pytest.fixture
def killed(whole: Path, tmp_path: Path) -> Path:
    """The same, as it is when its files never were closed."""
    folder = Path(shutil.copytree(whole, tmp_path / "killed"))
    for path in folder.glob("*.parquet"):
        path.write_bytes(path.read_bytes()[:4])
    for name in ("ending.parquet", "clients.parquet", "summary.json"):
        (folder / name).unlink()
    return folder


def test_its_tables_are_those_of_the_journal(whole: Path, killed: Path) -> None:
    expected, found = read_tables(whole), read_tables(killed)
    assert expected.absences is not None
    assert expected.absences.num_rows > 5
    for name in ("tasks", "versions", "clients", "absences"):
        assert getattr(found, name).to_pylist() == getattr(expected, name).to_pylist(), name
    assert found.ending is None


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_it_is_exported_from_its_journal(form: str, whole: Path, killed: Path, tmp_path: Path) -> None:
    written, rest = export(whole, form, tmp_path / "whole"), export(killed, form, tmp_path / "rest")
    names = {path.name for path in rest.iterdir()}
    assert names == {path.name for path in written.iterdir()} - {f"ending.{form}"}
    for name in names:
        assert (rest / name).read_bytes() == (written / name).read_bytes(), name
