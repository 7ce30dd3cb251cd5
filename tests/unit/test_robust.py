"""Robust aggregation rules against references in numpy, and what f arbitrary updates can do to them."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize

from flsim.draws import Stream
from flsim.learn.aggregations import Combined, Contribution, Population, combine
from flsim.learn.aggregations import rows as rows_module
from flsim.learn.aggregations.dnc import good
from flsim.learn.memory import Memory
from flsim.scenario.aggregation import Aggregation
from flsim.scenario.nested_aggregation import Adaptive, Filter, Trust
from flsim.scenario.robust_aggregation import (
    Bulyan,
    CenteredClipping,
    DnC,
    FLTrust,
    GeometricMedian,
    Krum,
    Median,
    MultiKrum,
    NormBound,
    Robust,
    TrimmedMean,
)
from flsim.scenario.training import Training
from flsim.tasks import Task

Matrix = NDArray[np.float64]  # [updates, parameters]
Column = NDArray[np.float64]

PARAMETERS = 5


def population(own: Column | None = None, seed: int = 9) -> Population:
    """Twelve clients; `own`: what the server has trained itself."""
    given = None if own is None else torch.tensor(own)
    server_update = None if given is None else lambda: given
    return Population([5] * 12, Training(), seed=seed, server_update=server_update)


def offered(
    updates: Matrix, weights: Sequence[float] | None = None, version: int = 0, ids: Sequence[int] = ()
) -> list[Contribution]:
    """Return contributions with these updates, of tasks 0, 1, … or with these ids, and so many clients."""
    count = len(updates)
    return [
        Contribution(
            Task(ids[k] if ids else k, (ids[k] if ids else k) % 12, 0, version, 0.0, 5),
            torch.tensor(update),
            1 / count if weights is None else weights[k],
            0,
            1,
            1.0,
        )
        for k, update in enumerate(updates)
    ]


def found(
    spec: Aggregation, updates: Matrix, weights: Sequence[float] | None = None, **known: Any
) -> tuple[Column, Column]:
    """Return the update, and the weights, that a rule without memory makes of these."""
    combined = combine(spec, offered(updates, weights), {}, population(**known))
    return combined.update.numpy().copy(), np.array(combined.weights)


@st.composite
def random_updates(draw: st.DrawFn, fewest: int = 1, most: int = 13) -> Matrix:
    """Draw updates without ties."""
    count = draw(st.integers(fewest, most))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    return generator.normal(size=(count, PARAMETERS)) * generator.uniform(0.1, 3, size=(count, 1))


LAWS = settings(max_examples=40, deadline=None)


# References


def krum_order(updates: Matrix, f: int, neighbours: int | None = None) -> list[int]:
    """Return the updates by Krum's score, the best first; of equals, by the sum over all the others."""
    count = len(updates)
    scores = []
    for one in range(count):
        squares = sorted(
            sum((updates[one] - updates[other]) ** 2) for other in range(count) if other != one
        )
        near = squares[: count - f - 2 if neighbours is None else neighbours]
        scores.append((sum(near), sum(squares)))
    return sorted(range(count), key=lambda k: scores[k])


def only(count: int, chosen: Sequence[int]) -> Column:
    """Return the weights with which some of the updates are averaged."""
    weights = np.zeros(count)
    weights[list(chosen)] = 1 / len(chosen)
    return weights


