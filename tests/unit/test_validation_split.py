"""Samples for validation: no client trains on them, and none of them is among its test samples."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flsim.errors import ScenarioError
from flsim.learn.datasets import load
from flsim.learn.dealt import Dealt, Split, deal_samples
from flsim.running import run
from flsim.scenario import scenario_from
from flsim.scenario.workload import TorchWorkload
from tests.tiny import scenario_data


def data_with(test: float, validation: float, on: str | None = "validation") -> dict[str, Any]:
    tests = {"evaluation": {"clients": {"every": 1, "on": on}}} if on else {}
    data = scenario_data(6, {"kind": "sync", "cohort": 3}, **tests)
    data["workload"]["data"] |= {"client_test_share": test, "client_validation_share": validation}
    data["workload"]["data"]["partition"] = {"kind": "dirichlet", "alpha": 0.5, "min_samples": 3}
    return data


def whole(data: dict[str, Any]) -> Dealt:
    scenario = scenario_from(data)
    assert isinstance(scenario.workload, TorchWorkload)
    of = scenario.workload.data
    return deal_samples(scenario, of, load(of.dataset, of.test_share, scenario.seed))


def dealt(data: dict[str, Any]) -> Split:
    return whole(data).phases[0]


@settings(deadline=None, max_examples=40)
@given(test=st.floats(0.0, 0.45), validation=st.floats(0.05, 0.5), seed=st.integers(0, 2**62))
def test_three_parts_of_a_client_are_disjoint_and_all_of_it(
    test: float, validation: float, seed: int
) -> None:
    of = dealt(data_with(test, validation) | {"seed": seed})
    everything = np.concatenate([*of.training, *of.validation, *of.testing])
    assert np.sort(everything).tolist() == list(range(60))
    for trained, checked, tested in zip(of.training, of.validation, of.testing, strict=True):
        size = len(trained) + len(checked) + len(tested)
        assert min(len(trained), len(checked)) >= 1
        assert (len(tested) >= 1) == (test > 0)
        if size >= 12:
            assert len(tested) == pytest.approx(test * size, abs=1)
            assert len(checked) == pytest.approx(validation * size, abs=1.5)


def test_the_test_samples_are_the_same_with_and_without_validation() -> None:
    both, alone = dealt(data_with(0.3, 0.3)), dealt(data_with(0.3, 0.0, on="test"))
    for left, right in zip(both.testing, alone.testing, strict=True):
        assert np.array_equal(left, right)


def test_clients_are_tested_on_the_samples_that_are_asked_for(tmp_path: Path) -> None:
    """With the same training, and so the same model; on sizes that tell the two apart."""
    summaries, samples = [], []
    for on in ("test", "validation"):
        data = data_with(0.2, 0.4, on) | {"output": {"dir": str(tmp_path / on), "plots": False}}
        summary = run(scenario_from(data)).summary
        table = parquet.read_table(tmp_path / on / "tiny" / "client_accuracy.parquet").to_pydict()
        summaries.append(summary)
        samples.append(table["samples"][:6])
        assert summary["client_accuracy"]["on"] == on
    of = dealt(data_with(0.2, 0.4))
    assert samples == [[len(part) for part in of.testing], [len(part) for part in of.validation]]
    assert samples[0] != samples[1]
    assert summaries[0]["records_sha256"] == summaries[1]["records_sha256"]
    assert summaries[0]["model_sha256"] == summaries[1]["model_sha256"]


def test_no_held_out_sample_is_trained_on() -> None:
    of, samples = dealt(data_with(0.3, 0.3)), whole(data_with(0.3, 0.3)).samples
    rows = [
        {tuple(row.tolist()) for row in samples.train_x[torch.from_numpy(np.concatenate(parts))]}
        for parts in (of.training, of.validation, of.testing)
    ]
    assert not rows[0] & rows[1]
    assert not rows[0] & rows[2]
    assert not rows[1] & rows[2]


@pytest.mark.parametrize(
    ("data", "where", "why"),
    [
        (data_with(0.3, 0.0), r"evaluation\.clients", "needs workload.data.client_validation_share"),
        (data_with(0.0, 0.3, on="test"), r"evaluation\.clients", "needs workload.data.client_test_share"),
        (data_with(0.0, 0.3, on=None), "client_validation_share", "held out that nobody looks at"),
        (data_with(0.6, 0.4), "client_validation_share", "nothing would be left to train on"),
        (data_with(0.3, 0.3, on="train"), r"clients\.on", "'test' or 'validation'"),
    ],
)
def test_what_does_not_go_together_is_refused(data: dict[str, Any], where: str, why: str) -> None:
    with pytest.raises(ScenarioError, match=where) as caught:
        scenario_from(data)
    assert why in str(caught.value)
