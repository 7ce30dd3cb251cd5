"""Runs that are killed by SIGKILL at random instants, as often as it takes, end as if nothing had happened.

Processes are children of a server that has imported torch already, so that it is the run that is killed,
and not its imports. Instants are drawn from the time that a whole run takes, so they are others every time.
"""

import sys
import time
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random
from types import ModuleType

import pytest

from tests.integration.command import SCENARIOS
from tests.resumed import assert_same, go_on

METHODS = SCENARIOS / "methods.yaml"

KINDS = {
    "sync": ("strategy={kind: sync, cohort: 6}",),
    "async": ("selection.kind=oort",),
    "secure aggregation": ("strategy={kind: sync, cohort: 6}", "secure_aggregation={kind: secagg}"),
    "error feedback": ("compression={uplink: {kind: top_k}, downlink: {kind: top_k}}",),
    "scaffold": ("workload.training.objective={kind: scaffold}", "fleet.failure={dropout: 0.1}"),
}
KILLS_OF_A_RUN = 4
RUNS = 10  # of each kind, with the slow tests: 200 kills in all
_processes = get_context("forkserver")
_processes.set_forkserver_preload(
    ["tests.resumed", "flsim.learn.prepare", "sklearn.datasets", "torch._dynamo"]
)


def process_of(kind: str, folder: Path) -> BaseProcess:
    """Start a process that begins the run in `folder / "methods"`, or goes on with it."""
    output = f"output={{dir: {folder}, plots: false, timeline: false}}"
    overrides = (output, "stop={updates: 24}", "checkpoint={every: 4}", *KINDS[kind])
    process = _processes.Process(target=go_on, args=(METHODS, overrides, folder / "methods"))
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType(
        "__main__"
    )  # a child would import that of pytest, which takes long
    try:
        process.start()
    finally:
        sys.modules["__main__"] = main
    return process


def killed_again_and_again(kind: str, folder: Path, kills: int, random: Random, most_s: float) -> int:
    """Kill a run so often, unless it has finished by then, and let it end. Return how often it was."""
    killed = 0
    while True:
        process = process_of(kind, folder)
        process.join(random.uniform(0, most_s) if killed < kills else None)
        if process.exitcode is not None:
            assert process.exitcode == 0
            return killed
        process.kill()
        process.join()
        killed += not (folder / "methods" / "summary.json").is_file()


def whole_run(kind: str, folder: Path) -> float:
    """Leave what the run leaves when nobody kills it; return the seconds that it takes."""
    first = _processes.Process(target=int)  # which waits for the server
    first.start()
    first.join()
    began = time.monotonic()
    process = process_of(kind, folder)
    process.join()
    assert process.exitcode == 0
    (folder / "methods").rename(folder / "whole")
    return time.monotonic() - began


@pytest.mark.slow
def test_a_run_that_is_killed_twice(tmp_path: Path) -> None:
    kind = "async"
    most_s = whole_run(kind, tmp_path)
    killed_again_and_again(kind, tmp_path, 2, Random(1), most_s)
    assert_same(tmp_path / "whole", tmp_path / "methods")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_runs_that_are_killed_again_and_again(kind: str, tmp_path: Path) -> None:
    most_s, killed, number = whole_run(kind, tmp_path), 0, 0
    while killed < RUNS * KILLS_OF_A_RUN:
        killed += killed_again_and_again(kind, tmp_path, KILLS_OF_A_RUN, Random(number), most_s)
        assert_same(tmp_path / "whole", tmp_path / "methods")
        (tmp_path / "methods").rename(tmp_path / f"run {number}")
        number += 1
