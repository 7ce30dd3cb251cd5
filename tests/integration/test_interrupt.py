"""Ending a run by hand: its records are complete up to that moment, and the exit code says 130.

Nothing here sleeps and hopes: a signal is sent when the run has said that it has come so far.
"""

import signal
import sys
from pathlib import Path

import pyarrow.compute as compute
import pyarrow.parquet as parquet
import pytest

from flsim.observe.tables import read_tables, records_sha256
from flsim.records import Outcome
from tests.integration.command import (
    ENDLESS,
    SCENARIOS,
    Started,
    command_line,
    files_in,
    start,
    summary_of,
)

# Somebody's own strategies. The first tells when it has made some versions, the second takes for ever.
STRATEGIES = """\
import sys
import time

from flsim.policy.fedbuff import FedBuff


def say(word):
    sys.stderr.write(word + "\\n")
    sys.stderr.flush()


class Loud(FedBuff):
    kind: str = "loud"

    def decide(self, view):
        if view.version == 50 and view.in_flight == self.concurrency:
            say("under way")
        return super().decide(view)


class Slow(FedBuff):
    kind: str = "slow"

    def decide(self, view):
        while view.version == 5:
            say("tick")
            time.sleep(0.02)
        return super().decide(view)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "strategies.py").write_text(STRATEGIES)
    (tmp_path / "endless.yaml").write_text(ENDLESS)
    return tmp_path


def _started(folder: Path, strategy: str) -> Started:
    kind = f"strategy.kind=strategies:{strategy}"
    return start(command_line("endless.yaml", "--set", kind, "--out", "out"), folder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_in_order(folder: Path, number: signal.Signals) -> None:
    started = _started(folder, "Loud")
    started.wait_for_text("under way")
    started.process.send_signal(number)
    code, out, err = started.end()
    assert code == 130
    assert "Traceback" not in err
    assert "error" not in err
    assert "Ended: the run was interrupted" in out

    results = folder / "out" / "endless"
    summary = summary_of(results)
    assert summary["stop_reason"] == "interrupted"
    assert summary["stop_detail"] == "the run was interrupted"
    assert summary["updates"] >= 50
    assert files_in(results) == {
        "clients.parquet",
        "communication.json",
        "ending.parquet",
        "journal.flsim",
        "metrics.csv",
        "metrics.json",
        "scenario.yaml",
        "summary.json",
        "tasks.parquet",
        "versions.parquet",
    }
    tables = read_tables(results)
    outcomes = {
        pair["values"]: pair["counts"]
        for pair in compute.value_counts(tables.tasks["outcome"].cast("string")).to_pylist()
    }
    assert set(outcomes) <= {outcome.value for outcome in Outcome}
    assert sorted(tables.tasks["task"].to_pylist()) == list(range(summary["tasks"]["dispatched"]))
    assert outcomes == {
        outcome: count for outcome, count in summary["tasks"].items() if count and outcome != "dispatched"
    }
    assert 0 < outcomes["unfinished"] <= 49  # those in flight, and those that wait in the buffer
    unfinished = tables.tasks.filter(compute.equal(tables.tasks["outcome"].cast("string"), "unfinished"))
    assert max(unfinished["ended_s"].to_pylist()) == summary["virtual_time_s"]
    assert len(tables.versions) == summary["updates"] + 1
    assert len(tables.clients) == 100
    assert records_sha256(tables) == summary["records_sha256"]


def test_a_second_interrupt_ends_a_run_at_once(folder: Path) -> None:
    """The first one is noted, but this strategy never gives the run a chance to act on it."""
    started = _started(folder, "Slow")
    started.wait_for_text("tick")
    started.process.send_signal(signal.SIGINT)
    ticks = started.said.count(b"tick")
    started.wait_for(lambda said: said.count("tick") > ticks + 5)
    assert started.process.poll() is None
    started.process.send_signal(signal.SIGINT)
    code, _, err = started.end()
    assert code == 130
    assert "error: interrupted" in err
    assert "Traceback" not in err
    results = folder / "out" / "endless"
    assert not (results / "summary.json").exists()
    tasks = parquet.read_table(results / "tasks.parquet")
    versions = parquet.read_table(results / "versions.parquet")
    assert versions["version"].to_pylist() == list(range(5))  # a version's row is written when it is over
    assert len(tasks) == 50  # five versions of ten


@pytest.mark.parametrize("module", ["pyarrow.lib", "flsim.terminal", "torch.torch_version"])
def test_an_interrupt_before_the_run_begins(tmp_path: Path, module: str) -> None:
    """While libraries load, nothing has been written, and what an earlier run left still stands."""
    earlier = tmp_path / "quickstart" / "summary.json"
    earlier.parent.mkdir()
    earlier.write_text("{}")
    (earlier.parent / "scenario.yaml").write_text("name: quickstart\n")
    command = command_line(SCENARIOS / "quickstart.yaml", "--out", tmp_path)
    command[1:1] = ["-X", "importtime"]  # tells on standard error whatever has been loaded
    # Python's own import machinery leaves a file open if ^C comes while it reads it, and would say so.
    started = start(command, tmp_path, PYTHONWARNINGS="error,ignore::ResourceWarning")
    started.wait_for(lambda said: any(line.endswith(f" {module}") for line in said.splitlines()))
    started.process.send_signal(signal.SIGINT)
    code, out, err = started.end()
    assert code == 130
    assert out == ""
    assert "error: interrupted" in err
    assert "Traceback" not in err
    assert files_in(tmp_path) == {"quickstart/scenario.yaml", "quickstart/summary.json"}
    assert earlier.read_text() == "{}"


def test_the_watcher_gives_signals_back(folder: Path) -> None:
    """After a run in somebody's own program, ^C is theirs again."""
    program = """
import signal
from pathlib import Path
from rich.console import Console
from flsim.running import run
from flsim.scenario import read_scenario
from flsim.terminal import Watcher

def mine(*_): ...

signal.signal(signal.SIGINT, mine)
scenario = read_scenario(Path("endless.yaml"), ["stop.time=100", "output.dir=out", "output.plots=false"])
watcher = Watcher(scenario, Console(), quiet=True)
with watcher.watching():
    assert signal.getsignal(signal.SIGINT) is not mine
    run(scenario, watch=watcher)
assert signal.getsignal(signal.SIGINT) is mine
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
"""
    code, _, err = start([sys.executable, "-c", program], folder).end()
    assert (code, err) == (0, "")
