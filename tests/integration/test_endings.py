"""Runs in which nothing good can happen end by themselves, soon, and say why."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flsim.errors import RunError
from flsim.observe.tables import read_tables
from flsim.running import run
from flsim.scenario import scenario_from
from tests.integration.command import summary_of

SOON_S = 20.0


@pytest.fixture(autouse=True)
def _ends_soon() -> Iterator[None]:
    """A run that does not end must fail its test, not hang it."""

    def too_late(*_: Any) -> None:
        raise TimeoutError(f"the run did not end within {SOON_S} s")

    before = signal.signal(signal.SIGALRM, too_late)
    signal.setitimer(signal.ITIMER_REAL, SOON_S)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def _run(tmp_path: Path, fleet: dict[str, Any], **sections: Any) -> dict[str, Any]:
    """Run a fleet of 20 under `sync`, and return its summary.json."""
    data: dict[str, Any] = {
        "name": "ending",
        "workload": {"kind": "synthetic"},
        "fleet": {"clients": 20, "compute": {"kind": "duration", "task": "10 s"}, **fleet},
        "strategy": {"kind": "sync", "cohort": 10},
        "stop": {"updates": 1_000_000},
        "output": {"dir": str(tmp_path), "plots": False},
        **sections,
    }
    finished = run(scenario_from(data))
    assert not finished.interrupted
    return summary_of(finished.folder)


ALL_STRATEGIES = [
    {"kind": "sync", "cohort": 10},
    {"kind": "sync", "cohort": 10, "deadline": "15 s", "quorum": 5},
    {"kind": "fedasync", "concurrency": 10},
    {"kind": "fedbuff", "concurrency": 10, "buffer_size": 5},
]
each_strategy = pytest.mark.parametrize(
    "strategy", ALL_STRATEGIES, ids=["sync", "deadline", "fedasync", "fedbuff"]
)


@each_strategy
def test_all_clients_leave(tmp_path: Path, strategy: dict[str, Any]) -> None:
    lifetime = {"kind": "uniform", "low": "1 min", "high": "5 min"}
    summary = _run(tmp_path, {"failure": {"lifetime": lifetime}}, strategy=strategy)
    assert summary["stop_reason"] == "no clients"
    assert "none will come back" in summary["stop_detail"] or "no other will come" in summary["stop_detail"]
    assert summary["updates"] > 0
    assert summary["virtual_time_s"] <= 300


@each_strategy
def test_every_task_drops(tmp_path: Path, strategy: dict[str, Any]) -> None:
    summary = _run(tmp_path, {"failure": {"dropout": 1.0}}, strategy=strategy)
    assert summary["stop_reason"] == "stalled"
    assert "tasks in a row ended without an update" in summary["stop_detail"]
    assert summary["updates"] == summary["tasks"]["aggregated"] == 0
    assert summary["tasks"]["dropped"] >= 1000


def test_never_enough_clients_at_once(tmp_path: Path) -> None:
    """Each is there for a second in an hour, and a round needs ten."""
    availability = {"kind": "sessions", "on": "1 s", "off": {"kind": "exponential", "mean": "1 h"}}
    strategy = {"kind": "sync", "cohort": 10, "quorum": 10}
    summary = _run(tmp_path, {"availability": availability}, strategy=strategy)
    assert summary["stop_reason"] == "stalled"
    assert summary["updates"] == 0
    assert summary["stop_detail"]


def test_a_deadline_that_nobody_meets(tmp_path: Path) -> None:
    """Ten seconds of work, and five to do it in."""
    strategy = {"kind": "sync", "cohort": 10, "deadline": "5 s", "quorum": 1}
    summary = _run(tmp_path, {}, strategy=strategy, stop={"time": "1 h", "updates": 10})
    assert summary["stop_reason"] == "time"
    assert summary["updates"] == 0
    assert summary["tasks"]["discarded"] >= 7000
    assert summary["virtual_time_s"] == 3600


NO_TIME: dict[str, Any] = {
    "fleet": {"compute": {"kind": "duration", "task": 0}},
    "workload": {"kind": "synthetic", "download": 0, "upload": 0},
}


@each_strategy
def test_tasks_that_take_no_time(tmp_path: Path, strategy: dict[str, Any]) -> None:
    """That is legal as long as the run needs no time to pass."""
    summary = _run(
        tmp_path, NO_TIME["fleet"], workload=NO_TIME["workload"], strategy=strategy, stop={"updates": 20}
    )
    assert summary["stop_reason"] == "updates"
    assert (summary["updates"], summary["virtual_time_s"]) == (20, 0.0)


@each_strategy
def test_time_that_stands_still(tmp_path: Path, strategy: dict[str, Any]) -> None:
    with pytest.raises(
        RunError, match=r"virtual time stands still at 0 s: .*Give the fleet a compute time"
    ):
        _run(
            tmp_path,
            NO_TIME["fleet"],
            workload=NO_TIME["workload"],
            strategy=strategy,
            stop={"time": "1 h"},
        )
    tables = read_tables(tmp_path / "ending")  # what had happened until then can be read
    assert len(tables.versions) > 1
    assert not (tmp_path / "ending" / "summary.json").exists()


def test_time_is_up_in_the_middle_of_a_round(tmp_path: Path) -> None:
    summary = _run(tmp_path, {}, stop={"time": "95 s"})
    assert summary["stop_reason"] == "time"
    assert summary["stop_detail"] == "95 s of virtual time have passed"
    assert summary["virtual_time_s"] == 95.0
    assert summary["tasks"]["unfinished"] == 10
