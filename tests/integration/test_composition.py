"""Strategies, defences, compression, privacy, attacks and the rest go together, or say why they do not."""

import math
import re
from itertools import product
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

from flsim.errors import ScenarioError
from flsim.running import run
from tests.composition import PARTS, Choice, kinds, pairs, refusal, refusals, sample, scenario_of, table
from tests.integration.command import REPOSITORY

QUICK = 24  # combinations that run every time; the others do with the slow tests


def assert_reasoned(why: str) -> None:
    """A refusal is one line, names a key and gives a reason in words."""
    found = re.fullmatch(r"scenario: ([a-z_]+(?:\.[a-z_0-9]+)*): (\S.*)", why)
    assert found is not None, why
    top = found[1].split(".")[0]
    assert top in {part.split(".")[0] for part in PARTS} | {"network"}, why
    assert len(found[2].split()) > 5, why


def test_every_kind_goes_with_the_plainest_of_everything_else() -> None:
    alone = [{part: kind} for part in PARTS for kind in kinds()[part]]
    assert {refusal(choice) for choice in alone} == {None}


def test_every_pair_is_accepted_or_refused_with_a_reason() -> None:
    assert len(list(pairs())) > 3000
    assert refusals()
    for why in refusals().values():
        assert_reasoned(why)


@pytest.mark.parametrize(
    "parts",
    [
        ("strategy", "aggregation", "privacy", "compression.uplink"),
        ("strategy", "aggregation", "attack"),
        ("strategy", "privacy", "workload.training.objective", "selection"),
        ("privacy", "attack", "compression.downlink"),
    ],
    ids=" x ".join,
)
def test_more_parts_at_once_are_refused_with_a_reason_if_two_of_them_are(parts: tuple[str, ...]) -> None:
    accepted = 0
    for chosen in product(*(kinds()[part] for part in parts)):
        choice = dict(zip(parts, chosen, strict=True))
        if (why := refusal(choice)) is None:
            accepted += 1
        else:
            assert_reasoned(why)
    assert accepted


def test_the_table_in_the_documentation_is_what_is_refused() -> None:
    page = (REPOSITORY / "docs" / "scenario.md").read_text()
    shown = re.search(r"^\| this \| not with \|\n(?:\|.*\n)+", page, re.MULTILINE)
    assert shown is not None
    assert shown[0] == f"{table()}\n", "print it anew: python -m tests.composition"


def _named(choice: Choice) -> str:
    return "-".join(kind for kind in choice.values() if kind != "none")


def _finite(row: dict[str, object]) -> bool:
    return all(math.isfinite(value) for value in row.values() if isinstance(value, float))


def assert_runs(choice: Choice, tmp_path: Path) -> None:
    """It comes to its end, loses no task, ends with finite numbers, and has the same timeline untrained."""
    scenario = scenario_of(choice)
    scenario = scenario.model_copy(
        update={"output": scenario.output.model_copy(update={"dir": str(tmp_path)})}
    )
    done = run(scenario)
    summary = done.summary
    assert summary["stop_reason"] == "updates"
    assert math.isfinite(summary["final_loss"])
    tasks = dict(summary["tasks"])
    dispatched = tasks.pop("dispatched")
    assert sum(tasks.values()) == dispatched > 0
    assert tasks["rejected"] == 0
    rows = parquet.read_table(done.folder / "tasks.parquet").to_pylist()
    assert len(rows) == dispatched
    assert all(map(_finite, rows))
    assert all(map(_finite, parquet.read_table(done.folder / "versions.parquet").to_pylist()))
    selection, compression = scenario.selection, scenario.compression
    varies = compression is not None and compression.uplink is not None and compression.uplink.varies
    if varies:
        with pytest.raises(ScenarioError, match=r"compression\.uplink: \S+"):
            run(scenario, timing_only=True)
    elif not (selection.reads_losses or selection.needs_client_tests):
        assert run(scenario, timing_only=True).summary["records_sha256"] == summary["records_sha256"]


@pytest.mark.parametrize("choice", sample(QUICK), ids=_named)
def test_what_goes_together_runs_to_its_end(choice: Choice, tmp_path: Path) -> None:
    assert_runs(choice, tmp_path)


@pytest.mark.slow
def test_every_pair_that_goes_together_runs_to_its_end(tmp_path: Path) -> None:
    for choice in sample()[QUICK:]:
        assert_runs(choice, tmp_path)