@given(random_updates(fewest=3), st.data())
@LAWS
def test_krum(updates: Matrix, data: st.DataObject) -> None:
    f = data.draw(st.integers(0, (len(updates) - 3) // 2))
    best = krum_order(updates, f)[0]
    update, weights = found(Krum(f=f), updates)
    np.testing.assert_array_equal(update, updates[best])
    np.testing.assert_array_equal(weights, only(len(updates), [best]))


def test_krum_of_an_example_worked_by_hand() -> None:
    """n = 5, f = 1: the two nearest of 0, 1, 3, 4, 20 have squares that sum to 10, 5, 5, 10, 545.

    The two in the middle are equally good: that which is nearer to all the others is taken.
    """
    updates = np.array([[0.0], [1.0], [3.0], [4.0], [20.0]])
    for arrived in (updates, updates[::-1].copy()):
        assert found(Krum(f=1), arrived)[0] == 3.0
        assert found(MultiKrum(f=1), arrived)[0] == 2.0
        assert found(MultiKrum(f=1, m=1), arrived)[0] == 3.0


def test_krum_squares_distances() -> None:
    """The two nearest of (2, 4) are 1 and 3 away, of (2, 1) 2 and 5 ** 0.5: more, but 9 against 10."""
    updates = np.array([[4.0, 0.0], [0.0, 1.0], [2.0, 4.0], [1.0, 4.0], [2.0, 1.0]])
    assert found(Krum(f=1), updates)[0].tolist() == [2.0, 1.0]


@given(random_updates(fewest=5), st.data())
@LAWS
def test_multi_krum(updates: Matrix, data: st.DataObject) -> None:
    count = len(updates)
    f = data.draw(st.integers(0, (count - 3) // 2))
    m = data.draw(st.none() | st.integers(1, count - f - 2))
    best = krum_order(updates, f)[: m or count - f - 2]
    update, weights = found(MultiKrum(f=f, m=m), updates)
    np.testing.assert_allclose(update, updates[best].mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(weights, only(count, best))


@given(random_updates(fewest=3))
@LAWS
def test_the_median(updates: Matrix) -> None:
    update, weights = found(Median(), updates)
    np.testing.assert_allclose(update, np.median(updates, axis=0), rtol=1e-14)
    count = np.zeros(len(updates))
    for column in updates.T:
        order = column.argsort()
        for middle in {(len(updates) - 1) // 2, len(updates) // 2}:
            count[order[middle]] += 1
    np.testing.assert_allclose(weights, count / count.sum())


@given(random_updates(fewest=3), st.data())
@LAWS
def test_the_trimmed_mean(updates: Matrix, data: st.DataObject) -> None:
    count = len(updates)
    f = data.draw(st.integers(0, (count - 1) // 2))
    expected = np.sort(updates, axis=0)[f : count - f].mean(axis=0)
    update, weights = found(TrimmedMean(f=f), updates)
    np.testing.assert_allclose(update, expected, rtol=1e-12, atol=1e-14)
    ranks = updates.argsort(axis=0).argsort(axis=0)
    inside = ((ranks >= f) & (ranks < count - f)).mean(axis=1)
    np.testing.assert_allclose(weights, inside / (count - 2 * f))


@pytest.mark.parametrize(("share", "count", "cut"), [(0.2, 5, 1), (0.2, 9, 1), (0.3, 10, 3), (0.1, 10, 1)])
def test_a_share_that_is_trimmed_is_rounded_down(share: float, count: int, cut: int) -> None:
    updates = np.random.default_rng(1).normal(size=(count, PARAMETERS))
    np.testing.assert_array_equal(
        found(TrimmedMean(share=share), updates)[0], found(TrimmedMean(f=cut), updates)[0]
    )


@given(random_updates(fewest=3), st.booleans())
@settings(max_examples=25, deadline=None)
def test_the_geometric_median_has_the_least_sum_of_distances(updates: Matrix, weighted: bool) -> None:
    count = len(updates)
    raw = np.arange(1.0, count + 1) if weighted else np.ones(count)
    shares = raw / raw.sum()

    def cost(point: Column) -> float:
        return float(shares @ np.sqrt(((updates - point) ** 2).sum(axis=1)))

    best = minimize(cost, np.median(updates, axis=0), method="Nelder-Mead", options={"maxiter": 4000})
    update, weights = found(GeometricMedian(iterations=2000), updates, shares.tolist())
    assert cost(update) <= best.fun + 1e-6
    np.testing.assert_allclose(weights @ updates, update, atol=1e-12)


def test_a_step_towards_the_geometric_median_is_weiszfelds() -> None:
    updates, shares = np.random.default_rng(4).normal(size=(6, 4)), [0.3, 0.1, 0.1, 0.2, 0.2, 0.1]
    point = np.median(updates, axis=0)
    for _ in range(3):
        pulls = np.array(shares) / np.maximum(0.9, np.linalg.norm(updates - point, axis=1))
        point = pulls @ updates / pulls.sum()
    update, weights = found(GeometricMedian(iterations=3, smoothing=0.9), updates, shares)
    np.testing.assert_allclose(update, point, rtol=1e-12)
    np.testing.assert_allclose(weights, pulls / pulls.sum(), rtol=1e-12)


@given(random_updates(), st.floats(0.05, 5.0), st.integers(1, 4))
@LAWS
def test_centred_clipping_goes_on_from_its_last_aggregate(
    updates: Matrix, tau: float, iterations: int
) -> None:
    centre, memory = np.zeros(PARAMETERS), Memory()
    weights = np.arange(1.0, len(updates) + 1)
    weights *= 0.6 / weights.sum()
    for turn in range(3):
        batch = updates * (1 + turn)
        combined = combine(
            CenteredClipping(tau=tau, iterations=iterations),
            offered(batch, weights.tolist()),
            memory,
            population(),
        )
        for _ in range(iterations):
            lengths = np.linalg.norm(batch - centre, axis=1)
            clipped = np.minimum(1, tau / np.maximum(lengths, 1e-300))
            centre = centre + (weights / 0.6 * clipped) @ (batch - centre)
        np.testing.assert_allclose(combined.update.numpy(), 0.6 * centre, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(combined.weights, weights * clipped, rtol=1e-9)


@given(random_updates(), st.floats(0.05, 5.0))
@LAWS
def test_the_norm_bound(updates: Matrix, bound: float) -> None:
    weights = np.arange(1.0, len(updates) + 1) / 50
    factors = np.minimum(1, bound / np.linalg.norm(updates, axis=1))
    update, counted = found(NormBound(bound=bound), updates, weights.tolist())
    np.testing.assert_allclose(update, (weights * factors) @ updates, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(counted, weights * factors, rtol=1e-9)


def bulyan(updates: Matrix, f: int) -> tuple[Column, Column]:
    count = len(updates)
    left, chosen = list(range(count)), []
    while len(chosen) < count - 2 * f:
        neighbours = min(max(len(left) - f - 2, 1), len(left) - 1)
        best = krum_order(updates[left], f, neighbours)[0]
        chosen.append(left.pop(best))
    update, counted = np.zeros(updates.shape[1]), np.zeros(count)
    for place, column in enumerate(updates.T):
        centre = np.median(column[chosen])
        nearest = sorted(chosen, key=lambda k: abs(column[k] - centre))[: count - 4 * f]
        update[place] = column[nearest].mean()
        counted[nearest] += 1
    return update, counted / counted.sum()


@given(random_updates(fewest=3, most=15), st.data())
@LAWS
def test_bulyan(updates: Matrix, data: st.DataObject) -> None:
    f = data.draw(st.integers(0, (len(updates) - 3) // 4))
    expected, counted = bulyan(updates, f)
    update, weights = found(Bulyan(f=f), updates)
    np.testing.assert_allclose(update, expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(weights, counted, rtol=1e-10)


@given(random_updates(), st.integers(0, 2**32))
@LAWS
def test_fltrust(updates: Matrix, seed: int) -> None:
    own = np.random.default_rng(seed).normal(size=PARAMETERS)
    size = np.linalg.norm(own)
    scores = [max(0.0, each @ own / (np.linalg.norm(each) * size)) for each in updates]
    expected = np.zeros(PARAMETERS)
    for each, score in zip(updates, scores, strict=True):
        expected += score * size / np.linalg.norm(each) * each
    if sum(scores):
        expected /= sum(scores)
    update, weights = found(FLTrust(), updates, [0.5 / len(updates)] * len(updates), own=own)
    np.testing.assert_allclose(update, 0.5 * expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(weights @ updates, update, atol=1e-12)
    assert all((weight == 0) == (score == 0) for weight, score in zip(weights, scores, strict=True))


def test_fltrust_trusts_nobody_where_the_server_has_learned_nothing() -> None:
    updates = np.random.default_rng(1).normal(size=(4, PARAMETERS))
    for own in (np.zeros(PARAMETERS), np.full(PARAMETERS, np.nan)):
        update, weights = found(FLTrust(), updates, own=own)
        assert not update.any()
        assert not weights.any()
    zeros = found(FLTrust(), np.zeros((3, PARAMETERS)), own=np.ones(PARAMETERS))
    assert not zeros[0].any()
    with pytest.raises(TypeError, match="needs what the server itself has trained"):
        found(FLTrust(), updates)


def dnc(updates: Matrix, spec: DnC, seed: int, version: int) -> list[int]:
    """Return who is kept, with the direction from the singular value decomposition."""
    count, draws = len(updates), Stream(seed, "aggregation.dnc")
    kept = []
    for iteration in range(spec.iterations):
        generator = draws.generator(version, iteration)
        width = min(spec.coordinates, updates.shape[1])
        picked = sorted(generator.choice(updates.shape[1], width, replace=False))
        part = updates[:, picked] - updates[:, picked].mean(axis=0)
        direction = np.linalg.svd(part, full_matrices=False)[2][0]
        scores = (part @ direction) ** 2
        if spec.at_once:
            left = scores.argsort()[: count - int(spec.remove * spec.f)].tolist()
        else:
            left = list(range(count))
            for _ in range(int(spec.remove * spec.f)):
                part = updates[np.ix_(left, picked)]
                part = part - part.mean(axis=0)
                left.pop(int(((part @ np.linalg.svd(part, full_matrices=False)[2][0]) ** 2).argmax()))
        kept.append(set(left))
    return sorted(set.intersection(*kept))


@given(random_updates(fewest=5), st.data())
@LAWS
def test_dnc(updates: Matrix, data: st.DataObject) -> None:
    count = len(updates)
    f = data.draw(st.integers(1, (count - 1) // 2))
    remove, iterations = data.draw(st.sampled_from([1.0, 1.5])), data.draw(st.integers(1, 3))
    at_once, coordinates = data.draw(st.booleans()), data.draw(st.integers(2, 9))
    spec = DnC(f=f, remove=remove, coordinates=coordinates, iterations=iterations, at_once=at_once)
    kept = dnc(updates, spec, seed=9, version=3)
    combined = combine(spec, offered(updates, version=3), {}, population())
    if kept:  # what the paper's intersection is empty for has a test of its own
        np.testing.assert_allclose(combined.update.numpy(), updates[kept].mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(combined.weights, only(count, kept))


def test_dnc_keeps_those_that_most_iterations_keep() -> None:
    """One coordinate at a time, and four of nine removed in each: nobody is left by all 30 iterations."""
    updates = np.random.default_rng(2).normal(size=(9, PARAMETERS))
    spec = DnC(f=4, coordinates=1, iterations=30, at_once=True)
    assert dnc(updates, spec, seed=9, version=0) == []
    times = np.zeros(9)
    for iteration in range(30):
        picked = Stream(9, "aggregation.dnc").generator(0, iteration).choice(PARAMETERS, 1, replace=False)
        away = np.abs(updates[:, picked[0]] - updates[:, picked[0]].mean())
        times[away.argsort()[:5]] += 1
    kept = np.flatnonzero(times == times.max()).tolist()
    np.testing.assert_allclose(found(spec, updates)[1], only(9, kept))


def test_dnc_without_attackers_takes_what_there_is_of_a_single_update_too() -> None:
    update, weights = found(DnC(f=0), OWN[None])
    np.testing.assert_array_equal(update, OWN)
    assert weights.tolist() == [1.0]


def test_dnc_draws_other_coordinates_for_every_version_and_seed() -> None:
    updates = np.random.default_rng(5).normal(size=(5, 40))
    spec = DnC(f=1, coordinates=1)

    def of(version: int, seed: int) -> Combined:
        return combine(spec, offered(updates, version=version), {}, population(seed=seed))

    assert len({of(version, 1).weights for version in range(12)}) > 1
    assert len({of(0, seed).weights for seed in range(12)}) > 1


# Ties, scales and zeros


def test_of_updates_that_are_alike_the_first_count() -> None:
    """However a processor sorts: from 17 numbers on, a sort that need not be stable is not."""
    alike = np.ones((30, PARAMETERS))
    for spec, counted in [
        (Krum(f=2), [0]),
        (MultiKrum(f=2), range(26)),
        (Median(), [14, 15]),
        (TrimmedMean(f=3), range(3, 27)),
        (Bulyan(f=2), range(22)),
    ]:
        np.testing.assert_allclose(found(spec, alike)[1], only(30, counted))


def test_of_equally_outlying_updates_the_last_go_at_once_or_the_first_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(good.__globals__, "outlying", lambda seen: torch.ones(len(seen)))
    seen = torch.zeros(20, 3, dtype=torch.float64)
    assert good(seen, 3, at_once=True) == list(range(17))
    assert good(seen, 3, at_once=False) == list(range(3, 20))


def test_bulyan_without_attackers_is_the_mean_of_all_though_they_be_alike() -> None:
    updates = np.vstack([np.ones((4, PARAMETERS)), np.random.default_rng(3).normal(size=(3, PARAMETERS))])
    for these in (updates, updates[:4]):
        update, weights = found(Bulyan(f=0), these)
        np.testing.assert_allclose(update, these.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(weights, only(len(these), range(len(these))))


@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1e9])
def test_krum_chooses_the_same_in_whatever_units(scale: float) -> None:
    updates = np.random.default_rng(6).normal(size=(11, PARAMETERS))
    for spec in (Krum(f=2), MultiKrum(f=2, m=3), Bulyan(f=2)):
        np.testing.assert_allclose(found(spec, scale * updates)[1], found(spec, updates)[1])


def test_fltrust_does_not_trust_an_update_that_is_zero() -> None:
    """It has no direction. The others count as they do without it."""
    updates = np.abs(np.random.default_rng(7).normal(size=(4, PARAMETERS)))
    own = np.ones(PARAMETERS)
    with_zero = np.vstack([updates, np.zeros(PARAMETERS)])
    update, weights = found(FLTrust(), with_zero, own=own)
    expected, counted = found(FLTrust(), updates, own=own)
    np.testing.assert_allclose(update, expected, rtol=1e-12)
    np.testing.assert_allclose(weights, [*counted, 0.0], rtol=1e-12)


@pytest.mark.parametrize(("base", "staleness"), [(5, 0), (3, 2), (0, 5)])
def test_dnc_draws_coordinates_for_the_version_that_is_made(base: int, staleness: int) -> None:
    """However stale the update is that came first."""
    updates = np.random.default_rng(5).normal(size=(7, 40))
    spec = DnC(f=2, coordinates=4)
    given = [replace(each, staleness=staleness) for each in offered(updates, version=base)]
    kept = dnc(updates, spec, seed=9, version=5)
    np.testing.assert_allclose(combine(spec, given, {}, population()).weights, only(7, kept))
    assert kept != dnc(updates, spec, seed=9, version=1)


def test_shares_of_weights_that_are_all_zero_are_the_same_for_all() -> None:
    """So centred clipping goes on from what it has seen, though the server takes nothing of it."""
    updates, memory = np.random.default_rng(1).normal(size=(4, PARAMETERS)), Memory()
    assert rows_module.Rows(offered(updates, [0.0] * 4)).shares == [0.25] * 4
    combined = combine(CenteredClipping(tau=1e3), offered(updates, [0.0] * 4), memory, population())
    assert not combined.update.any()
    np.testing.assert_allclose(memory["centre"].numpy(), updates.mean(axis=0), rtol=1e-12)


# What all of them do

OWN = np.array([1.0, -0.5, 0.25, 2.0, 0.0])
RULES: list[Aggregation] = [
    Krum(f=2),
    MultiKrum(f=2),
    Median(),
    TrimmedMean(f=2),
    TrimmedMean(share=0.2),
    GeometricMedian(),
    CenteredClipping(iterations=3),
    NormBound(),
    Bulyan(f=2),
    FLTrust(),
    DnC(f=2, iterations=2, coordinates=3),
    Filter(),
    Filter(then=Krum(f=1)),
    Trust(),
    Trust(then=GeometricMedian()),
    Adaptive(),
    Adaptive(calm=Krum(f=2), alert=Bulyan(f=2), hold=2),
]
every_rule = pytest.mark.parametrize("spec", RULES, ids=repr)


@st.composite
def tied_updates(draw: st.DrawFn) -> Matrix:
    """Draw updates with many ties and duplicates."""
    rows = st.lists(st.integers(-2, 2).map(float), min_size=PARAMETERS, max_size=PARAMETERS)
    return np.array(draw(st.lists(rows, min_size=1, max_size=13)))


@every_rule
@given(updates=tied_updates() | random_updates(), data=st.data())
@settings(max_examples=25, deadline=None)
def test_the_order_of_arrival_makes_no_difference_to_the_last_bit(
    spec: Aggregation, updates: Matrix, data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(updates))))
    weights = np.arange(1.0, len(updates) + 1) / 100
    memories: tuple[Memory, Memory] = ({}, {})
    given = offered(updates, weights.tolist())
    exact = "Mean(kind='mean'" not in repr(spec)  # which adds in the order of arrival
    tolerance = {"rtol": 0.0, "atol": 0.0} if exact else {"rtol": 1e-12, "atol": 1e-14}
    for _ in range(3):
        straight = combine(spec, given, memories[0], population(OWN))
        turned = combine(spec, [given[k] for k in order], memories[1], population(OWN))
        np.testing.assert_allclose(straight.update.numpy(), turned.update.numpy(), **tolerance)
        np.testing.assert_allclose([straight.weights[k] for k in order], turned.weights, **tolerance)
        assert straight.trust == turned.trust
    assert all(torch.equal(memories[0][name], memories[1][name]) for name in memories[0] | memories[1])


@every_rule
@given(updates=random_updates(fewest=11, most=12), data=st.data())
@settings(max_examples=15, deadline=None)
def test_who_sends_an_update_makes_no_difference(
    spec: Aggregation, updates: Matrix, data: st.DataObject
) -> None:
    ids = data.draw(st.permutations(range(len(updates))))
    one = combine(spec, offered(updates), {}, population(OWN))
    other = combine(spec, offered(updates, ids=ids), {}, population(OWN))
    np.testing.assert_allclose(one.update.numpy(), other.update.numpy(), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(one.weights, other.weights, rtol=1e-9, atol=1e-12)


@every_rule
def test_an_update_is_scaled_as_the_strategys_weights_are(spec: Aggregation) -> None:
    updates = np.random.default_rng(3).normal(size=(12, PARAMETERS))
    whole = combine(spec, offered(updates, [1 / 12] * 12), {}, population(OWN))
    part = combine(spec, offered(updates, [0.3 / 12] * 12), {}, population(OWN))
    np.testing.assert_allclose(part.update.numpy(), 0.3 * whole.update.numpy(), rtol=1e-12)
    np.testing.assert_allclose(part.weights, 0.3 * np.array(whole.weights), rtol=1e-12)


@pytest.mark.parametrize(
    "spec", [spec for spec in RULES if not isinstance(spec, CenteredClipping)], ids=repr
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_updates_that_are_all_alike_are_what_comes_out(spec: Aggregation, dtype: type[Any]) -> None:
    updates = np.tile(np.array([0.3, -0.2, 0.1, 0.4, 0.0]), (12, 1)).astype(dtype)
    own = updates[0].astype(np.float64)
    combined = combine(spec, offered(updates), {}, population(own))
    assert combined.update.numpy().dtype == dtype
    np.testing.assert_allclose(combined.update.numpy(), updates[0], rtol=1e-6)


def test_coordinates_are_looked_at_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many at a time as fit into a bound on memory: the blocks make no difference."""
    updates = np.random.default_rng(8).normal(size=(11, 50))
    rules = (Krum(f=2), Median(), TrimmedMean(f=3), Bulyan(f=2))
    whole = [found(spec, updates) for spec in rules]
    monkeypatch.setattr(rows_module, "_ELEMENTS", 11 * 7)
    assert [block.shape[1] for block in rows_module.Rows(offered(updates)).blocks()] == [7] * 7 + [1]
    for spec, (update, weights) in zip(rules, whole, strict=True):
        again = found(spec, updates)
        np.testing.assert_allclose(again[0], update, rtol=1e-12)
        np.testing.assert_allclose(again[1], weights, rtol=1e-12)


# Attackers

HUGE = 1e30
ATTACKS: dict[str, Callable[[Matrix, int], Matrix]] = {
    "1e30": lambda honest, f: np.full((f, PARAMETERS), HUGE),
    "-1e30 and 1e30": lambda honest, f: np.array([[HUGE * (-1) ** k] * PARAMETERS for k in range(f)]),
    "nan": lambda honest, f: np.full((f, PARAMETERS), np.nan),
    "one nan": lambda honest, f: np.vstack(
        [np.full((1, PARAMETERS), np.nan), np.full((f - 1, PARAMETERS), HUGE)]
    ),
    "inf": lambda honest, f: np.full((f, PARAMETERS), -np.inf),
    "nan in one place": lambda honest, f: np.where(np.arange(PARAMETERS) == 2, np.nan, honest[:1]).repeat(
        f, 0
    ),
    "duplicates": lambda honest, f: honest[:1].repeat(f, 0),
    "the largest": lambda honest, f: np.full((f, PARAMETERS), float(np.finfo(np.float32).max)),
}
SCATTERED = {  # of very different lengths, and each in a direction of its own
    "scattered": lambda honest, f: np.array(
        [np.eye(PARAMETERS)[k % PARAMETERS] * 10.0 ** (8 * k + 6) for k in range(f)]
    )
}
DEFENCES: list[tuple[Callable[[int], Aggregation], int, int]] = [
    (lambda f: Krum(f=f), 2, 3),
    (lambda f: MultiKrum(f=f), 2, 3),
    (lambda f: TrimmedMean(f=f), 2, 1),
    (lambda f: Median(), 2, 1),
    (lambda f: Bulyan(f=f), 4, 3),
    (lambda f: GeometricMedian(), 2, 1),
    (lambda f: DnC(f=f), 2, 1),
    (lambda f: Filter(), 2, 1),
    (lambda f: Filter(then=Median()), 2, 1),
    (lambda f: Trust(), 2, 1),
    (lambda f: Adaptive(alert=TrimmedMean(f=f)), 2, 1),
    (lambda f: Adaptive(alert=Krum(f=f)), 2, 3),
]


def assert_survives(rule: Callable[[int], Aggregation], n: int, f: int, attack: Any, seed: int) -> None:
    """Assert that f attackers among n updates do not lead a rule out of the reach of the honest ones."""
    generator = np.random.default_rng(seed)
    honest = generator.normal(size=(n - f, PARAMETERS))
    attackers = attack(honest, f)
    updates = np.vstack([honest, attackers])[generator.permutation(n)].astype(np.float32)
    combined = combine(rule(f), offered(updates), {}, population())
    update = combined.update.numpy().astype(np.float64)
    assert np.isfinite(update).all()
    centre = honest.mean(axis=0)
    reach = np.linalg.norm(honest - centre, axis=1).max()
    finite = updates[np.isfinite(updates).all(axis=1)]
    start = np.linalg.norm(np.median(finite.astype(np.float64), axis=0) - centre)
    if isinstance(rule(f), GeometricMedian):
        # The sum of distances is no larger than at the start; n - 2f times the way is what it grows by.
        assert np.linalg.norm(update - centre) <= (2 * (n - f) * reach + n * start) / (n - 2 * f) + 1e-3
    else:
        low, high = honest.min(axis=0), honest.max(axis=0)
        # A value that an attacker puts in reach of Bulyan is no further from the median than an honest one.
        spread = (high - low) if isinstance(rule(f), Bulyan) else 0.0
        assert (update >= low - spread - 1e-6).all()
        assert (update <= high + spread + 1e-6).all()
    for each, weight in zip(updates, combined.weights, strict=True):
        if not np.isfinite(each).all():
            assert weight == 0
    assert sum(combined.weights) == pytest.approx(1.0)


@pytest.mark.parametrize("attack", [*ATTACKS, *SCATTERED])
@pytest.mark.parametrize(
    ("rule", "slope", "offset"), DEFENCES, ids=lambda value: repr(value(1)) if callable(value) else None
)
@given(f=st.integers(1, 3), more=st.integers(0, 4), seed=st.integers(0, 2**32))
@settings(max_examples=8, deadline=None)
def test_f_attackers_among_as_few_as_may_be_do_not_lead_it_astray(
    rule: Callable[[int], Aggregation], slope: int, offset: int, attack: str, f: int, more: int, seed: int
) -> None:
    assert_survives(rule, slope * f + offset + more, f, (ATTACKS | SCATTERED)[attack], seed)


@pytest.mark.parametrize("attack", ATTACKS)
@given(f=st.integers(1, 3), more=st.integers(0, 4), seed=st.integers(0, 2**32))
@settings(max_examples=8, deadline=None)
def test_f_attackers_of_one_sort_do_not_lead_dnc_astray_as_published(
    attack: str, f: int, more: int, seed: int
) -> None:
    assert_survives(lambda f: DnC(f=f, at_once=True), 2 * f + 1 + more, f, ATTACKS[attack], seed)


def test_attackers_hide_from_dnc_behind_longer_ones_if_all_are_removed_at_once() -> None:
    updates = np.vstack(
        [np.random.default_rng(2).normal(size=(7, PARAMETERS)), SCATTERED["scattered"](OWN, 2)]
    )
    assert np.abs(found(DnC(f=2, at_once=True), updates)[0]).max() > 1e4
    assert np.abs(found(DnC(f=2), updates)[0]).max() < 2


def test_with_one_attacker_more_a_rule_may_fail() -> None:
    """The bounds are tight: f + 1 of 2f + 2 make the trimmed mean, and f + 1 of 2f + 1 the median."""
    honest, far = np.zeros((3, 1)), np.full((3, 1), HUGE)
    assert found(TrimmedMean(f=2), np.vstack([honest, far]))[0] > 1e20
    assert found(Median(), np.vstack([honest[:2], far]))[0] == HUGE


@pytest.mark.parametrize("attack", [*ATTACKS, *SCATTERED])
def test_an_update_moves_a_clipped_sum_by_its_share_of_the_bound(attack: str) -> None:
    honest = np.random.default_rng(1).normal(size=(8, PARAMETERS))
    attackers = (ATTACKS | SCATTERED)[attack](honest, 2)
    lost = int((~np.isfinite(attackers).all(axis=1)).sum())
    for rule, bound in ((NormBound(bound=0.7), 0.7), (CenteredClipping(tau=0.7), 0.7)):
        attacked, weights = found(rule, np.vstack([honest, attackers]).astype(np.float32))
        calm, _ = found(rule, np.vstack([honest, np.zeros((2 - lost, PARAMETERS))]))
        assert np.linalg.norm(attacked - calm) <= (2 - lost) / (10 - lost) * bound + 1e-6
        assert len(weights) == 10


@pytest.mark.parametrize("attack", [*ATTACKS, *SCATTERED])
def test_fltrust_is_never_longer_than_the_servers_update(attack: str) -> None:
    honest = np.random.default_rng(1).normal(size=(8, PARAMETERS)) + 2
    attackers = (ATTACKS | SCATTERED)[attack](honest, 2)
    own = np.full(PARAMETERS, 0.3)
    update, _ = found(FLTrust(), np.vstack([honest, attackers]).astype(np.float32), own=own)
    assert 0 < np.linalg.norm(update) <= np.linalg.norm(own) + 1e-6
    against = np.vstack([honest, -HUGE * np.ones((2, PARAMETERS))]).astype(np.float32)
    assert found(FLTrust(), against, own=own)[1][-2:].tolist() == [0.0, 0.0]


# Fewer updates than a rule needs: others were not finite


FEW: list[Robust] = [Krum(f=2), MultiKrum(f=2, m=3), TrimmedMean(f=2), Bulyan(f=1), DnC(f=2), Median()]


@pytest.mark.parametrize("spec", [*FEW, TrimmedMean(share=0.25), GeometricMedian()], ids=repr)
@pytest.mark.parametrize("rejected", [False, True])
def test_with_up_to_f_fewer_it_is_the_median_and_with_fewer_the_model_stays(
    spec: Robust, rejected: bool
) -> None:
    """Whether they were rejected before, or are there and not finite."""
    updates = np.random.default_rng(6).normal(size=(spec.updates_needed, PARAMETERS))
    for missing, left in itertools.accumulate(
        [(1, spec.updates_needed - 1)] * (spec.updates_needed - 1), lambda a, _: (a[0] + 1, a[1] - 1)
    ):
        given = updates.copy()
        given[left:] = np.nan
        update, weights = found(spec, given[:left] if rejected else given, [0.5 / len(given)] * len(given))
        scale = 0.5 * left / len(given) if rejected else 0.5
        if missing <= spec.tolerated:
            np.testing.assert_allclose(update, scale * np.median(updates[:left], axis=0), rtol=1e-12)
            assert weights.sum() == pytest.approx(scale)
        else:
            assert not update.any()
            assert not weights.any()


@every_rule
def test_where_nothing_is_finite_the_model_stays(spec: Aggregation) -> None:
    update, weights = found(spec, np.full((12, PARAMETERS), np.nan), own=OWN)
    assert not update.any()
    assert not weights.any()


def test_the_median_of_what_is_left_tolerates_the_attackers_that_are_left() -> None:
    """n = 2f + 3 = 9 with f = 3: whichever of the attackers are missing, those that are not do nothing."""
    honest = np.random.default_rng(7).normal(size=(6, PARAMETERS))
    for missing in range(1, 4):
        updates = np.vstack([honest, np.full((3 - missing, PARAMETERS), HUGE)])
        update, _ = found(Krum(f=3), updates)
        assert (np.abs(update) <= np.abs(honest).max()).all()
