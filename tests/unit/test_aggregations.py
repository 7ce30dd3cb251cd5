"""Aggregation rules against their formulas, worked in numpy over several server updates."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from flsim.learn.aggregations import Combined, Contribution, Population, combine
from flsim.learn.aggregations.afl import on_simplex
from flsim.learn.aggregations.fednova import gradients_counted
from flsim.learn.memory import Memory
from flsim.policy.staleness import ConstantStaleness, PolynomialStaleness, UniformStaleness
from flsim.scenario import scenario_from
from flsim.scenario.aggregation import (
    Ace,
    Afl,
    Aggregation,
    Ca2fl,
    FedATModels,
    FedNova,
    FedStale,
    FedStaleAsync,
    Mean,
    QFedAvg,
    Unbiased,
    UnbiasedCa2fl,
)
from flsim.scenario.nested_aggregation import AnyAggregation
from flsim.scenario.participation import FedAU, Lookup, Maximum, Scalar, Uniform
from flsim.scenario.training import Adam, Sgd, Training
from flsim.sim.world import simulate
from flsim.tasks import Task
from tests.memory import MemoryJournal
from tests.refused import assert_read, refusal
from tests.tiny import Tiny, scenario_data, tiny

Column = NDArray[np.float64]

SAMPLES = (10, 30, 20, 40)  # of four clients
POPULATION = Population(SAMPLES, Training())
P = (0.5, 0.25, 0.8, 1.0)
LISTED = Lookup(probabilities=P)

# Server updates: for each arrival the client, the version it started from, and its staleness factor.
Buffers = list[list[tuple[int, int, float]]]
BUFFERS: Buffers = [
    [(0, 0, 1.0), (2, 0, 1.0)],
    [(1, 0, 0.5), (0, 1, 1.0)],
    [(3, 0, 0.25), (2, 1, 0.5)],
    [(1, 3, 1.0), (0, 2, 0.5)],
    [(0, 4, 1.0), (3, 3, 0.5)],
]


def delta(client: int, base: int) -> Column:
    """Return an update [3] of its own for each client and version."""
    return np.random.default_rng([client, base]).normal(size=3)


def contribution(
    client: int,
    update: Column,
    weight: float,
    version: int = 0,
    base: int = 0,
    steps: int = 1,
    loss: float | None = 1.0,
) -> Contribution:
    task = Task(100 * version + client, client, 0, base, 0.0, SAMPLES[client % 4])
    return Contribution(task, torch.tensor(update), weight, version - base, steps, loss)


def run(
    spec: Aggregation,
    buffers: Buffers = BUFFERS,
    losses: Sequence[Sequence[float | None]] | None = None,
    population: Population = POPULATION,
) -> tuple[list[Column], list[tuple[float, ...]], Memory]:
    """Return the update and the weights of every buffer, with equal shares, and what is remembered."""
    memory: Memory = {}
    updates, weights = [], []
    for version, buffer in enumerate(buffers):
        offered = [
            contribution(client, delta(client, base), alpha / len(buffer), version, base)
            if losses is None
            else contribution(
                client, delta(client, base), alpha / len(buffer), version, base, loss=losses[version][place]
            )
            for place, (client, base, alpha) in enumerate(buffer)
        ]
        combined = combine(spec, offered, memory, population)
        updates.append(combined.update.numpy().copy())
        weights.append(combined.weights)
    return updates, weights, memory


def assert_updates(spec: Aggregation, expected: Sequence[Column], buffers: Buffers = BUFFERS) -> None:
    for ours, theirs in zip(run(spec, buffers)[0], expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


def assert_alike(one: Aggregation, other: Aggregation, buffers: Buffers = BUFFERS) -> None:
    """Check that two rules give the same updates and the same weights."""
    ours, theirs = run(one, buffers), run(other, buffers)
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-12)


def total(columns: Iterable[Column]) -> Column:
    return sum(columns, np.zeros(3))


def share(client: int, weighting: str) -> float:
    return SAMPLES[client] / 100 if weighting == "samples" else 1 / 4


def equal(buffers: Buffers = BUFFERS) -> list[Column]:
    return [np.mean([a * delta(c, b) for c, b, a in buffer], axis=0) for buffer in buffers]


def test_a_rule_without_a_tensor_half_is_named() -> None:
    with pytest.raises(TypeError, match="no such aggregation: Aggregation"):
        combine(Aggregation.model_construct(), [contribution(0, delta(0, 0), 1.0)], {}, POPULATION)


# The weighted sum, and its relatives


def test_the_mean_is_the_weighted_sum() -> None:
    assert_updates(Mean(), equal())


def one_update(
    spec: Aggregation,
    weights: Sequence[float],
    losses: Sequence[float | None] = (1.0,) * 4,
    steps: Sequence[int] = (1,) * 4,
    population: Population = POPULATION,
) -> tuple[Column, tuple[float, ...]]:
    offered = [
        contribution(client, delta(client, 0), weight, steps=steps[client], loss=losses[client])
        for client, weight in enumerate(weights)
    ]
    combined = combine(spec, offered, {}, population)
    return combined.update.numpy(), combined.weights


@pytest.mark.parametrize("q", [0.5, 1.0, 3.0])
def test_qfedavg_weights_by_powers_of_the_loss(q: float) -> None:
    losses, weights = np.array([0.5, 2.0, 1.0, 4.0]), np.array([0.1, 0.2, 0.3, 0.2])
    raised = weights * losses**q
    expected = raised / raised.sum() * 0.8
    update, counted = one_update(QFedAvg(q=q), weights.tolist(), losses.tolist())
    np.testing.assert_allclose(counted, expected, rtol=1e-12)
    np.testing.assert_allclose(update, expected @ [delta(c, 0) for c in range(4)], rtol=1e-12)


def test_qfedavg_with_equal_shares_is_loss_to_the_q_over_the_sum() -> None:
    _, counted = one_update(QFedAvg(q=2.0), [0.25] * 4, [1.0, 2.0, 3.0, 4.0])
    np.testing.assert_allclose(counted, np.array([1, 4, 9, 16]) / 30, rtol=1e-12)


def test_qfedavg_with_q_zero_is_the_mean_to_the_bit() -> None:
    weights, losses = (0.1, 0.2, 0.3, 0.37), (0.5, None, 1.0, 4.0)
    ours, theirs = (one_update(spec, weights, losses) for spec in (QFedAvg(q=0.0), Mean()))
    assert ours[1] == theirs[1] == weights
    np.testing.assert_array_equal(ours[0], theirs[0])


def test_who_has_no_loss_counts_nothing_unless_nobody_has_one() -> None:
    assert one_update(QFedAvg(), [0.25] * 4, [None, 1.0, 0.0, float("inf")])[1] == (0.0, 1.0, 0.0, 0.0)
    assert one_update(QFedAvg(), [0.1, 0.2, 0.3, 0.4], [None] * 4)[1] == (0.1, 0.2, 0.3, 0.4)
    assert one_update(QFedAvg(), [0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0])[1] == (0.0, 0.0, 0.0, 0.0)


def test_a_high_power_of_a_high_loss_is_finite() -> None:
    _, counted = one_update(QFedAvg(q=500.0), [0.25] * 4, [1e3, 1.0, 1e3, 1e-3])
    assert counted == (0.5, 0.0, 0.5, 0.0)


def projected(point: Column) -> Column:
    """Return the nearest point on the simplex, by bisection for the shift that makes it sum to 1."""
    low, high = point.min() - 1, point.max()
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.maximum(point - middle, 0).sum() > 1 else (low, middle)
    nearest: Column = np.maximum(point - low, 0)
    return nearest


def test_afl_follows_the_losses_on_the_simplex() -> None:
    losses: list[list[float | None]] = [[2.0, 0.5], [1.0, 3.0], [None, 0.1], [2.5, 0.2], [5.0, 4.0]]
    mixture, rate = np.full(4, 0.25), 0.1
    updates, weights, memory = run(Afl(lr=rate), losses=losses)
    for version, buffer in enumerate(BUFFERS):
        present = sum(mixture[client] for client, _, _ in buffer)
        expected = [mixture[client] * alpha / present for client, _, alpha in buffer]
        np.testing.assert_allclose(weights[version], expected, rtol=1e-9)
        summed = sum(w * delta(c, b) for w, (c, b, _) in zip(expected, buffer, strict=True))
        np.testing.assert_allclose(updates[version], summed, rtol=1e-9)
        raised = mixture.copy()
        for (client, _, _), loss in zip(buffer, losses[version], strict=True):
            raised[client] += rate * (loss or 0.0)
        mixture = projected(raised)
    np.testing.assert_allclose(memory["lambda"].numpy(), mixture, rtol=1e-9)


def test_afl_of_all_clients_is_the_mixture_itself_and_ends_at_the_worst_client() -> None:
    everybody: Buffers = [[(client, version, 1.0) for client in range(4)] for version in range(120)]
    _, weights, _ = run(Afl(lr=0.1), everybody, [[0.5, 1.0, 0.7, 0.9]] * 120)
    assert weights[0] == pytest.approx((0.25,) * 4)
    np.testing.assert_allclose(
        weights[1], projected(0.25 + 0.1 * np.array([0.5, 1.0, 0.7, 0.9])), rtol=1e-9
    )
    assert weights[-1] == pytest.approx((0.0, 1.0, 0.0, 0.0))


def test_afl_of_clients_that_count_nothing_stands_still_and_still_learns() -> None:
    memory: Memory = {"lambda": torch.tensor([0.0, 1.0, 0.0, 0.0], dtype=torch.float64)}
    combined = combine(Afl(lr=1.0), [contribution(0, delta(0, 0), 1.0, loss=0.5)], memory, POPULATION)
    assert combined.weights == (0.0,)
    assert not combined.update.any()
    np.testing.assert_allclose(memory["lambda"].numpy(), [0.25, 0.75, 0.0, 0.0])


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=8))
@settings(max_examples=100, deadline=None)
def test_the_projection_is_the_nearest_point_of_the_simplex(values: list[float]) -> None:
    found = on_simplex(torch.tensor(values, dtype=torch.float64)).numpy()
    assert found.min() >= 0
    assert found.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(found, projected(np.array(values)), atol=1e-9)


# FedNova


def simulated_count(optimizer: Sgd, steps: int) -> float:
    """Return how far `steps` gradients of 1 move a weight, in learning rates."""
    velocity = moved = 0.0
    for _ in range(steps):
        velocity = optimizer.momentum * velocity + 1.0
        moved += 1.0 + optimizer.momentum * velocity if optimizer.nesterov else velocity
    return moved


OPTIMIZERS = [Sgd(), Sgd(momentum=0.9), Sgd(momentum=0.5, nesterov=True), Sgd(momentum=0.0, nesterov=True)]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_what_gradients_count_for_in_an_update(optimizer: Sgd) -> None:
    for steps in (0, 1, 2, 7, 40):
        assert gradients_counted(optimizer, steps) == pytest.approx(simulated_count(optimizer, steps))


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_fednova_compares_updates_by_the_step(optimizer: Sgd) -> None:
    """tau_eff sum of p_i D_i / a_i, with tau_eff = sum of p_i a_i, for shares that sum to 1."""
    shares, steps = np.array([0.1, 0.3, 0.2, 0.4]), (3, 1, 8, 2)
    counts = np.array([simulated_count(optimizer, each) for each in steps])
    expected = shares @ counts * shares / counts
    population = Population(SAMPLES, Training(optimizer=optimizer))
    update, counted = one_update(FedNova(), shares.tolist(), steps=steps, population=population)
    np.testing.assert_allclose(counted, expected, rtol=1e-12)
    np.testing.assert_allclose(update, expected @ [delta(c, 0) for c in range(4)], rtol=1e-12)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
@pytest.mark.parametrize("weights", [(0.1, 0.3, 0.2, 0.4), (0.1, 0.1, 0.05, 0.2)])
def test_fednova_with_equal_steps_is_the_mean(optimizer: Sgd, weights: tuple[float, ...]) -> None:
    population = Population(SAMPLES, Training(optimizer=optimizer))
    ours = one_update(FedNova(), weights, steps=(5,) * 4, population=population)
    np.testing.assert_allclose(ours[1], weights, rtol=1e-14)
    np.testing.assert_allclose(ours[0], one_update(Mean(), weights)[0], rtol=1e-13)


def test_fednova_leaves_out_who_takes_no_step() -> None:
    _, counted = one_update(FedNova(), [0.25] * 4, steps=(0, 2, 2, 2))
    np.testing.assert_allclose(counted, (0.0, 0.25, 0.25, 0.25), rtol=1e-14)
    assert one_update(FedNova(), [0.25] * 4, steps=(0,) * 4)[1] == (0.0,) * 4


def test_fednova_without_sgd() -> None:
    population = Population(SAMPLES, Training(optimizer=Adam()))
    with pytest.raises(TypeError, match="what a step of adam counts for"):
        one_update(FedNova(), [0.25] * 4, population=population)


# Rules that remember


@pytest.mark.parametrize("weighting", ["samples", "equal"])
def test_unbiased_divides_by_the_participation(weighting: Any) -> None:
    spec = Unbiased(weighting=weighting, participation=LISTED)
    assert_updates(
        spec,
        [total(share(c, weighting) * a * delta(c, b) / P[c] for c, b, a in buffer) for buffer in BUFFERS],
    )
    expected = [[share(c, weighting) * a / P[c] for c, _, a in buffer] for buffer in BUFFERS]
    np.testing.assert_allclose(run(spec)[1], expected, rtol=1e-12)


def test_unbiased_with_uniform_participation_and_equal_weighting_is_the_mean() -> None:
    """Two of four at a time: 1/4 / (2/4) = 1/2."""
    assert_alike(Unbiased(weighting="equal", participation=Uniform()), Mean())


def test_clients_without_any_samples_among_them_weigh_the_same() -> None:
    spec = Unbiased(weighting="samples", participation=Uniform())
    updates, _, _ = run(spec, population=Population((0,) * 4, Training()))
    np.testing.assert_allclose(updates, equal(), rtol=1e-12)


def remembered(buffers: Buffers = BUFFERS) -> list[dict[int, tuple[Column, int]]]:
    """Return what is remembered before each update: the last update of each client, and its version."""
    before: list[dict[int, tuple[Column, int]]] = []
    latest: dict[int, tuple[Column, int]] = {}
    for buffer in buffers:
        before.append(dict(latest))
        latest |= {client: (delta(client, base), base) for client, base, _ in buffer}
    return before


NOTHING = (np.zeros(3), 0)


def test_ca2fl_calibrates_the_buffer() -> None:
    expected = []
    for buffer, h in zip(BUFFERS, remembered(), strict=True):
        fresh = [a * (delta(c, b) - h.get(c, NOTHING)[0]) for c, b, a in buffer]
        expected.append(total(each for each, _ in h.values()) / 4 + total(fresh) / len(buffer))
    assert_updates(Ca2fl(), expected)
    assert run(Ca2fl())[1] == [tuple(a / 2 for _, _, a in buffer) for buffer in BUFFERS]


def test_ace_is_the_mean_of_everybodys_latest_update() -> None:
    for buffers in (BUFFERS, [[arrival] for buffer in BUFFERS for arrival in buffer]):
        after = remembered([*buffers, []])[1:]
        assert_updates(Ace(), [total(each for each, _ in h.values()) / 4 for h in after], buffers)
    assert run(Ace())[1] == [(0.25, 0.25)] * 5


def stale_by_hand(
    beta: Callable[[int], float], weighting: str, p: Sequence[float] = P, alphas: bool = True
) -> list[Column]:
    """Sum w_i g_i over all clients, with g_i = (beta_i - 1_P beta_i / p_i) h_i + 1_P alpha_i D_i / p_i."""
    expected = []
    for version, (buffer, h) in enumerate(zip(BUFFERS, remembered(), strict=True)):
        arrived = {c: (a if alphas else 1.0) * delta(c, b) for c, b, a in buffer}
        update = np.zeros(3)
        for client in range(4):
            memory, base = h.get(client, NOTHING)
            g = beta(version - base) * memory
            if client in arrived:
                g = g - beta(version - base) / p[client] * memory + arrived[client] / p[client]
            update += share(client, weighting) * g
        expected.append(update)
    return expected


@pytest.mark.parametrize("weighting", ["samples", "equal"])
@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_fedstale(weighting: Any, beta: float) -> None:
    spec = FedStale(weighting=weighting, beta=beta, participation=LISTED)
    assert_updates(spec, stale_by_hand(lambda age: beta, weighting))


@pytest.mark.parametrize("weighting", ["samples", "equal"])
def test_unbiased_ca2fl(weighting: Any) -> None:
    spec = UnbiasedCa2fl(weighting=weighting, participation=LISTED)
    assert_updates(spec, stale_by_hand(lambda age: 1.0, weighting, alphas=False))


@pytest.mark.parametrize("weighting", ["samples", "equal"])
def test_fedstale_async_weights_what_it_remembers_by_its_age(weighting: Any) -> None:
    law = PolynomialStaleness(a=0.7)
    spec = FedStaleAsync(weighting=weighting, beta=law, scale=0.8, participation=LISTED)
    assert_updates(spec, stale_by_hand(lambda age: 0.8 * (1 + age) ** -0.7, weighting))
    expected = [[share(c, weighting) * a / P[c] for c, _, a in buffer] for buffer in BUFFERS]
    np.testing.assert_allclose(run(spec)[1], expected, rtol=1e-12)


def test_fedstale_async_may_take_off_the_average_beta() -> None:
    """The mean of beta over the updates since something is remembered of a client, this one included."""
    law, expected = PolynomialStaleness(a=1.0), []
    since: dict[int, list[float]] = {}
    for version, (buffer, h) in enumerate(zip(BUFFERS, remembered(), strict=True)):
        update = np.zeros(3)
        for client, (memory, base) in h.items():
            beta = 1 / (1 + version - base)
            since[client].append(beta)
            arrives = client in {c for c, _, _ in buffer}
            off = np.mean(since[client]) / P[client] if arrives else 0.0
            update += share(client, "samples") * (beta - off) * memory
        for client, base, alpha in buffer:
            update += share(client, "samples") * alpha * delta(client, base) / P[client]
            since[client] = []
        expected.append(update)
    assert_updates(FedStaleAsync(beta=law, discount="average", participation=LISTED), expected)


def test_fedstale_async_with_a_constant_beta_costs_no_pass_over_all_and_is_the_same() -> None:
    one_by_one = PolynomialStaleness(a=0.0)  # which is 1, but not known to be
    for scale, law in ((0.4, UniformStaleness()), (0.8, ConstantStaleness(value=0.5))):
        quick = FedStaleAsync(beta=law, scale=scale, participation=LISTED)
        assert quick.constant_beta == pytest.approx(0.4)
        assert FedStaleAsync(beta=one_by_one).constant_beta is None
        assert FedStaleAsync(beta=one_by_one, scale=0.0).constant_beta == 0.0
        assert_alike(quick, FedStaleAsync(beta=one_by_one, scale=0.4, participation=LISTED))
        assert_alike(quick, FedStale(beta=0.4, participation=LISTED))
    memory = run(quick)[2]
    assert "h_base" not in memory


def test_fedstale_async_without_beta_is_unbiased() -> None:
    for law in (UniformStaleness(), PolynomialStaleness(a=0.5)):
        assert_alike(
            FedStaleAsync(beta=law, scale=0.0, participation=FedAU()), Unbiased(participation=FedAU())
        )


def test_fedstale_async_with_alpha_and_beta_one_is_unbiased_ca2fl() -> None:
    full: Buffers = [[(client, base, 1.0) for client, base, _ in buffer] for buffer in BUFFERS]
    for law in (UniformStaleness(), PolynomialStaleness(a=0.0)):
        assert_alike(
            FedStaleAsync(beta=law, participation=LISTED), UnbiasedCa2fl(participation=LISTED), full
        )


def test_unbiased_ca2fl_of_equal_clients_is_ca2fl() -> None:
    full: Buffers = [[(client, base, 1.0) for client, base, _ in buffer] for buffer in BUFFERS]
    assert_alike(UnbiasedCa2fl(weighting="equal", participation=Scalar(value=0.5)), Ca2fl(), full)


def test_ace_is_unbiased_ca2fl_that_takes_participation_for_certain() -> None:
    full: Buffers = [[(client, base, 1.0) for client, base, _ in buffer] for buffer in BUFFERS]
    assert_alike(UnbiasedCa2fl(weighting="equal", participation=Maximum()), Ace(), full)


TWICE: Buffers = [[(0, 0, 1.0), (1, 0, 1.0)], [(0, 1, 1.0), (2, 0, 1.0), (0, 1, 0.5)]]


def test_a_client_that_is_there_twice_counts_once() -> None:
    _, weights, _ = run(Unbiased(weighting="equal", participation=Scalar(value=0.5)), TWICE)
    assert weights[1] == pytest.approx((0.25, 0.5, 0.125))
    _, weights, _ = run(Unbiased(weighting="equal", participation=Uniform()), TWICE)
    assert weights[1] == pytest.approx((0.25, 0.5, 0.125))  # two clients of four, not three
    assert run(Ace(), TWICE)[1][1] == (0.0, 0.25, 0.25)


def test_afl_of_a_client_that_is_there_twice_takes_its_mean_loss() -> None:
    """The mixture is (.3, .3, .2, .2) after the first update; the losses of 0 and 2 are then 2 and 1."""
    _, weights, memory = run(Afl(lr=0.1), TWICE, losses=[[1.0, 1.0], [1.0, 1.0, 3.0]])
    assert weights[1] == pytest.approx((0.15 / 0.5, 0.2 / 0.5, 0.5 * 0.15 / 0.5))
    np.testing.assert_allclose(memory["lambda"].numpy(), [0.425, 0.225, 0.225, 0.125], rtol=1e-12)


def test_the_last_update_of_a_client_that_is_there_twice_is_remembered() -> None:
    buffers: Buffers = [[(0, 0, 1.0), (0, 1, 1.0)], [(1, 1, 1.0)]]
    for spec, weight in ((Ace(), 0.25), (Ca2fl(), 0.25), (UnbiasedCa2fl(weighting="equal"), 0.25)):
        updates, _, memory = run(spec, buffers)
        np.testing.assert_array_equal(memory["h.0"].numpy(), delta(0, 1))
        if isinstance(spec, Ca2fl):
            np.testing.assert_allclose(updates[1], weight * delta(0, 1) + delta(1, 1), rtol=1e-12)


RULES: list[Aggregation] = [
    Mean(),
    QFedAvg(),
    Afl(),
    FedNova(),
    Unbiased(),
    Ca2fl(),
    UnbiasedCa2fl(),
    FedStale(),
    FedStaleAsync(beta=PolynomialStaleness(), discount="average"),
    Ace(),
    FedATModels(),
]
REMEMBERING = [Ca2fl(), UnbiasedCa2fl(), FedStale(), FedStaleAsync(beta=PolynomialStaleness()), Ace()]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("spec", RULES, ids=lambda spec: str(spec.kind))
def test_a_rule_changes_nothing_that_it_is_given_and_keeps_nothing_of_it(
    spec: Aggregation, dtype: type[Any]
) -> None:
    """What is remembered is a copy: an update may be a row of a batch that is large, or used again."""
    memory: Memory = {}
    combined: list[tuple[Combined, torch.Tensor]] = []
    for version, buffer in enumerate(BUFFERS):
        offered = [contribution(c, delta(c, b).astype(dtype), a / 2, version, b) for c, b, a in buffer]
        result = combine(spec, offered, memory, POPULATION)
        for each, (client, base, _) in zip(offered, buffer, strict=True):
            np.testing.assert_array_equal(each.update.numpy(), delta(client, base).astype(dtype))
            each.update.fill_(float("nan"))
        combined.append((result, result.update.clone()))
        assert result.update.dtype == offered[0].update.dtype
        assert len(result.weights) == len(buffer)
    for result, then in combined:
        assert bool(then.isfinite().all())
        assert torch.equal(result.update, then)
    assert all(isinstance(kept, torch.Tensor) and bool(kept.isfinite().all()) for kept in memory.values())


@pytest.mark.parametrize("spec", REMEMBERING, ids=lambda spec: str(spec.kind))
def test_one_update_is_kept_for_each_client_that_has_sent_one(spec: Aggregation) -> None:
    _, _, memory = run(spec, BUFFERS[:2])
    assert {name for name in memory if name.startswith("h.")} == {"h.0", "h.1", "h.2"}


def test_a_sum_that_has_run_for_long_is_still_the_sum() -> None:
    """After 3000 updates of all sizes, the mean of the latest ones, small again, to float32's precision."""
    random, memory = np.random.default_rng(0), {}  # type: ignore[var-annotated]
    latest = np.zeros((4, 3), dtype=np.float32)
    for number in range(3000):
        client = number % 4
        latest[client] = random.normal(size=3) * 10.0 ** (random.integers(-3, 4) if number < 2996 else -3)
        combined = combine(Ace(), [contribution(client, latest[client], 1.0)], memory, POPULATION)
    expected = latest.astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(combined.update.numpy(), expected, rtol=1e-6, atol=1e-9)


