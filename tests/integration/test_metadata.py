"""Clients that report all that nobody wants to hear: the run goes on, and learns what it would anyhow."""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest
import yaml

from flsim.running import run
from flsim.scenario import read_scenario
from tests.integration.command import SCENARIOS, flsim, summary_of

# Each client reports in a way of its own. A trap that is touched leaves a file behind.
HOSTILE = '''
import collections
import math
import pathlib
import pickle
import sys

import numpy as np

from flsim.scenario.metadata import Metadata


def sprung(*_):
    pathlib.Path("sprung").touch()
    raise RuntimeError("the trap was touched")


class Trap:
    __repr__ = __str__ = __len__ = __iter__ = __bool__ = __eq__ = __float__ = __reduce__ = sprung
    __getattribute__ = __getitem__ = __format__ = __contains__ = __index__ = sprung
    __hash__ = object.__hash__


class TrappedDict(dict):
    __iter__ = __len__ = items = keys = values = __getitem__ = sprung


class TrappedFloat(float):
    __repr__ = __str__ = __eq__ = __float__ = __lt__ = sprung


class Bomb:
    def __reduce__(self):
        return sprung, ()


def endless(facts):
    return endless(facts)


def deep():
    nested = {}
    for _ in range(10_000):
        nested = {"a": nested}
    return nested


class Fault(Exception):
    __str__ = __repr__ = sprung


def fault(facts):
    raise Fault


WAYS = [
    lambda facts: {"fine": facts.client, "speed": 1.5, "word": "plain"},
    lambda facts: None,
    lambda facts: Trap(),
    lambda facts: TrappedDict(a=1),
    lambda facts: {"a": TrappedFloat(1)},
    lambda facts: {Trap(): 1},
    lambda facts: {"a": Trap()},
    lambda facts: {"a": pickle.dumps(Bomb())},
    lambda facts: {"a": "__import__('pathlib').Path('sprung').touch()"},
    lambda facts: {"a": "x" * 100_000},
    lambda facts: {f"a{n}": n for n in range(1_000)},
    lambda facts: deep(),
    lambda facts: {"a": 10**5_000},
    lambda facts: {"a": math.nan},
    lambda facts: {"a": math.inf},
    lambda facts: {"a": np.float32(1)},
    lambda facts: {"task": 0},
    lambda facts: {"../../etc": 1},
    lambda facts: {"a": "\\x1b[2J\\ud800"},
    endless,
    fault,
    lambda facts: sys.exit(0),
    lambda facts: [1, 2],
    lambda facts: (lambda: sprung()),
    lambda facts: (sprung() for _ in range(1)),
    lambda facts: collections.UserDict(a=1),
]


class Hostile(Metadata):
    """What each client reports is another way to be a nuisance."""

    kind: str = "hostile"

    def report(self, facts):
        return WAYS[facts.client % len(WAYS)](facts)
'''
WAYS = 26
HARMLESS = {0, 8}  # a text that looks like code is a text


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs of one scenario: nobody reports, all clients are hostile, and they say how they get on."""
    folder = tmp_path_factory.mktemp("metadata")
    (folder / "hostile.py").write_text(HOSTILE)
    scenario: dict[str, Any] = yaml.safe_load((SCENARIOS / "metadata.yaml").read_text())
    scenario["workload"]["data"]["dataset"] = {"kind": "synthetic", "samples": 600, "features": 6}
    scenario["fleet"]["clients"] = WAYS
    scenario["strategy"] = {"kind": "sync", "cohort": 13}
    scenario |= {"stop": {"updates": 6}, "selection": {"kind": "round_robin"}}
    for name, metadata in (
        ("silent", None),
        ("hostile", {"kind": "hostile:Hostile"}),
        ("progress", {"kind": "progress"}),
    ):
        scenario["workload"]["metadata"] = metadata
        output = {"dir": str(folder / "outputs"), "plots": name == "hostile", "timeline": False}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(scenario | {"name": name, "output": output}))
    done = flsim("hostile.yaml", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("silent", "progress"):
        run(read_scenario(folder / f"{name}.yaml"))
    return folder / "outputs"


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = parquet.read_table(folder / name / "metadata.parquet").to_pylist()
    return found


def test_hostile_clients_change_neither_the_model_nor_the_records(folder: Path) -> None:
    silent, hostile, progress = (summary_of(folder / name) for name in ("silent", "hostile", "progress"))
    for summary in (hostile, progress):
        for key in ("model_sha256", "records_sha256", "updates", "tasks", "final_accuracy"):
            assert summary[key] == silent[key]
    assert silent["updates"] == 6
    assert silent["tasks"]["rejected"] == 0


def test_nothing_of_a_payload_is_ever_run(folder: Path) -> None:
    assert not (folder.parent / "sprung").exists()


def test_what_was_rejected_says_why_and_the_rest_of_the_row_is_there(folder: Path) -> None:
    hostile, silent = rows(folder, "hostile"), rows(folder, "silent")
    assert {row["client"] for row in hostile} == set(range(WAYS))
    assert len(hostile) == 6 * 13
    for row, quiet in zip(hostile, silent, strict=True):
        same = ("task", "client", "version", "training_time_s", "converged", "losses")
        assert [row[name] for name in same] == [quiet[name] for name in same]
        assert (quiet["scalars"], quiet["rejected"]) == (None, None)
        harmless = row["client"] in HARMLESS
        assert (row["rejected"] is None, row["scalars"] is not None) == (harmless, harmless)
        assert harmless or 10 < len(row["rejected"]) < 200
    said = {row["client"]: row["scalars"] for row in hostile}
    assert json.loads(said[0]) == {"fine": 0, "speed": 1.5, "word": "plain"}
    why = {row["client"]: row["rejected"] for row in hostile}
    assert why[2] == "the report is of type Trap; accepted: dict"
    assert why[13] == "a is not finite"
    assert why[20] == "the report raised Fault"


def test_summary_and_metrics_count_what_was_rejected(folder: Path) -> None:
    refused = [row for row in rows(folder, "hostile") if row["rejected"] is not None]
    summary = summary_of(folder / "hostile")["metadata"]
    assert summary["payloads_rejected"] == len(refused) > 6 * 11
    assert summary["tasks"] == 6 * 13
    metrics = json.loads((folder / "hostile" / "metrics.json").read_text())["versions"]
    assert metrics[0]["metadata"] is None
    for entry in metrics[1:]:
        of_version = [row for row in refused if row["version"] == entry["version"]]
        assert entry["metadata"]["payloads_rejected"] == len(of_version)
    assert summary_of(folder / "silent")["metadata"]["payloads_rejected"] == 0


def test_progress_says_what_the_row_says(folder: Path) -> None:
    for row in rows(folder, "progress"):
        said = json.loads(row["scalars"])
        assert sorted(said) == ["first_loss", "last_loss", "samples_per_s", "update_norm"]
        assert (said["first_loss"], said["last_loss"]) == (row["losses"][0], row["losses"][-1])
        assert said["update_norm"] > 0


def test_the_picture_is_drawn(folder: Path) -> None:
    picture = folder / "hostile" / "plots" / "client_reports.png"
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_without_training_there_is_no_metadata_and_none_of_an_earlier_run(
    folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder / "progress", tmp_path / "progress")
    scenario = read_scenario(folder.parent / "progress.yaml", [f"output.dir={tmp_path}"])
    run(scenario, timing_only=True)
    assert not (tmp_path / "progress" / "metadata.parquet").exists()
    timing, learned = summary_of(tmp_path / "progress"), summary_of(folder / "progress")
    assert timing["metadata"] is None
    assert timing["records_sha256"] == learned["records_sha256"]
