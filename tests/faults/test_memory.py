"""Memory that is refused: one message, and workers that are not left behind."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from pyarrow import parquet

from flsim.cli import _exit_code
from flsim.errors import EXIT_ERROR
from flsim.learn.executors.serial import SerialExecutor
from flsim.observe.journal import ParquetJournal
from flsim.scenario import scenario_from
from flsim.scenario.reading import to_yaml
from tests.faults.runs import SYNC, learning
from tests.integration.command import DEADLINE_S, environment
from tests.tiny import scenario_data


def written(tmp_path: Path, data: dict[str, Any]) -> Path:
    """Write a scenario to a file."""
    output = {"dir": str(tmp_path), "plots": False, "timeline": False}
    file = tmp_path / "scenario.yaml"
    file.write_text(to_yaml(scenario_from(data | {"output": output})))
    return file


NO_MORE = "error: out of memory: the run needs more than there is\n"


def torch_refuses(*_: Any, **__: Any) -> Any:
    return torch.empty(1 << 60)


def python_refuses(*_: Any, **__: Any) -> Any:
    raise MemoryError


@pytest.mark.parametrize(
    ("where", "method", "refuses", "said"),
    [
        (
            SerialExecutor,
            "_plain",
            python_refuses,
            NO_MORE,
        ),
        (SerialExecutor, "_plain", torch_refuses, "DefaultCPUAllocator: "),
        (
            ParquetJournal,
            "version",
            python_refuses,
            NO_MORE,
        ),
        (ParquetJournal, "version", torch_refuses, "error: out of memory: [enforce fail at"),
    ],
    ids=["training, Python's", "training, torch's", "the journal, Python's", "the journal, torch's"],
)
def test_memory_that_is_refused_ends_the_run_with_one_message(
    where: type,
    method: str,
    refuses: Any,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(where, method, refuses)
    assert _exit_code(["run", str(written(tmp_path, learning())), "-q"]) == EXIT_ERROR
    err = capsys.readouterr().err
    assert said in err
    assert err.startswith("error: ")
    assert "defect" not in err
    assert "Traceback" not in err
    for table in (tmp_path / "learning").glob("*.parquet"):
        parquet.read_table(table)


LIMITED = """
import resource, sys
import torch, flsim.running, flsim.cli
from pathlib import Path
here = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (here + (1 << 29), here + (1 << 29)))
flsim.cli.main(sys.argv[1:])
"""


@pytest.mark.slow
def test_a_process_that_may_have_no_more_memory(tmp_path: Path) -> None:
    """A model of 4 GB, of which half a one may be had."""
    data = scenario_data(10, SYNC, executor={"kind": "serial"})
    data["workload"]["model"] = {"kind": "mlp", "hidden": [32_000, 32_000]}
    file = written(tmp_path, data)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, "run", str(file), "-q"],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == EXIT_ERROR
    assert done.stderr.startswith("error: ")
    assert "memory" in done.stderr
    assert "defect" not in done.stderr
    assert "Traceback" not in done.stderr