# Unbiasedness


@st.composite
def populations(draw: st.DrawFn) -> tuple[int, int, list[int], Column, Column]:
    """Draw N, K, the samples, the updates [N, 2] and what is remembered [N, 2]."""
    clients = draw(st.integers(2, 5))
    samples = draw(st.lists(st.integers(1, 50), min_size=clients, max_size=clients))
    numbers = st.lists(st.integers(-9, 9), min_size=2 * clients, max_size=2 * clients)
    updates, kept = (np.array(draw(numbers), dtype=np.float64).reshape(clients, 2) for _ in range(2))
    return clients, draw(st.integers(1, clients)), samples, updates, kept


def expected_update(
    spec: Aggregation,
    population: Population,
    updates: Column,
    kept: Column,
    chance: Callable[[Sequence[int]], float],
    subsets: Sequence[Sequence[int]],
) -> Column:
    """Return the mean of the update over who may take part, after a first update of all with `kept`."""
    mean = np.zeros(updates.shape[1])
    for subset in subsets:
        memory: Memory = {}
        everybody = [contribution(c, kept[c], 1 / len(kept)) for c in range(len(kept))]
        combine(spec, everybody, memory, population)
        present = [contribution(c, updates[c], 1 / len(subset), version=1, base=1) for c in subset]
        mean += chance(subset) * combine(spec, present, memory, population).update.numpy()
    return mean


