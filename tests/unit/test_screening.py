"""Outliers, and the rules that look for them: filter, trust and adaptive choice."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import median_abs_deviation

from flsim.learn.aggregations import Combined, Contribution, Population, combine, fence
from flsim.learn.aggregations.outliers import suspects
from flsim.learn.memory import Memory
from flsim.scenario.aggregation import Aggregation, Ca2fl, Mean
from flsim.scenario.catalogue import catalogue
from flsim.scenario.nested_aggregation import Adaptive, Filter, Trust
from flsim.scenario.outliers import Iqr, Mad, Outliers, Z
from flsim.scenario.robust_aggregation import CenteredClipping, Median, NormBound, TrimmedMean
from flsim.scenario.training import Training
from flsim.tasks import Task

Matrix = NDArray[np.float64]

POPULATION = Population([5] * 12, Training())
FAR = np.full(3, 50.0)


def offered(
    updates: Any, weights: Sequence[float] | None = None, clients: Sequence[int] = (), version: int = 0
) -> list[Contribution]:
    """Return contributions with these updates, of clients 0, 1, … or of these."""
    return [
        Contribution(
            Task(100 * version + k, clients[k] if clients else k, 0, version, 0.0, 5),
            torch.tensor(np.asarray(update, dtype=np.float64)),
            1 / len(updates) if weights is None else weights[k],
            0,
            1,
            1.0,
        )
        for k, update in enumerate(updates)
    ]


def of_length(*lengths: float) -> Matrix:
    """Return updates of these lengths, along one axis."""
    return np.array([[length, 0.0, 0.0] for length in lengths])


def normal(count: int, seed: int = 0) -> Matrix:
    return np.random.default_rng(seed).normal(size=(count, 3))


# Fences

values = st.lists(st.floats(0, 100), min_size=1, max_size=12)


@given(values, st.floats(1, 5))
@settings(max_examples=60, deadline=None)
def test_fences(drawn: list[float], threshold: float) -> None:
    column, given = np.array(drawn), torch.tensor(drawn, dtype=torch.float64)
    deviation = median_abs_deviation(column, scale="normal")
    low, high = np.percentile(column, [25, 75])
    expected = {
        Mad: np.median(column) + threshold * deviation,
        Iqr: high + threshold * (high - low),
        Z: column.mean() + threshold * column.std(),
    }
    for kind, value in expected.items():
        assert fence(kind(threshold=threshold), given) == pytest.approx(value, rel=1e-9, abs=1e-9)


KINDS = [Mad(), Mad(threshold=1.0), Iqr(threshold=0.5), Iqr(), Iqr(threshold=4.0), Z(threshold=1.0), Z()]


@pytest.mark.parametrize("spec", KINDS, ids=repr)
def test_values_needed_is_the_least_number_among_which_one_can_be_an_outlier(spec: Outliers) -> None:
    for count in range(1, 12):
        found = suspects(spec, offered(of_length(*[1.0] * (count - 1), 1e12)), {})
        assert found == [False] * (count - 1) + [count >= spec.values_needed], count


@pytest.mark.parametrize("spec", KINDS, ids=repr)
@given(drawn=values, of=st.sampled_from(["norm", "distance"]))
@settings(max_examples=30, deadline=None)
def test_at_least_half_of_the_updates_pass(spec: Outliers, drawn: list[float], of: Any) -> None:
    spec = spec.model_copy(update={"of": of, "slack": 0.0})
    passed = suspects(spec, offered(of_length(*drawn)), {}).count(False)
    assert passed >= spec.left(len(drawn)) == -(-len(drawn) // 2)


def test_an_update_is_measured_by_its_distance_to_the_median_or_by_its_length() -> None:
    turned = np.vstack([np.ones((6, 3)) + normal(6) / 10, -np.ones((1, 3))])  # as long as the others
    assert suspects(Mad(), offered(turned), {}) == [False] * 6 + [True]
    assert suspects(Mad(of="norm"), offered(turned), {}) == [False] * 7
    longer = np.vstack([normal(6) / 10, FAR])
    assert suspects(Mad(of="norm"), offered(longer), {}) == [False] * 6 + [True]


def test_trifles_are_no_outliers() -> None:
    """What is within the slack of the median passes, though the others be all the same."""
    updates = of_length(1.0, 1.0, 1.0, 1.0, 1.4)
    assert suspects(Mad(of="norm"), offered(2 * updates), {}) == [False] * 5
    assert suspects(Mad(of="norm", slack=0.5), offered(updates), {}) == [False] * 5
    assert suspects(Mad(of="norm", slack=0.3), offered(updates), {}) == [False] * 4 + [True]


def test_what_is_not_finite_is_an_outlier_and_does_not_hide_others() -> None:
    updates = np.vstack([normal(5), FAR, np.full(3, np.nan), np.full(3, np.inf)])
    assert suspects(Mad(), offered(updates), {}) == [False] * 5 + [True] * 3
    assert suspects(Mad(), offered(updates[-1:]), {}) == [True]


def test_with_a_window_an_update_alone_is_compared_with_those_before() -> None:
    spec, memory = Mad(of="norm", window=4), Memory()
    lengths = [1.0, 1.1, 0.9, 1.0, 30.0, 1.2, 8.0, 0.8]
    found = [suspects(spec, offered(of_length(length)), memory)[0] for length in lengths]
    assert found == [False, False, False, False, True, False, True, False]
    assert memory["values"].tolist() == [0.9, 1.0, 1.2, 0.8]  # the last four that passed


@pytest.mark.parametrize("count", [4, 6])
def test_what_lies_on_the_fence_passes_and_is_remembered(count: int) -> None:
    """Values that are all alike set a fence at just that value."""
    spec, memory = Mad(of="norm", window=10, slack=0.0), Memory()
    assert suspects(spec, offered(of_length(*[2.0] * count)), memory) == [False] * count
    assert memory["values"].tolist() == [2.0] * count


def test_without_a_tensor_half_there_are_no_outliers() -> None:
    class Unknown(Outliers):
        kind: Literal["unknown"] = "unknown"

        @property
        def values_needed(self) -> int:
            return 2

    with pytest.raises(TypeError, match="no such outliers: Unknown"):
        suspects(Unknown(), offered(normal(4)), {})


# Filter


@pytest.mark.parametrize("then", [Mean(), Median(), TrimmedMean(f=1)], ids=repr)
def test_a_filter_leaves_outliers_out(then: Aggregation) -> None:
    updates = np.vstack([normal(6), FAR, -FAR])
    weights = [0.05, 0.1, 0.15, 0.2, 0.05, 0.1, 0.15, 0.1]  # 0.9 in all, 0.65 of those that pass
    filtered = combine(Filter(then=then), offered(updates, weights), {}, POPULATION)
    left = combine(then, offered(updates[:6], [w * 0.9 / 0.65 for w in weights[:6]]), {}, POPULATION)
    np.testing.assert_allclose(filtered.update.numpy(), left.update.numpy(), rtol=1e-12)
    np.testing.assert_allclose(filtered.weights, (*left.weights, 0.0, 0.0), rtol=1e-12)


def test_filters_can_follow_on_each_other() -> None:
    """The first leaves out what is far away, which lets the second see what is only a little so."""
    updates = of_length(1.0, 1.1, 0.9, 1.0, 1.05, 0.95, 1e6, 9.0, 8.0)
    one = Filter(suspects=Z(of="norm"))
    assert one.model_copy(update={"then": one}).then == one
    single = combine(one, offered(updates), {}, POPULATION).weights
    assert [weight > 0 for weight in single] == [True] * 6 + [False, True, True]
    double = Filter(suspects=Z(of="norm"), then=Filter(suspects=Mad(of="norm")))
    weights = combine(double, offered(updates), {}, POPULATION).weights
    np.testing.assert_allclose(weights, [1 / 6] * 6 + [0.0] * 3)


def test_what_a_rule_remembers_is_its_own_wherever_it_stands() -> None:
    """Two rules that remember under the same names, one beside the other, as if each were alone."""
    spec = Adaptive(calm=CenteredClipping(tau=0.5), alert=CenteredClipping(tau=2.0), suspects=Mad())
    memory: Memory = {}
    alone: dict[str, Memory] = {"calm": {}, "alert": {}}
    for turn in range(6):
        updates = np.vstack([normal(7, turn), FAR]) if turn % 2 else np.full((8, 3), turn / 10)
        key = "alert" if turn % 2 else "calm"
        nested = combine(spec, offered(updates), memory, POPULATION)
        own = combine(spec.rules[key], offered(updates), alone[key], POPULATION)
        assert torch.equal(nested.update, own.update)
        assert nested.weights == own.weights
    kept = {"holding", *(f"{key}.{name}" for key, own in alone.items() for name in own)}
    assert set(memory) == kept


def test_a_rule_that_weights_clients_itself_can_follow() -> None:
    memory: Memory = {}
    for turn in range(3):
        updates = np.vstack([normal(6, turn), FAR])
        combine(Filter(then=Ca2fl()), offered(updates), memory, POPULATION)
    assert {name for name in memory if name.startswith("then.h.")} == {f"then.h.{k}" for k in range(6)}


@pytest.mark.parametrize("spec", [Filter(), Trust()], ids=repr)
def test_of_a_single_update_that_is_left_out_nothing_is_made(spec: Aggregation) -> None:
    combined = combine(spec, offered(np.full((1, 3), np.nan)), {}, POPULATION)
    assert combined.update.tolist() == [0.0] * 3
    assert combined.weights == (0.0,)


class Forgetful(Aggregation):
    """A rule that keeps one number and forgets the one before."""

    kind: Literal["forgetful"] = "forgetful"


@combine.register
def forgetful(
    spec: Forgetful, contributions: Sequence[Contribution], memory: Memory, population: Population
) -> Combined:
    turn = len(contributions)
    memory.clear()
    memory[f"turn {turn}"] = torch.tensor(turn)
    return combine(Mean(), contributions, {}, population)


def test_what_a_rule_forgets_is_forgotten_wherever_it_stands() -> None:
    spec, memory = Filter().model_copy(update={"then": Forgetful()}), Memory()
    for count in (4, 5, 6):
        combine(spec, offered(normal(count)), memory, POPULATION)
    assert {name for name in memory if name.startswith("then.")} == {"then.turn 6"}


# Trust


class ByHand:
    """The book-keeping of trust, client by client."""

    def __init__(self, spec: Trust) -> None:
        self.spec = spec
        self.times: dict[int, int] = {}
        self.quiet: dict[int, int] = {}

    def told(self, client: int, suspected: bool) -> None:
        times = self.times.get(client, 0)
        if suspected:
            self.times[client], self.quiet[client] = times + 1, 0
        elif times:
            self.quiet[client] += 1
            if self.quiet[client] == self.spec.forgive:
                self.times[client], self.quiet[client] = times - 1, 0

    def trust(self, client: int) -> float:
        times = self.times.get(client, 0)
        return 0.0 if times >= self.spec.ban_after else self.spec.decay**times


@given(
    st.lists(st.lists(st.booleans(), min_size=8, max_size=8), min_size=1, max_size=12),
    st.sampled_from([None, 1, 2, 5]),
    st.sampled_from([1, 3]),
)
@settings(max_examples=40, deadline=None)
def test_trust_over_some_updates(turns: list[list[bool]], forgive: int | None, ban_after: int) -> None:
    """At most two of eight, or of those that are not banned a third, send outliers."""
    spec = Trust(forgive=forgive, ban_after=ban_after, decay=0.7)
    memory, book = Memory(), ByHand(spec)
    for number, wants in enumerate(turns):
        banned = {client for client in range(8) if book.trust(client) == 0}
        bad = [client for client in range(8) if wants[client] and client not in banned]
        bad = bad[: min(2, (8 - len(banned) - 1) // 3)]
        updates = 1 + normal(8, number) / 10
        updates[bad] = FAR
        updates[sorted(banned)] = 1e9  # which must not count as what the others are compared with
        weights = np.arange(1.0, 9.0) / 36
        combined = combine(spec, offered(updates, weights.tolist(), version=number), memory, POPULATION)
        for client in set(range(8)) - banned:
            book.told(client, client in bad)
        trusts = np.array([book.trust(client) for client in range(8)])
        assert combined.trust == {100 * number + k: pytest.approx(trusts[k]) for k in range(8)}
        heard = np.array([k not in bad and k not in banned for k in range(8)])
        expected = weights * trusts * heard
        expected /= expected.sum() or 1
        np.testing.assert_allclose(combined.weights, expected, rtol=1e-12)
        np.testing.assert_allclose(combined.update.numpy(), expected @ updates, rtol=1e-9)


def test_three_suspicions_are_a_ban() -> None:
    """0.8 for each of the first two, and nothing any more from the third on."""
    memory: Memory = {}
    trusts = []
    for number in range(5):
        updates = np.vstack([1 + normal(6, number) / 10, FAR if number < 3 else np.ones(3)])
        combined = combine(Trust(), offered(updates, version=number), memory, POPULATION)
        trusts.append(combined.trust[100 * number + 6])
        assert combined.weights[6] == 0
    assert trusts == pytest.approx([0.8, 0.64, 0.0, 0.0, 0.0])


def test_a_client_is_suspected_once_in_an_update_however_many_it_sends() -> None:
    updates = np.vstack([1 + normal(8) / 10, FAR, FAR, FAR])
    clients = [0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 8]
    combined = combine(Trust(), offered(updates, clients=clients), {}, POPULATION)
    assert [combined.trust[k] for k in (8, 9, 10)] == [0.8] * 3


def test_where_all_are_banned_the_model_stays() -> None:
    memory: Memory = {"suspicions": torch.full((12,), 3), "unsuspected": torch.zeros(12)}
    combined = combine(Trust(), offered(normal(4)), memory, POPULATION)
    assert not combined.update.any()
    assert combined.weights == (0.0,) * 4
    assert set(combined.trust.values()) == {0.0}


def turns_of(spec: Trust, bad: Sequence[Sequence[int]], memory: Memory) -> list[list[float]]:
    """Return everybody's trust after each of some updates of seven clients, of whom some send outliers."""
    trusts = []
    for number, clients in enumerate(bad):
        updates = 1 + normal(7, number) / 10
        updates[list(clients)] = FAR
        told = combine(spec, offered(updates, version=number), memory, POPULATION).trust
        trusts.append([told[100 * number + client] for client in range(7)])
    return trusts


