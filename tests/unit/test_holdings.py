"""What `flsim describe` and the summary say of the clients' samples."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from scipy.stats import entropy

from flsim import holdings as holdings_module
from flsim.describe import describe
from flsim.holdings import Holdings
from flsim.learn.datasets import load
from flsim.running import run
from flsim.scenario import scenario_from
from flsim.scenario.data import SyntheticData
from flsim.terminal.holdings import holdings_parts
from tests.tiny import scenario_data


def printed(of: Holdings, clients: int) -> str:
    console = Console(file=io.StringIO(), width=200)
    for part in holdings_parts(of, clients):
        console.print(part)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def holding(table: list[list[int]] | np.ndarray, owners: Any = ()) -> Holdings:
    labels = np.array(table, np.int32)
    return Holdings(labels.sum(axis=1).astype(np.int64), labels, owners)


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=1, max_size=12).filter(
        lambda table: sum(map(sum, table)) > 0
    )
)
def test_statistics_are_those_of_scipy(table: list[list[int]]) -> None:
    found = holding(table).statistics()
    sizes = [sum(row) for row in table]
    assert found["samples"] == sum(sizes)
    assert (found["min"], found["max"], found["median"]) == (min(sizes), max(sizes), np.median(sizes))
    whole = np.sum(table, axis=0) / sum(sizes)
    rows = [np.array(row) / sum(row) for row in table if sum(row)]
    assert found["whole_entropy"] == pytest.approx(entropy(whole, base=2))
    assert found["label_entropy"] == pytest.approx(np.mean([entropy(row, base=2) for row in rows]))
    assert found["label_distance"] == pytest.approx(
        np.mean([np.abs(row - whole).sum() / 2 for row in rows])
    )


def test_many_clients_are_counted_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    table = np.random.default_rng(1).integers(0, 5, (50, 4))
    at_once = holding(table).statistics()
    monkeypatch.setattr(holdings_module, "_AT_A_TIME", 7)
    assert holding(table).statistics() == pytest.approx(at_once)


def test_the_extremes() -> None:
    alike = holding([[5, 5], [5, 5]]).statistics()
    assert (alike["label_distance"], alike["label_entropy"]) == (0.0, 1.0)
    apart = holding([[9, 0], [0, 9], [0, 0]]).statistics()
    assert (apart["label_distance"], apart["label_entropy"], apart["min"]) == (0.5, 0.0, 0)
    assert "label_entropy" not in holding([[0, 0]]).statistics()
    assert "label_entropy" not in Holdings(np.array([3, 4])).statistics()


def test_few_clients_have_their_numbers() -> None:
    lines = printed(holding([[12, 0], [3, 7]]), 2).splitlines()
    assert lines[0] == "Samples: 22; 10 to 12 each, median 11"
    assert lines[1].startswith(
        "Classes of a client: mean entropy 0.44 of 0.90 bits, distance from the whole"
    )
    cells = [line.replace("│", " ").replace("┃", " ").split() for line in lines]
    assert ["class", "0", "1"] in cells
    assert ["0", "12", "3"] in cells
    assert ["1", "0", "7"] in cells


def test_more_clients_have_a_block_for_each_class() -> None:
    table = np.zeros((30, 3), np.int32)
    table[:, 0] = 10
    table[5] = [1, 9, 0]
    lines = printed(holding(table), 30).splitlines()
    assert lines[2] == "Classes by client, 0 to 29 (· none, █ 3/4 and more)"
    assert lines[3:] == [
        "  0 " + "█" * 5 + "░" + "█" * 24,
        "  1 " + "·" * 5 + "█" + "·" * 24,
        "  2 " + "·" * 30,
    ]


def test_very_many_clients_are_summed_up() -> None:
    table = np.tile(np.array([[10, 0], [5, 5]], np.int32), (100, 1))
    text = printed(holding(table), 200)
    cells = [line.replace("│", " ").split() for line in text.splitlines()]
    assert ["1", "0.0%", "25.0%", "50.0%", "100", "of", "200"] in cells


def test_rare_classes_and_many_owners_are_counted() -> None:
    table = np.ones((200, 300), np.int32)
    table[:, 280:] = 2
    owners = [[f"w{client}{letter}" for letter in "abcde"] for client in range(200)]
    text = printed(holding(table, owners), 200)
    assert "… and 280 rarer classes" in text
    assert "Owners: 1,000\n" in text
    assert "client 0: w0a, w0b, w0c and 2 more" in text
    assert "… 188 more clients …" in text
    assert len(text.splitlines()) < 60


def test_one_owner_each_is_said() -> None:
    text = printed(holding([[1, 2], [3, 4]], [["north bank"], ["south [red] bank"]]), 2)
    assert "Owners: 2, one for each client" in text
    assert "client 1: south [red] bank" in text


def test_a_run_and_a_description_say_the_same(tmp_path: Path) -> None:
    data = scenario_data(5, {"kind": "sync", "cohort": 2}, output={"dir": str(tmp_path), "plots": False})
    data["workload"]["data"]["partition"] = {"kind": "dirichlet", "alpha": 0.4}
    data["workload"]["data"]["drift"] = [{"at": "2 h", "swap": [[0, 1]]}]
    scenario = scenario_from(data)
    described = describe(scenario)
    assert described.holdings is not None
    assert described.drift_s == (7200.0,)
    assert run(scenario).summary["data"] == described.holdings.statistics()
    assert described.holdings.samples.tolist() == list(described.costs.samples)
    labels = described.holdings.labels
    assert labels is not None
    assert labels.sum(axis=1).tolist() == list(described.costs.samples)
    samples = load(SyntheticData(samples=100, features=6, classes=3), 0.5, 3)
    assert labels.sum(axis=0).tolist() == torch.bincount(samples.train_y).tolist()