@given(
    populations(),
    st.sampled_from([Unbiased, FedStale, UnbiasedCa2fl, FedStaleAsync]),
    st.sampled_from(["samples", "equal"]),
)
@settings(max_examples=60, deadline=None)
def test_in_fixed_size_sampling_the_expected_update_is_that_of_all(
    drawn: tuple[int, int, list[int], Column, Column], rule: type[Any], weighting: str
) -> None:
    clients, size, samples, updates, kept = drawn
    population = Population(samples, Training())
    spec = rule(weighting=weighting, participation=Scalar(value=size / clients))
    subsets = list(itertools.combinations(range(clients), size))
    found = expected_update(spec, population, updates, kept, lambda _: 1 / len(subsets), subsets)
    shares = np.array(samples) / sum(samples) if weighting == "samples" else np.full(clients, 1 / clients)
    np.testing.assert_allclose(found, shares @ updates, atol=1e-9)


@given(populations())
@settings(max_examples=30, deadline=None)
def test_in_fixed_size_sampling_ca2fl_is_unbiased(
    drawn: tuple[int, int, list[int], Column, Column],
) -> None:
    clients, size, samples, updates, kept = drawn
    subsets = list(itertools.combinations(range(clients), size))
    population = Population(samples, Training())
    found = expected_update(Ca2fl(), population, updates, kept, lambda _: 1 / len(subsets), subsets)
    np.testing.assert_allclose(found, updates.mean(axis=0), atol=1e-9)


