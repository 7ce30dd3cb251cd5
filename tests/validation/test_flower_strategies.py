"""Strategies of Flower's against flsim's own methods: the same versions, where both mean the same.

What is summed in another order, or from other differences, is the same to round-off only.
"""

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from flsim.learn.memory import Memory
from tests.tiny import scenario_data
from tests.unit.test_flower_learner import learned

CLIENTS = 7
OPTIMIZERS = "flsim.learn.server_optimizers."


def versions(strategy: dict[str, Any], **sections: Any) -> list[Tensor]:
    """Return every version of eight rounds with all of the clients, who have samples of unequal number."""
    data = scenario_data(CLIENTS, strategy, stop={"updates": 8}, **sections)
    data["workload"]["data"]["partition"] = {"kind": "quantity_power_law", "exponent": 0.7}
    _, found, _ = learned(data)
    assert len(found) == 9
    return found


def flowers(name: str, **arguments: Any) -> list[Tensor]:
    path = f"flwr.serverapp.strategy:{name}"
    return versions({"kind": "flower", "class": path, "arguments": arguments})


def ours(**sections: Any) -> list[Tensor]:
    return versions({"kind": "sync", "cohort": CLIENTS, "quorum": CLIENTS}, **sections)


def assert_same(theirs: list[Tensor], own: list[Tensor]) -> None:
    assert float((own[-1] - own[0]).abs().max()) > 0.01
    for one, other in zip(theirs, own, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=2e-5)


def test_fedavg_is_the_mean_of_synchronous_rounds() -> None:
    assert_same(flowers("FedAvg"), ours())


def test_fedavgm_is_the_servers_momentum() -> None:
    optimizer = {"kind": "fedavgm", "lr": 0.5, "momentum": 0.6}
    theirs = flowers("FedAvgM", server_learning_rate=0.5, server_momentum=0.6)
    assert_same(theirs, ours(server_optimizer=optimizer))


@pytest.mark.parametrize(
    ("name", "arguments", "aggregation"),
    [
        ("FedMedian", {}, {"kind": "median"}),
        ("FedTrimmedAvg", {"beta": 0.3}, {"kind": "trimmed_mean", "f": 2}),
        ("Krum", {"num_malicious_nodes": 2}, {"kind": "krum", "f": 2}),
    ],
)
def test_robust_strategies_are_the_robust_rules(
    name: str, arguments: dict[str, Any], aggregation: dict[str, Any]
) -> None:
    assert_same(flowers(name, **arguments), ours(aggregation=aggregation))


def moments(
    monkeypatch: pytest.MonkeyPatch, kind: str, start: Callable[[Tensor, float, Memory], Tensor]
) -> None:
    """Let a server optimiser's second moment start as a function says."""
    monkeypatch.setattr(sys.modules[f"{OPTIMIZERS}{kind}"], "second_moment", start)


def from_zero(update: Tensor, tau: float, memory: Memory) -> Tensor:
    """Return v as Flower starts it; flsim and the paper start it at tau ** 2."""
    return memory.setdefault("second", torch.zeros_like(update))


def test_fedadagrad_is_the_server_optimiser_but_for_the_start_of_v(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    optimizer = {"kind": "fedadagrad", "lr": 0.05, "tau": 0.01}
    theirs = flowers("FedAdagrad", eta=0.05, tau=0.01)
    differing = ours(server_optimizer=optimizer)
    assert float((differing[-1] - theirs[-1]).abs().max()) > 1e-3
    moments(monkeypatch, "fedadagrad", from_zero)
    assert_same(theirs, ours(server_optimizer=optimizer))


def test_fedyogi_is_the_server_optimiser_but_for_the_start_of_v(monkeypatch: pytest.MonkeyPatch) -> None:
    constants = {"tau": 0.01, "beta1": 0.8, "beta2": 0.95}
    theirs = flowers("FedYogi", eta=0.02, beta_1=0.8, beta_2=0.95, tau=0.01)
    moments(monkeypatch, "fedyogi", from_zero)
    assert_same(theirs, ours(server_optimizer={"kind": "fedyogi", "lr": 0.02, **constants}))


def test_fedadam_without_means_over_rounds_is_the_server_optimiser() -> None:
    """With both betas zero, neither the start of the moments nor the correction of their bias is left."""
    theirs = flowers("FedAdam", eta=0.02, beta_1=0.0, beta_2=0.0, tau=0.01)
    optimizer = {"kind": "fedadam", "lr": 0.02, "beta1": 0.0, "beta2": 0.0, "tau": 0.01}
    assert_same(theirs, ours(server_optimizer=optimizer))


def test_fedadam_is_the_server_optimiser_but_for_the_start_of_v_and_the_correction_of_the_bias(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In round t, Flower's rate is eta sqrt(1 - beta_2 ** (t + 1)) / (1 - beta_1 ** (t + 1))."""
    beta1, beta2, rounds = 0.8, 0.95, []
    module = sys.modules[f"{OPTIMIZERS}fedadam"]
    stepped = module.stepped

    def corrected(model: Tensor, first: Tensor, second: Tensor, lr: float, tau: float) -> Tensor:
        rounds.append(model)
        power = len(rounds) + 1
        rate = lr * (1 - beta2**power) ** 0.5 / (1 - beta1**power)
        result: Tensor = stepped(model, first, second, rate, tau)
        return result

    theirs = flowers("FedAdam", eta=0.02, beta_1=beta1, beta_2=beta2, tau=0.01)
    moments(monkeypatch, "fedadam", from_zero)
    monkeypatch.setattr(module, "stepped", corrected)
    optimizer = {"kind": "fedadam", "lr": 0.02, "beta1": beta1, "beta2": beta2, "tau": 0.01}
    assert_same(theirs, ours(server_optimizer=optimizer))
