"""Adapters on real text, and on a model that no machine here could hold."""

import math
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

from flsim.cli import main
from flsim.errors import ScenarioError
from flsim.results import Run
from flsim.running import run
from flsim.scenario import read_scenario
from tests.integration.command import SCENARIOS, environment, summary_of

TEXT = SCENARIOS / "lora_text.yaml"
LLAMA = SCENARIOS / "llama7b_lora_timing.yaml"
RANK = 16
ADAPTERS = 4 * RANK * (2 * (4 * (64 + 64) + 3 * (64 + 172)) + 64)  # without the head's columns of B

# Runs a command in its process, and says how many bytes of memory it held at most. Not by getrusage, which
# also counts what the process that started it held.
MEASURED = """\
import re, sys
from pathlib import Path
from flsim.cli import main
try:
    main(sys.argv[1:])
finally:
    print("peak", 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]))
"""


def adapted(tmp_path: Path, *overrides: str) -> Run:
    output = f"output={{dir: {tmp_path}, plots: false, timeline: false}}"
    return run(read_scenario(TEXT, (output, *overrides)))


def assert_only_adapters_travel(done: Run) -> None:
    """Every upload is as long as A and B of all linear layers in float32, and so is every download."""
    tokens = (done.summary["adapters"]["largest_bytes"] - ADAPTERS) // (4 * RANK)
    assert 50 < tokens < 300  # the characters of the text
    size = ADAPTERS + 4 * RANK * tokens
    tasks = parquet.read_table(done.folder / "tasks.parquet")
    assert set(tasks["bytes_up"].to_pylist()) == set(tasks["bytes_down"].to_pylist()) == {size}
    assert done.summary["bytes_up"] == size * tasks.num_rows
    assert done.summary["adapters"]["parameters"] == size // 4


def test_adapters_learn_a_text(tmp_path: Path) -> None:
    """In four of the scenario's updates, of half as many clients."""
    quick = ("strategy.cohort=2", "stop.updates=4", "evaluation.every=4", "executor={kind: serial}")
    quick += ("workload.data.test_share=0.02",)
    done = adapted(tmp_path, *quick)
    losses = parquet.read_table(done.folder / "versions.parquet")["loss"].to_pylist()
    assert losses[-1] <= 0.8 * losses[0]
    assert_only_adapters_travel(done)


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("aggregation.kind=mean",),
        ("aggregation.kind=mean", "workload.model.freeze_a=true"),
        ("workload.model.ranks=[{share: 0.5, rank: 4}, {share: 0.5, rank: 16}]",),
    ],
    ids=["flexlora", "mean", "ffa", "ranks"],
)
def test_in_twenty_updates_the_loss_falls_by_a_fifth_and_more(
    overrides: tuple[str, ...], tmp_path: Path
) -> None:
    done = adapted(tmp_path, "evaluation.every=20", *overrides)
    assert done.summary["updates"] == 20
    losses = parquet.read_table(done.folder / "versions.parquet")["loss"].to_pylist()
    assert losses[-1] <= 0.8 * losses[0]
    if not overrides:
        assert_only_adapters_travel(done)


@pytest.mark.slow
def test_seven_billion_parameters_are_timed_in_less_than_a_gigabyte(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-c",
        MEASURED,
        str(LLAMA),
        "--timing-only",
        "--quiet",
        "--out",
        str(tmp_path),
    ]
    done = subprocess.run(
        command, env=environment(), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    peak = int(done.stdout.split("peak")[1])
    assert peak < 1e9
    summary = summary_of(tmp_path / LLAMA.stem)
    assert summary["updates"] == 100
    assert summary["adapters"] == {
        "parameters": 8_388_608,
        "frozen_parameters": 6_738_415_616,
        "smallest_bytes": 33_554_432,
        "largest_bytes": 33_554_432,
    }
    aggregated = summary["tasks"]["aggregated"]
    assert summary["bytes_up"] >= aggregated * 33_554_432
    assert math.isfinite(summary["virtual_time_s"])


def test_it_is_not_trained_and_says_how_it_runs(tmp_path: Path) -> None:
    """Before anything is written."""
    with pytest.raises(ScenarioError, match="--timing-only"):
        run(read_scenario(LLAMA, (f"output.dir={tmp_path / 'out'}",)))
    assert not (tmp_path / "out").exists()


def test_what_travels_and_what_is_frozen_is_described(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="0"):
        main(["describe", str(LLAMA)])
    told = capsys.readouterr().out
    assert "8,388,608 parameters (33.6 MB) beside 6,738,415,616 that are frozen" in told
    assert "Traffic of a task: 33.6 MB down, 33.6 MB up" in told