@given(populations(), st.lists(st.floats(0.05, 1.0), min_size=5, max_size=5), st.booleans())
@settings(max_examples=40, deadline=None)
def test_when_clients_come_as_they_like_the_expected_update_is_that_of_all(
    drawn: tuple[int, int, list[int], Column, Column], chances: list[float], remembers: bool
) -> None:
    """Each with a probability of its own. If nobody comes there is no update, and nothing that it misses.

    A rule that remembers would then still have moved by beta x the sum of w_i h_i, which is added here.
    """
    clients, _, samples, updates, kept = drawn
    p = np.array(chances[:clients])

    def chance(subset: Sequence[int]) -> float:
        there = np.isin(np.arange(clients), subset)
        return float(np.where(there, p, 1 - p).prod())

    subsets = [s for size in range(1, clients + 1) for s in itertools.combinations(range(clients), size)]
    participation = Lookup(probabilities=tuple(p.tolist()))
    population, shares = Population(samples, Training()), np.array(samples) / sum(samples)
    spec: Aggregation = Unbiased(participation=participation)
    nobody = np.zeros(2)
    if remembers:
        spec = FedStaleAsync(beta=PolynomialStaleness(a=1.0), participation=participation)
        nobody = chance(()) * 0.5 * shares @ kept
    found = expected_update(spec, population, updates, kept, chance, subsets) + nobody
    np.testing.assert_allclose(found, shares @ updates, atol=1e-8)


