"""Privacy that clients keep by themselves, as a user meets it: the commands of scenarios/privacy.yaml."""

import re
import shlex
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest

from tests.integration.command import SCENARIOS, flsim, summary_of

FILE = SCENARIOS / "privacy.yaml"
QUICK = (
    *(
        "--set",
        "stop.updates=3",
        "--set",
        "selection.q=0.1",
        "--set",
        "output={plots: false, timeline: false}",
    ),
    *("--quiet", "--out", "out"),
)


def command_of(kind: str) -> list[str]:
    """Return the options of the command for a kind that the scenario's comment shows."""
    [line] = re.findall(rf"^#   python -m flsim (.*kind: {kind}.*)$", FILE.read_text(), re.MULTILINE)
    return shlex.split(line)[1:]


def found(kind: str, cwd: Path, *more: str, **variables: str) -> dict[str, Any]:
    done = flsim(FILE, *command_of(kind), *QUICK, *more, cwd=cwd, **variables)
    assert done.returncode == 0, done.stderr
    return summary_of(cwd / "out" / "privacy")


@pytest.mark.parametrize("kind", ["local", "examples"])
@pytest.mark.slow
def test_a_run_is_the_same_in_every_process_and_says_what_it_spent(kind: str, tmp_path: Path) -> None:
    keys = ("model_sha256", "records_sha256", "final_accuracy", "privacy")
    runs = [
        found(kind, tmp_path, "--set", f"executor={{kind: {executor}}}", PYTHONHASHSEED=seed)
        for seed, executor in (("1", "serial"), ("2", "processes"))
    ]
    assert [runs[0][key] for key in keys] == [runs[1][key] for key in keys]
    versions = parquet.read_table(tmp_path / "out" / "privacy" / "versions.parquet").to_pylist()
    spent = [row["epsilon"] for row in versions[1:]]
    assert spent == sorted(spent)
    told = runs[0]["privacy"]
    assert told["epsilon"] >= spent[-1] > 0
    assert "that each client was asked for" in told["counted_by"]


@pytest.mark.slow
def test_a_budget_ends_a_run_before_a_client_is_asked_for_too_much(tmp_path: Path) -> None:
    epsilon = found("local", tmp_path, "--set", "stop.updates=2")["privacy"]["epsilon"]
    ended = found(
        "local", tmp_path, "--set", f"privacy.budget={{epsilon: {epsilon}}}", "--set", "stop.updates=30"
    )
    assert ended["stop_reason"] == "privacy"
    assert "one task of a client more would take epsilon from" in ended["stop_detail"]
    assert ended["privacy"]["epsilon"] <= epsilon