def test_a_suspicion_is_forgiven_after_so_many_updates_without_another() -> None:
    """Two suspicions of client 6. Three updates without one forgive it once, and three more once more."""
    spec, memory = Trust(forgive=3, ban_after=5, decay=0.5), Memory()
    bad = [[6], [], [], [6], [], [], [], [], [], [], []]
    trusts = turns_of(spec, bad, memory)
    assert [told[6] for told in trusts] == [0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.5, 0.5, 0.5, 1.0, 1.0]
    assert all(told[:6] == [1.0] * 6 for told in trusts)
    assert memory["unsuspected"].tolist() == [0] * 12


def test_without_forgiving_no_good_conduct_restores_trust() -> None:
    spec = Trust(forgive=None, decay=0.5)
    assert [told[6] for told in turns_of(spec, [[6], *[[]] * 8], {})] == [0.5] * 9


def test_a_ban_is_for_good() -> None:
    """The updates of who is banned are not looked at, so that nothing is ever forgiven."""
    spec, memory = Trust(forgive=1, ban_after=2, decay=0.5), Memory()
    trusts = turns_of(spec, [[6], [6], [], [], []], memory)
    assert [told[6] for told in trusts] == [0.5, 0.0, 0.0, 0.0, 0.0]
    assert memory["suspicions"].tolist() == [0] * 6 + [2] + [0] * 5