# Scenarios

FEDBUFF = {"kind": "fedbuff", "concurrency": 5, "buffer_size": 3, "weighting": "equal"}
POLYNOMIAL = FEDBUFF | {"staleness": {"kind": "polynomial"}}
SYNC = {"kind": "sync", "cohort": 4, "weighting": "equal"}
WHOLE: list[dict[str, Any]] = [
    {"kind": "qfedavg", "q": 2.0},
    {"kind": "afl"},
    {"kind": "fednova"},
    {"kind": "unbiased", "participation": {"kind": "fedau"}},
    {"kind": "unbiased", "weighting": "equal", "participation": {"kind": "smoothing"}},
    {"kind": "ca2fl"},
    {"kind": "unbiased_ca2fl", "participation": {"kind": "group", "sizes": [3, 5]}},
    {"kind": "fedstale", "beta": 0.2},
    {"kind": "fedstale_async", "beta": {"kind": "hinge", "b": 2}, "scale": 0.5, "discount": "average"},
    {"kind": "fedstale_async", "scale": 0.5, "participation": {"kind": "maximum"}},
    {"kind": "ace"},
]


def simulated(data: dict[str, Any]) -> tuple[Tiny, MemoryJournal]:
    of, journal = tiny(data), MemoryJournal()
    simulate(of.scenario, of.costs, of.learner, journal)
    return of, journal


