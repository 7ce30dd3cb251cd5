"""The learner of a strategy of Flower's: what it is given, what comes of it, what is remembered."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from flsim.errors import RunError
from flsim.from_flower import FedAvg
from flsim.learn.flower import remembered
from flsim.learn.learner import TorchLearner
from flsim.learn.prepare import prepare
from flsim.scenario import scenario_from
from flsim.scenario.workload import TorchWorkload
from flsim.sim.world import simulate
from tests import flower_strategies
from tests.memory import MemoryJournal
from tests.resumed import assert_resumes
from tests.tiny import scenario_data

OURS = "tests.flower_strategies:"
FLOWERS = "flwr.serverapp.strategy:"
CLIENTS = 6


def given(name: str, arguments: dict[str, Any] | None = None, **sections: Any) -> dict[str, Any]:
    strategy = {"kind": "flower", "class": name, "arguments": arguments or {}}
    return scenario_data(CLIENTS, strategy, **sections)


def learned(data: dict[str, Any]) -> tuple[TorchLearner, list[Tensor], MemoryJournal]:
    """Run a scenario; return its learner, every version's weights, and the records."""
    scenario = scenario_from(data)
    assert isinstance(scenario.workload, TorchWorkload)
    prepared, journal = prepare(scenario, scenario.workload), MemoryJournal()
    learner = prepared.learner
    versions, aggregate = [learner.weights], learner.aggregate

    def noted(*decided: Any) -> Any:
        result = aggregate(*decided)
        versions.append(learner.weights)
        return result

    learner.aggregate = noted  # type: ignore[method-assign]
    simulate(scenario, prepared.costs, learner, journal)
    return learner, versions, journal


def test_replies_have_the_clients_weights_and_their_numbers_in_order_of_arrival() -> None:
    flower_strategies.seen.clear()
    _, versions, journal = learned(given(f"{OURS}Noting", stop={"updates": 3}))
    assert [server_round for server_round, _ in flower_strategies.seen] == [1, 2, 3]
    for server_round, replies in flower_strategies.seen:
        rows = sorted(
            (row for row in journal.tasks if row.aggregated_version == server_round),
            key=lambda row: (row.ended_s, row.task),
        )
        assert [reply.metadata.src_node_id for reply in replies] == [row.client for row in rows]
        assert {reply.metadata.message_type for reply in replies} == {"train"}
        mean = torch.zeros_like(versions[0])
        for reply, row in zip(replies, rows, strict=True):
            numbers = reply.content.metric_records["metrics"]
            assert numbers["num-examples"] == row.samples == 10
            assert numbers["train_loss"] == row.train_loss
            arrays = reply.content.array_records["arrays"]
            assert list(arrays) == ["1.weight", "1.bias", "3.weight", "3.bias"]
            flat = torch.cat([torch.from_numpy(each.numpy()).reshape(-1) for each in arrays.values()])
            assert not torch.equal(flat, versions[server_round - 1])
            mean += flat / len(replies)
        torch.testing.assert_close(versions[server_round], mean, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "by"),
    [("FedAvg", "samples"), ("FedAdam", "samples"), ("FedMedian", "equal"), ("FedAvg", "train_loss")],
)
def test_the_weight_of_an_update_is_its_share_of_a_mean_or_the_same_for_all(name: str, by: str) -> None:
    arguments = {"weighted_by_key": "train_loss"} if by == "train_loss" else {}
    data = given(FLOWERS + name, arguments, stop={"updates": 2})
    data["workload"]["data"]["partition"] = {"kind": "quantity_power_law", "exponent": 1.0}
    rows = [row for row in learned(data)[2].tasks if row.aggregated_version == 2]
    counts = {
        "samples": [row.samples for row in rows],
        "equal": [1] * CLIENTS,
        "train_loss": [row.train_loss or 0.0 for row in rows],
    }[by]
    assert [row.weight for row in rows] == pytest.approx([count / sum(counts) for count in counts])
    assert len({row.samples for row in rows}) > 1


def test_where_the_strategy_makes_nothing_the_model_stays_and_nobody_counts() -> None:
    _, versions, journal = learned(given(f"{OURS}Idle", stop={"updates": 2}))
    assert len(versions) == 3
    assert all(torch.equal(version, versions[0]) for version in versions)
    assert {row.weight for row in journal.tasks if row.aggregated_version} == {0.0}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("Failing", "Failing raised ValueError: no round 1 in aggregate_train"),
        ("Renaming", "Renaming makes arrays of other names than the model's"),
        ("Flat", r"Flat makes 1.weight of the shape \(\d+,\), and the model's has"),
        ("Turns", "Turns chooses clients by what it remembers of earlier rounds"),
    ],
)
def test_what_cannot_be_followed_ends_the_run_with_the_reason(name: str, why: str) -> None:
    with pytest.raises(RunError, match=f"strategy flower: {why}"):
        learned(given(OURS + name))


def test_the_noise_of_a_strategy_follows_from_the_seed_and_leaves_other_draws_alone() -> None:
    data = given(f"{OURS}Noisy", stop={"updates": 3})
    np.random.seed(1)
    random.seed(1)
    _, first, _ = learned(data)
    drawn = np.random.random(), random.random()
    _, again, _ = learned(data)
    assert all(map(torch.equal, first, again))
    _, other, _ = learned(data | {"seed": 4})
    assert not torch.equal(first[-1], other[-1])
    np.random.seed(1)
    random.seed(1)
    assert (np.random.random(), random.random()) == drawn
    _, plain, _ = learned(given(f"{FLOWERS}FedAvg", stop={"updates": 3}))
    assert 0.01 < float((first[-1] - plain[-1]).abs().mean()) < 1.0


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        (f"{FLOWERS}FedAdam", {}),
        (f"{FLOWERS}FedAvgM", {"server_momentum": 0.6, "server_learning_rate": 0.7}),
        (f"{OURS}Remembering", {}),
        (f"{OURS}Noisy", {}),
    ],
)
def test_what_a_strategy_remembers_is_in_checkpoints(
    name: str, arguments: dict[str, Any], tmp_path: Path
) -> None:
    output = {"dir": str(tmp_path), "plots": False, "timeline": False}
    checkpoint = {"every": 2, "keep": "all"}
    data = given(name, arguments, output=output, checkpoint=checkpoint, stop={"updates": 6})
    assert_resumes(scenario_from(data), (3, 5))


def test_what_no_checkpoint_can_hold_is_refused_where_there_are_checkpoints() -> None:
    learned(given(f"{OURS}Holding", stop={"updates": 1}))
    with pytest.raises(RunError, match=r"Holding remembers generator, a Generator, .*leave out checkpoint"):
        learned(given(f"{OURS}Holding", checkpoint={"every": 2}))


def test_functions_that_are_as_at_first_need_not_be_remembered() -> None:
    strategy, fresh = FedAvg(), FedAvg()
    assert "train_metrics_aggr_fn" not in remembered(strategy, fresh)
    strategy.train_metrics_aggr_fn = lambda *_: None  # type: ignore[assignment,return-value]
    with pytest.raises(RunError, match="FedAvg remembers train_metrics_aggr_fn, a function"):
        remembered(strategy, fresh)