def banned(sigma: float, attackers: int, seed: int) -> set[int]:
    """Return who is banned in 100 rounds of 10 from 30 clients, whose updates vary in length by sigma."""
    draws = np.random.default_rng(seed)
    memory, population = Memory(), Population([5] * 30, Training())
    for number in range(100):
        clients = draws.permutation(30)[:10].tolist()
        updates = 0.5 + draws.normal(size=(10, 40)) * np.exp(sigma * draws.normal(size=(10, 1)))
        attacks = np.array(clients) < attackers
        updates[attacks] *= -5
        combine(Trust(), offered(updates, clients=clients, version=number), memory, population)
    return {int(k) for k in np.flatnonzero(memory["suspicions"].numpy() >= 3)}


def test_honest_clients_are_not_banned() -> None:
    """Of 30 honest clients in 33 rounds each, five times over; and beside five that attack, who are."""
    assert [banned(0.0, 0, seed) for seed in range(5)] == [set()] * 5
    assert [banned(0.3, 0, seed) for seed in range(5)] == [set()] * 5
    assert [banned(0.0, 5, seed) for seed in range(5)] == [set(range(5))] * 5


# Adaptive


def test_adaptive_averages_as_long_as_nobody_is_suspected() -> None:
    spec, memory = Adaptive(hold=2, alert=Median()), Memory()
    attacked = [False, True, False, False, False, True, True, False, False, False]
    used = []
    for number, with_attack in enumerate(attacked):
        updates = np.vstack([normal(6, number), FAR if with_attack else normal(1, 50)])
        given = offered(updates)
        combined = combine(spec, given, memory, POPULATION)
        used += [
            key for key, rule in spec.rules.items() if same(combined, combine(rule, given, {}, POPULATION))
        ]
    calm, alert = "calm", "alert"
    assert used == [calm, alert, alert, alert, calm, alert, alert, alert, alert, calm]


