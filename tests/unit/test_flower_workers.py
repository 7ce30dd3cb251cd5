"""How many worker processes run ClientApps, and what is imported for them beforehand."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flsim.flower import workers as counted
from flsim.flower.executors import _parts
from flsim.flower.workers import start_ahead, workers
from flsim.scenario import Scenario
from flsim.scenario.app_in_world import read_app_in_world

REPOSITORY = Path(__file__).parents[2]
QUICKSTART = REPOSITORY / "scenarios" / "flower" / "apps" / "quickstart"
IDEAL = REPOSITORY / "scenarios" / "flower" / "worlds" / "ideal.yaml"


def scenario(*overrides: str, app: Path = QUICKSTART) -> Scenario:
    return read_app_in_world(app, IDEAL, "", overrides)


@pytest.mark.parametrize(
    ("cores", "overrides", "expected"),
    [
        (4, ["fleet.clients=5"], 4),
        (4, ["fleet.clients=3"], 3),
        (4, ["fleet.clients=1"], 0),
        (1, ["fleet.clients=5"], 0),
        (None, ["fleet.clients=5"], 0),
        (4, ["fleet.clients=5", "executor={kind: serial}"], 0),
        (4, ["fleet.clients=5", "executor={kind: processes}"], 4),
        (1, ["fleet.clients=5", "executor={kind: processes, workers: 2}"], 2),
        (4, ["fleet.clients=5", "executor={kind: processes, workers: 9}"], 5),
        (4, ["fleet.clients=5", "executor={kind: ray}"], 0),
    ],
)
def test_there_is_a_worker_for_every_core_that_has_a_client(
    cores: int | None, overrides: list[str], expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    assert workers(scenario(*overrides)) == expected


def started(given: Scenario, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str]]]:
    calls: list[tuple[str, list[str]]] = []
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr(counted, "start_importing", lambda first, also: calls.append((first, also)))
    start_ahead(given)
    return calls


def test_what_an_app_imports_is_imported_ahead_if_processes_can_be_forked_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = "flsim.flower.preloaded"
    assert started(scenario(), monkeypatch) == [(ours, ["sklearn.datasets"])]
    assert started(scenario("executor={kind: serial}"), monkeypatch) == []
    (tmp_path / "more").mkdir()
    (tmp_path / "a.py").write_text(
        "import torchvision.transforms as t, tensorflow\nfrom .sklearn import x\n"
    )
    (tmp_path / "more" / "b.py").write_text("def f():\n    from scipy import stats\n")
    installed = tmp_path / ".venv" / "lib" / "site-packages"
    installed.mkdir(parents=True)
    (installed / "d.py").write_text("import sklearn")
    (tmp_path / "c.py").write_text("this is no Python")
    given = scenario()
    given = given.model_copy(update={"workload": given.workload.model_copy(update={"app": str(tmp_path)})})
    assert started(given, monkeypatch) == [(ours, ["scipy", "torchvision.transforms"])]


def loaded_after(line: str) -> set[str]:
    program = f"import sys\n{line}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("line", "absent"),
    [
        ("import flsim.flower.workers", {"torch", "flwr", "simpy"}),
        ("import flsim.from_flower", {"torch", "sqlalchemy", "fastapi"}),
        ("import flsim.flower.prepare", {"torch._dynamo", "sklearn", "matplotlib"}),
    ],
)
def test_nothing_is_imported_that_takes_long_and_is_not_needed(line: str, absent: set[str]) -> None:
    modules: Any = loaded_after(line)
    assert line.split()[1] in modules
    assert not absent & modules


@pytest.mark.parametrize(
    ("calls", "workers", "sizes"),
    [
        (100, 2, [25, 18, 14, 10, 8, 6, 4, 4, 4, 4, 3]),
        (10, 2, [2, 2, 1, 1, 1, 1, 1, 1]),
        (3, 4, [1, 1, 1]),
        (1, 1, [1]),
    ],
)
def test_workers_take_ever_less_so_that_they_end_together(
    calls: int, workers: int, sizes: list[int]
) -> None:
    parts = list(_parts(range(calls), workers))
    assert [len(part) for part in parts] == sizes
    assert [place for part in parts for place in part] == list(range(calls))


def test_what_the_fork_server_imports_changes_nothing_elsewhere() -> None:
    """There it switches the search for garbage off, and ends at once."""
    line = "import gc, sys, flsim.flower.preloaded\nprint(gc.isenabled())\nsys.exit(3)"
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "True\n")


def test_what_cannot_be_imported_does_not_end_the_fork_server(tmp_path: Path) -> None:
    """Neither a library that raises anything, nor Flower's absence, which is this process's to tell."""
    (tmp_path / "broken.py").write_text("raise RuntimeError('operator does not exist')")
    (tmp_path / "flwr.py").write_text("raise ImportError('no flwr')")
    program = (
        "import multiprocessing.forkserver, time\n"
        "from flsim.children import PROCESSES, start_importing, starting\n"
        "start_importing('flsim.flower.preloaded', ['broken'])\n"
        "with starting('flsim.flower.preloaded'):\n"
        "    process = PROCESSES.Process(target=print, args=['forked'])\n"
        "    process.start()\n"
        "process.join()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{REPOSITORY}"},
    )
    assert (done.returncode, done.stdout) == (0, "forked\n")
    assert "Traceback" not in done.stderr
