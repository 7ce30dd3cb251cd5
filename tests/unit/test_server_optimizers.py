"""Server optimisers against their formulas, worked in numpy over several updates."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from flsim.learn.memory import Memory
from flsim.learn.server_optimizers import move
from flsim.scenario.server_optimizer import (
    FedAdagrad,
    FedAdam,
    FedAvgM,
    FedYogi,
    ServerOptimizer,
    ServerSgd,
)
from flsim.sim.world import simulate
from tests.memory import MemoryJournal
from tests.tiny import scenario_data, tiny

Column = NDArray[np.float64]

UPDATES = np.array(
    [[0.5, -2.0, 0.0, 1e-3], [0.25, 1.0, 0.0, -1e-3], [-3.0, 0.5, 0.0, 2e-3], [0.1, 0.1, 4.0, 0.0]]
)
START = np.array([1.0, -1.0, 0.5, 0.0])


def moved(spec: ServerOptimizer, updates: Column = UPDATES, start: Column = START) -> Column:
    """Return the model after each update, [updates, parameters]."""
    memory: Memory = {}
    model, models = torch.tensor(start), []
    for update in updates:
        before, given_update = model.clone(), torch.tensor(update)
        after = move(spec, model, given_update, memory)
        assert torch.equal(model, before)
        assert torch.equal(given_update, torch.tensor(update))
        models.append(after.numpy().copy())
        model = after
    np.testing.assert_array_equal(model.numpy(), models[-1])
    return np.stack(models)


class Ruleless(ServerOptimizer):
    """A spec without its operation."""

    kind: str = "ruleless"


def test_a_spec_without_an_operation_is_named() -> None:
    with pytest.raises(TypeError, match="no such server optimiser: Ruleless"):
        moved(Ruleless())


def momentum_by_hand(lr: float, beta: float) -> Column:
    """x_t = x_0 + lr sum over s <= t of D_s (1 + beta + … + beta ** (t - s))."""
    return np.stack(
        [
            START + lr * sum(UPDATES[s] * sum(beta**k for k in range(t - s + 1)) for s in range(t + 1))
            for t in range(len(UPDATES))
        ]
    )


@pytest.mark.parametrize(("lr", "beta"), [(1.0, 0.9), (0.3, 0.5), (1.0, 0.0)])
@pytest.mark.parametrize("kind", [ServerSgd, FedAvgM])
def test_momentum(kind: type[Any], lr: float, beta: float) -> None:
    np.testing.assert_allclose(moved(kind(lr=lr, momentum=beta)), momentum_by_hand(lr, beta), rtol=1e-12)


def test_fedavgm_without_momentum_is_sgd_to_the_bit() -> None:
    np.testing.assert_array_equal(moved(FedAvgM(lr=0.7, momentum=0.0)), moved(ServerSgd(lr=0.7)))


def test_the_published_defaults() -> None:
    assert (FedAvgM().lr, FedAvgM().momentum) == (1.0, 0.9)
    assert (FedAdagrad().lr, FedAdagrad().tau) == (0.1, 1e-3)
    for spec in (FedAdam(), FedYogi()):
        assert (spec.beta1, spec.beta2, spec.tau) == (0.9, 0.99, 1e-3)


def test_fedadagrad() -> None:
    """x_t = x_(t-1) + lr D_t / (sqrt(tau^2 + sum of D_s^2, s <= t) + tau)."""
    lr, tau = 0.1, 1e-3
    sums = tau**2 + np.cumsum(UPDATES**2, axis=0)
    expected = START + np.cumsum(lr * UPDATES / (np.sqrt(sums) + tau), axis=0)
    np.testing.assert_allclose(moved(FedAdagrad()), expected, rtol=1e-12)


def decaying(values: Column, beta: float, start: float) -> Column:
    """Return beta ** t start + (1 - beta) sum of beta ** (t - s) values_s for t = 1, 2, …"""
    return np.stack(
        [
            beta ** (t + 1) * start + (1 - beta) * sum(beta ** (t - s) * values[s] for s in range(t + 1))
            for t in range(len(values))
        ]
    )


def test_fedadam() -> None:
    spec = FedAdam(lr=0.02, beta1=0.8, beta2=0.95, tau=0.01)
    first, second = decaying(UPDATES, 0.8, 0.0), decaying(UPDATES**2, 0.95, 1e-4)
    expected = START + np.cumsum(0.02 * first / (np.sqrt(second) + 0.01), axis=0)
    np.testing.assert_allclose(moved(spec), expected, rtol=1e-12)


def test_fedyogi() -> None:
    spec = FedYogi(lr=0.02, beta1=0.8, beta2=0.95, tau=0.01)
    expected, second, x = [], np.full(4, 1e-4), START
    for first, square in zip(decaying(UPDATES, 0.8, 0.0), UPDATES**2, strict=True):
        up = second < square
        second = np.where(
            up, second + 0.05 * square, np.where(second > square, second - 0.05 * square, second)
        )
        x = x + 0.02 * first / (np.sqrt(second) + 0.01)
        expected.append(x)
    np.testing.assert_allclose(moved(spec), np.stack(expected), rtol=1e-12)


def test_yogi_moves_down_by_the_squared_update_and_adam_by_its_share_of_what_is_there() -> None:
    """After a large update and a small one: v falls by a hundredth of the small one, or by a hundredth."""
    memories: list[Memory] = [{}, {}]
    for spec, memory in zip((FedYogi(), FedAdam()), memories, strict=True):
        for value in (10.0, 0.1):
            move(spec, torch.zeros(1), torch.tensor([value]), memory)
    yogi, adam = (float(memory["second"]) for memory in memories)
    assert yogi == pytest.approx(1e-6 + 1.0 - 0.01 * 0.01, rel=1e-5)
    assert adam == pytest.approx(0.99 * (0.99e-6 + 1.0) + 0.01 * 0.01, rel=1e-5)


@given(
    st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=20),
    st.sampled_from([FedAdagrad(), FedAdam(), FedYogi()]),
)
@settings(max_examples=60, deadline=None)
def test_the_second_moment_stays_positive_and_so_every_model_finite(
    values: list[float], spec: ServerOptimizer
) -> None:
    memory: Memory = {}
    model = torch.zeros(1)
    for value in values:
        model = move(spec, model, torch.tensor([value]), memory)
        assert float(memory["second"]) > 0
    assert bool(model.isfinite())


@pytest.mark.parametrize("kind", ["fedavgm", "fedadagrad", "fedadam", "fedyogi"])
def test_a_run(kind: str) -> None:
    data = scenario_data(6, {"kind": "sync", "cohort": 4}, server_optimizer={"kind": kind})
    of, journal = tiny(data), MemoryJournal()
    simulate(of.scenario, of.costs, of.learner, journal)
    assert [row.version for row in journal.versions] == list(range(6))
    assert bool(of.learner.weights.isfinite().all())
    assert not torch.equal(of.learner.weights, of.initial)
    assert len({row.model_sha256 for row in journal.versions}) == 6
