"""Workers that are killed: twice, as they start, again and again. No hang, no orphan, the same bits."""

import os
import signal
from dataclasses import replace
from multiprocessing import active_children
from pathlib import Path

import pytest
from pyarrow import parquet

from flsim.errors import RunError
from flsim.learn.executors.executor import Recipe
from flsim.learn.executors.processes import ProcessesExecutor
from tests.executors import as_serial, jobs, recipe
from tests.faults.processes import Waits, alive, killed, workers_of
from tests.faults.runs import SYNC, run_in
from tests.tiny import scenario_data


@pytest.fixture(scope="module")
def of() -> Recipe:
    return recipe(sizes=[50] * 12, epochs=20)


def test_two_workers_killed_one_after_the_other_change_nothing(of: Recipe) -> None:
    """In one call and in the next; a task that is lost twice would end the run."""
    executor, victims = ProcessesExecutor(of, 2), list[int]()
    for _ in range(2):
        with killed(Waits(2)) as killed_now:
            assert as_serial(executor, of, jobs(of, 6, versions=2))
        victims += killed_now
    assert len(set(victims)) == 2
    executor.close()
    assert alive(victims) == []


def test_all_workers_killed_at_once_change_nothing(of: Recipe) -> None:
    executor = ProcessesExecutor(of, 2)
    with killed(Waits(3), every=True) as victims:
        assert as_serial(executor, of, jobs(of, 12, versions=2))
    assert len(set(victims)) == 2
    executor.close()


def test_workers_killed_as_they_start(of: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first two never get as far as their first task."""
    new, started = ProcessesExecutor._new_worker, list[int]()

    def new_and_dead(self, place, memory):  # type: ignore[no-untyped-def]
        worker = new(self, place, memory)
        started.append(worker._process.pid)
        if len(started) <= 2:
            os.kill(worker._process.pid, signal.SIGKILL)
        return worker

    monkeypatch.setattr(ProcessesExecutor, "_new_worker", new_and_dead)
    executor = ProcessesExecutor(of, 2)
    assert as_serial(executor, of, jobs(of, 4))
    assert len(started) == 4
    executor.close()
    assert alive(started) == []


@pytest.mark.slow
def test_workers_that_are_always_killed_end_the_run(of: Recipe) -> None:
    endless = replace(of, training=recipe(epochs=1_000_000).training)
    executor = ProcessesExecutor(endless, 2)
    why = r"2 workers died one after the other over task \d+ .* code -9"
    with killed(Waits(), every=True) as victims, pytest.raises(RunError, match=why):
        executor.train(jobs(of, 6))
    assert len(victims) <= 8  # and not one after the other for ever
    assert workers_of(executor) == []
    assert alive(victims) == []
    assert not {child.pid for child in active_children()} & set(victims)
    assert as_serial(executor, endless, [])
    executor.close()


def processes(tmp_path: Path, name: str) -> Path:
    data = scenario_data(10, SYNC, stop={"updates": 2}, executor={"kind": "processes", "workers": 2})
    return run_in(tmp_path, data | {"name": name}, timeline=False)


def test_a_run_whose_workers_are_killed_has_the_same_records(tmp_path: Path) -> None:
    undisturbed = processes(tmp_path, "undisturbed")
    with killed(Waits(2)) as victims:
        disturbed = processes(tmp_path, "disturbed")
    assert victims
    for table in ("tasks.parquet", "versions.parquet"):
        assert parquet.read_table(disturbed / table).equals(parquet.read_table(undisturbed / table))


def test_a_run_whose_workers_always_die_says_so_and_keeps_its_records(tmp_path: Path) -> None:
    why = r"give executor\.workers a smaller number"
    with killed(Waits(), every=True) as victims, pytest.raises(RunError, match=why):
        processes(tmp_path, "dying")
    assert alive(victims) == []
    assert parquet.read_table(tmp_path / "dying" / "versions.parquet").num_rows >= 0
    assert not (tmp_path / "dying" / "summary.json").exists()