COUNT_FULLY = {"ace", "unbiased_ca2fl"}  # and so are refused with a staleness factor
RUNS = [
    (rule, strategy)
    for rule in WHOLE
    for strategy in (SYNC, FEDBUFF, POLYNOMIAL)
    if strategy is not POLYNOMIAL or rule["kind"] not in COUNT_FULLY
]


@pytest.mark.parametrize(("rule", "strategy"), RUNS, ids=lambda spec: str(spec["kind"]))
def test_a_run(rule: dict[str, Any], strategy: dict[str, Any]) -> None:
    data = scenario_data(8, strategy, aggregation=rule, stop={"updates": 12})
    data["workload"]["data"]["partition"] = {"kind": "dirichlet", "alpha": 0.5, "min_samples": 2}
    of, journal = simulated(data)
    assert [row.version for row in journal.versions] == list(range(13))
    assert len({row.model_sha256 for row in journal.versions}) == 13
    assert bool(of.learner.weights.isfinite().all())
    used = [row for row in journal.tasks if row.aggregated_version is not None]
    assert len(used) == 12 * (4 if strategy is SYNC else 3)
    assert all(row.weight is not None and row.weight >= 0 for row in used)


def test_ace_with_a_buffer_of_one() -> None:
    strategy = FEDBUFF | {"buffer_size": 1}
    _, journal = simulated(scenario_data(8, strategy, aggregation={"kind": "ace"}, stop={"updates": 20}))
    assert {row.weight for row in journal.tasks if row.aggregated_version is not None} == {1 / 8}
    assert len({row.model_sha256 for row in journal.versions}) == 21


