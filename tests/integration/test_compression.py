"""Compression as a user meets it: what it spares, what it costs in accuracy, and what is refused."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest

from flsim.running import run
from flsim.scenario import read_scenario
from tests.integration.command import SCENARIOS, flsim, summary_of
from tests.integration.conftest import Finished

QUICK = ("--set", "stop.updates=3", "--set", "output.plots=false", "--quiet", "--out", "out")


def communication_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "communication.json").read_text())
    return found


def test_one_percent_with_error_feedback_is_as_good_for_a_thirtieth_of_the_bytes(
    quickstart: Finished, tmp_path: Path
) -> None:
    """The README's run with `top_k`: within 2 points of accuracy, and under 3 % of the bytes up."""
    overrides = (
        "compression={uplink: {kind: top_k, share: 0.01}, error_feedback: true}",
        f"output={{dir: {tmp_path}, plots: false, timeline: false}}",
    )
    compressed = run(read_scenario(SCENARIOS / "quickstart.yaml", overrides)).summary
    plain = summary_of(quickstart.folder)
    assert compressed["updates"] == plain["updates"]
    for key in ("final_accuracy", "best_accuracy"):
        assert compressed[key] > plain[key] - 0.02
    assert compressed["bytes_up"] < 0.03 * plain["bytes_up"]
    assert compressed["virtual_time_s"] < plain["virtual_time_s"]
    saved = communication_of(tmp_path / "quickstart")["uncompressed"]
    assert saved["bytes_up"] / compressed["bytes_up"] == pytest.approx(4 * 4810 / 298)
    assert saved["ratio_down"] == 1
    assert communication_of(quickstart.folder)["uncompressed"] is None


@pytest.mark.slow
def test_the_scenario_gives_the_same_in_every_process(tmp_path: Path) -> None:
    found = []
    for seed in ("1", "2"):
        done = flsim(SCENARIOS / "compression.yaml", *QUICK, cwd=tmp_path, PYTHONHASHSEED=seed)
        assert done.returncode == 0, done.stderr
        summary = summary_of(tmp_path / "out" / "compression")
        found.append([summary[key] for key in ("model_sha256", "records_sha256", "final_accuracy")])
    assert found[0] == found[1]


@pytest.mark.slow
def test_without_training_the_timeline_is_the_same(tmp_path: Path) -> None:
    hashes = []
    for how in ([], ["--timing-only"]):
        done = flsim(SCENARIOS / "compression.yaml", *QUICK, *how, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        hashes.append(summary_of(tmp_path / "out" / "compression")["records_sha256"])
    assert hashes[0] == hashes[1]


@pytest.mark.slow
def test_the_timeline_and_the_records_have_what_was_on_the_wire(tmp_path: Path) -> None:
    done = flsim(SCENARIOS / "compression.yaml", *QUICK, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "out" / "compression"
    tasks = parquet.read_table(folder / "tasks.parquet").to_pylist()
    sent = {row["task"]: row["bytes_up"] for row in tasks if row["outcome"] == "aggregated"}
    assert set(sent.values()) == {180}
    trace = json.loads(gzip.decompress((folder / "timeline.json.gz").read_bytes()))
    uploads = [event["args"] for event in trace["traceEvents"] if event.get("name") == "upload"]
    shown = {args["task"]: args["bytes"] for args in uploads}
    assert {task: shown[task] for task in sent} == sent


@pytest.mark.slow
def test_describe_shows_the_sizes(tmp_path: Path) -> None:
    done = flsim("describe", SCENARIOS / "compression.yaml", cwd=tmp_path)
    shown = "Traffic of a task: 19.2 kB down at first, then 2.53 kB; 180 B up (19.2 kB uncompressed)"
    assert shown in done.stdout.splitlines()
    varying = "compression={uplink: {kind: threshold, value: 0.1}}"
    done = flsim("describe", SCENARIOS / "compression.yaml", "--set", varying, cwd=tmp_path)
    assert "19.2 kB down, at most 19.9 kB up (19.2 kB uncompressed)" in done.stdout


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            ["--timing-only", "--set", "compression.uplink={kind: threshold, value: 0.1}"],
            "error: compression.uplink: how large an update is follows from its training; not with "
            "--timing-only",
        ),
        (
            ["--set", "compression.uplink={kind: qsgd, levels: 7}"],
            "error: compression.uplink: the squared error of qsgd may be 9.14 times the squared norm of a "
            "tensor with 4,096 values, and what is left over would grow from task to task; accepted: less "
            "than 1, or error_feedback: false",
        ),
    ],
    ids=["timing only", "coarse"],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    given: list[str], message: str, tmp_path: Path
) -> None:
    done = flsim(SCENARIOS / "compression.yaml", *QUICK, *given, cwd=tmp_path)
    assert (done.returncode, done.stderr.strip()) == (1, message)
    assert not (tmp_path / "out").exists()
