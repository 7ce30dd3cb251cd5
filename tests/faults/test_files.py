"""A disk that is full: one message that names the file, whole files or none, and all is closed."""

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from flsim.errors import RunError
from flsim.learn.executors.serial import SerialExecutor
from flsim.learn.learner import TorchLearner
from flsim.observe.tables import read_tables
from tests.faults.files import Step, failing, left_behind, no_file_longer_than
from tests.faults.runs import FLEET, buffered, hierarchy, learning, run_in

LEARNING = [
    "absences.parquet",
    "attacked_tasks.parquet",
    "attackers.parquet",
    "audit_log.json",
    "audit_log.jsonl",
    "client_accuracy.parquet",
    "clients.parquet",
    "communication.json",
    "ending.parquet",
    "leakage.parquet",
    "manifest.json",
    "metadata.parquet",
    "metrics.csv",
    "metrics.json",
    "metrics.parquet",
    "reconstructions.parquet",
    "scenario.yaml",
    "summary.json",
    "tasks.parquet",
    "timeline.json.gz",
    "versions.parquet",
]
HIERARCHY = ["edge_tasks.parquet", "edge_versions.parquet", "report.html"]
BUFFERED = ["secure_errands.parquet", "secure_sessions.parquet"]
ON_THE_WAY = ["absences.parquet", "metadata.parquet", "tasks.parquet", "versions.parquet"]
"""What is written as the run goes, and not when it is over."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `learning` in which nothing fails."""
    return run_in(tmp_path_factory.mktemp("undisturbed"), learning())


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What has been closed."""
    told: list[str] = []
    for cls in (TorchLearner, SerialExecutor):
        close = cls.close

        def noted(self: Any, close: Any = close, name: str = cls.__name__) -> Any:
            told.append(name)
            return close(self)

        monkeypatch.setattr(cls, "close", noted)
    return told


def test_these_are_all_files_of_a_run(undisturbed: Path, tmp_path: Path) -> None:
    """A file that a run learns to write has to be tried here, too; the journal is in test_framed.py."""
    names = {path.name for path in undisturbed.rglob("*") if path.is_file()}
    assert names == {*LEARNING, "tracked.csv", "journal.flsim"}
    others = [run_in(tmp_path, hierarchy(), report=True), run_in(tmp_path, buffered())]
    more = {path.name for folder in others for path in folder.rglob("*") if path.is_file()}
    assert more - names == {*HIERARCHY, *BUFFERED}


def refused(folder: Path, data: dict[str, Any], file: str, step: Step, **options: Any) -> Path:
    """Run with a file that cannot be written; return the folder, when the run has failed as it should."""
    output = {"report": True} if file == "report.html" else {}
    with failing(file, step, **options) as hits, pytest.raises(RunError) as caught:
        run_in(folder, data, **output)
    assert hits, "nothing has failed"
    said = str(caught.value)
    assert f"{file}:" in said
    assert "No space left on device" in said
    assert "\n" not in said
    results = folder / data["name"]
    assert left_behind(results) == []
    return results


@pytest.mark.parametrize("file", LEARNING)
def test_no_room_for_a_file_of_a_run_that_learns(
    file: str, tmp_path: Path, undisturbed: Path, closed: list[str]
) -> None:
    results = refused(tmp_path, learning(), file, "write")
    if file == "scenario.yaml":
        return  # nothing has begun
    assert closed.count("TorchLearner") == 1
    assert "SerialExecutor" in closed
    for table in results.glob("*.parquet"):  # what is there is whole, but for what broke off
        if file not in ON_THE_WAY:
            assert_begins_as(table, undisturbed / table.name, whole=table.name != file)
        elif table.name in ON_THE_WAY and table.name != file:  # what is made of them lacks rows, too
            assert_begins_as(table, undisturbed / table.name, whole=False)


def assert_begins_as(table: Path, whole_table: Path, *, whole: bool) -> None:
    """Assert that a table can be read and holds the first rows of another one, or all of them."""
    read, expected = parquet.read_table(table), parquet.read_table(whole_table)
    assert read.num_rows == expected.num_rows or not whole
    assert read.equals(expected.slice(0, read.num_rows))


@pytest.mark.parametrize("file", HIERARCHY)
def test_no_room_for_a_file_of_a_hierarchy(file: str, tmp_path: Path) -> None:
    results = refused(tmp_path, hierarchy(), file, "write")
    others = [path for path in results.glob("*.parquet") if path.name != file]
    assert len(others) >= 4
    for table in others:
        parquet.read_table(table)


@pytest.mark.parametrize("file", BUFFERED)
def test_no_room_for_a_file_of_secure_sessions(file: str, tmp_path: Path) -> None:
    results = refused(tmp_path, buffered(), file, "write")
    assert len(read_tables(results).tasks) > 0


@pytest.mark.parametrize("step", ["open", "close"])
@pytest.mark.parametrize("file", ["tasks.parquet", "versions.parquet", "clients.parquet", "ending.parquet"])
def test_every_step_of_a_table(file: str, step: Step, tmp_path: Path) -> None:
    results = refused(tmp_path, buffered(), file, step)
    assert not (results / "summary.json").exists()


@pytest.mark.parametrize("step", ["open", "close", "rename"])
@pytest.mark.parametrize("file", ["scenario.yaml", "metrics.csv", "summary.json", "timeline.json.gz"])
def test_every_step_of_a_file_that_is_moved_to_its_place(file: str, step: Step, tmp_path: Path) -> None:
    results = refused(tmp_path, buffered(), file, step)
    assert not (results / file).exists()


def test_a_summary_that_cannot_be_written_leaves_no_old_one(tmp_path: Path) -> None:
    """What an earlier run said of itself does not stand beside the records of another."""
    results = run_in(tmp_path, buffered())
    assert (results / "summary.json").exists()
    refused(tmp_path, buffered(), "summary.json", "rename")
    assert not (results / "summary.json").exists()


def test_a_picture_that_cannot_be_written(tmp_path: Path) -> None:
    with failing("participation.png", "write") as hits, pytest.raises(RunError) as caught:
        run_in(tmp_path, buffered(), plots=True, timeline=False)
    assert len(hits) == 1
    assert "participation.png: No space left on device" in str(caught.value)
    assert left_behind(tmp_path) == []
    assert len(read_tables(tmp_path / "buffered").tasks) > 0


@pytest.mark.parametrize("step", ["open", "write", "close"])
def test_a_run_goes_on_without_the_file_of_its_progress(
    step: Step, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with failing("progress.jsonl", step) as hits:
        results = run_in(tmp_path, buffered())
    assert len(hits) == 1  # it is not tried again
    assert "progress.jsonl cannot be written" in caplog.text
    assert (results / "summary.json").exists()
    assert not (results / "progress.jsonl").exists()


def test_a_run_goes_on_without_a_tracker(tmp_path: Path, undisturbed: Path) -> None:
    with failing("tracked.csv", "write") as hits:
        results = run_in(tmp_path, learning())
    assert hits
    assert not (results / "tracked.csv").exists()
    assert (results / "tasks.parquet").read_bytes() == (undisturbed / "tasks.parquet").read_bytes()


MANY = {
    "name": "many",
    "workload": {"kind": "synthetic"},
    "fleet": {"clients": 200, "compute": FLEET["compute"]},
    "strategy": {"kind": "fedasync", "concurrency": 100},
    "stop": {"updates": 3000},
}


def test_a_disk_that_fills_up_as_the_run_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system refuses to make files longer, and pyarrow is told."""
    monkeypatch.setattr("flsim.observe.journal.ROW_GROUP_ROWS", 500)
    with (
        no_file_longer_than(40_000),
        pytest.raises(RunError, match=r"cannot write .*(\.parquet|journal\.flsim): .*File too large"),
    ):
        run_in(tmp_path, MANY, timeline=False)
    assert not (tmp_path / "many" / "summary.json").exists()


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("file", ["tasks.parquet", "summary.json"])
def test_a_folder_that_may_not_be_written_any_more(file: str, code: int, tmp_path: Path) -> None:
    with failing(file, "open", code), pytest.raises(RunError) as caught:
        run_in(tmp_path, buffered())
    assert f"{file}: " in str(caught.value)
    assert os.strerror(code) in str(caught.value)


def test_a_folder_that_somebody_removes_midway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the first file that has no place any more."""
    from flsim.sim.world import World

    run = World.run

    def run_and_lose(self: World, *args: Any) -> Any:
        simulated = run(self, *args)
        shutil.rmtree(tmp_path / "buffered")
        return simulated

    monkeypatch.setattr(World, "run", run_and_lose)
    with pytest.raises(RunError, match=r"buffered: cannot write clients\.parquet: .*No such file"):
        run_in(tmp_path, buffered())