def lockstep(strategy: dict[str, Any], **sections: Any) -> Tiny:
    """Return what was learned by eight clients whose tasks take equally long."""
    data = scenario_data(8, strategy, stop={"updates": 6}, **sections)
    data["fleet"]["compute"] = {"kind": "duration", "task": 10.0}
    return simulated(data)[0]


def test_fedbuff_with_buffer_and_concurrency_alike_and_equal_delays_is_fedavg() -> None:
    averaged = lockstep(SYNC).learner.weights
    buffered = FEDBUFF | {"concurrency": 4, "buffer_size": 4}
    assert torch.equal(lockstep(buffered).learner.weights, averaged)
    unbiased = {"kind": "unbiased", "weighting": "equal"}
    for strategy in (SYNC, buffered):
        torch.testing.assert_close(
            lockstep(strategy, aggregation=unbiased).learner.weights, averaged, rtol=1e-5, atol=1e-6
        )


def test_with_everybody_there_what_is_remembered_does_not_count() -> None:
    """All eight in every round: each rule is the mean."""
    everybody = SYNC | {"cohort": 8}
    averaged = lockstep(everybody).learner.weights
    for kind in ("unbiased", "ca2fl", "unbiased_ca2fl", "fedstale", "fedstale_async", "ace"):
        found = lockstep(everybody, aggregation={"kind": kind}).learner.weights
        torch.testing.assert_close(found, averaged, rtol=1e-5, atol=1e-6)