def same(one: Combined, other: Combined) -> bool:
    return torch.equal(one.update, other.update) and one.weights == other.weights


def test_without_a_hold_it_is_calm_at_once() -> None:
    memory: Memory = {}
    combine(Adaptive(), offered(np.vstack([normal(6), FAR])), memory, POPULATION)
    calm = combine(Adaptive(), offered(normal(7)), memory, POPULATION)
    np.testing.assert_allclose(calm.update.numpy(), normal(7).mean(axis=0), rtol=1e-12)


def test_a_filter_before_a_norm_bound_is_a_norm_bound_of_those_that_pass() -> None:
    updates = np.vstack([normal(6), FAR])
    nested = combine(Filter(then=NormBound(bound=0.5)), offered(updates), {}, POPULATION)
    alone = combine(NormBound(bound=0.5), offered(updates[:6]), {}, POPULATION)
    np.testing.assert_allclose(nested.update.numpy(), alone.update.numpy(), rtol=1e-12)


def test_the_catalogue_lists_rules_once_though_a_rule_takes_any_rule() -> None:
    paths = [place.path for place in catalogue()]
    assert [path for path in paths if path.startswith("aggregation")] == [
        "aggregation",
        "aggregation.participation",
        "aggregation.beta",
        "aggregation.suspects",
    ]