def test_fednova_in_a_run_normalises_by_the_steps_of_a_task() -> None:
    """Batches of 4, two epochs, and momentum: a client of n samples takes 2 ceil(n / 4) steps."""
    data = scenario_data(
        4, SYNC | {"weighting": "samples"}, aggregation={"kind": "fednova"}, stop={"updates": 1}
    )
    optimizer = {"kind": "sgd", "lr": 0.1, "momentum": 0.5}
    data["workload"]["training"] = {"batch_size": 4, "epochs": 2, "optimizer": optimizer}
    data["workload"]["data"]["partition"] = {"kind": "dirichlet", "alpha": 0.3, "min_samples": 2}
    _, journal = simulated(data)
    sizes = {row.client: row.samples for row in journal.tasks if row.aggregated_version is not None}
    assert len({-(-size // 4) for size in sizes.values()}) > 1
    shares = {client: size / sum(sizes.values()) for client, size in sizes.items()}
    counts = {c: simulated_count(Sgd(momentum=0.5), 2 * -(-size // 4)) for c, size in sizes.items()}
    effective = sum(shares[client] * counts[client] for client in sizes)
    for row in journal.tasks:
        if row.aggregated_version is not None:
            expected = shares[row.client] * effective / counts[row.client]
            assert row.weight == pytest.approx(expected, rel=1e-12)


STRATEGY_REFUSED = "weights the clients itself: it needs sync or fedbuff with weighting: equal"
REFUSED: list[tuple[dict[str, Any], dict[str, Any], str, str]] = [
    *[
        ({"kind": kind}, strategy, f"strategy.{key}", f"{kind} {STRATEGY_REFUSED}")
        for kind in ("afl", "ca2fl", "ace", "unbiased", "unbiased_ca2fl", "fedstale", "fedstale_async")
        for strategy, key in (
            (SYNC | {"weighting": "samples"}, "weighting"),
            ({"kind": "fedasync"}, "kind"),
        )
    ],
    ({"kind": "ace"}, POLYNOMIAL, "strategy.staleness.kind", "ace counts every update fully"),
    ({"kind": "unbiased_ca2fl"}, POLYNOMIAL, "strategy.staleness.kind", "counts every update fully"),
]


@pytest.mark.parametrize(("rule", "strategy", "where", "why"), REFUSED)
def test_what_a_strategy_does_not_fit(
    rule: dict[str, Any], strategy: dict[str, Any], where: str, why: str
) -> None:
    message = refusal(scenario_data(10, strategy, aggregation=rule))
    assert where in message
    assert why in message


@pytest.mark.parametrize(
    ("training", "where", "why"),
    [
        (
            {"optimizer": {"kind": "adam"}},
            "optimizer.kind",
            "fednova knows what a step counts for with sgd only",
        ),
        (
            {"optimizer": {"kind": "sgd", "weight_decay": 0.01}},
            "optimizer.weight_decay",
            "with weight decay; accepted: 0",
        ),
        (
            {"objective": {"kind": "fedprox", "mu": 0.1}},
            "objective.kind",
            "where weights are drawn back to the old ones",
        ),
    ],
)
def test_what_training_does_not_fit_fednova(training: dict[str, Any], where: str, why: str) -> None:
    data = scenario_data(10, SYNC, aggregation={"kind": "fednova"})
    data["workload"]["training"] = training
    message = refusal(data)
    assert f"workload.training.{where}" in message
    assert why in message
    assert_read(data | {"aggregation": {"kind": "mean"}})


def test_where_nothing_trains_fednova_has_nothing_to_refuse() -> None:
    data = scenario_data(10, SYNC, aggregation={"kind": "fednova"})
    data["workload"] = {"kind": "synthetic"}
    assert scenario_from(data).aggregation.kind == "fednova"


def test_every_rule_has_been_tried_here() -> None:
    classes = AnyAggregation.__metadata__[0].classes  # type: ignore[attr-defined]
    kinds = {kind for kind, cls in classes.items() if cls.__module__ == Mean.__module__}
    assert {spec.kind for spec in RULES} == kinds  # the robust ones are tried in test_robust
    assert {rule["kind"] for rule in WHOLE} == kinds - {"mean", "fedat"}  # that needs tiers
