"""What releases come to, held against dp-accounting's own compositions and against sums over all nodes."""

import math
import sys
from collections.abc import Mapping, Sequence

import dp_accounting
import numpy as np
import pytest
from dp_accounting import pld, rdp
from hypothesis import given, settings
from hypothesis import strategies as st

from flsim.errors import ScenarioError
from flsim.policy.accountant import events
from flsim.policy.accounting import (
    GaussianLedger,
    Ledger,
    Release,
    SampledLedger,
    TreeLedger,
    gaussian_epsilon,
)
from flsim.policy.skellam import NoisySum
from flsim.policy.targets import calibrated, least_noise

DELTA = 1e-5
NOBODY = Release({})


def entered(ledger: Ledger, releases: Sequence[Mapping[int, float]]) -> float:
    """Enter the releases; before each, the ledger says what it will come to."""
    for ratios in releases:
        before = ledger.after(Release(ratios))
        assert ledger.after(Release(ratios)) == before
        ledger.enter(Release(ratios))
        assert ledger.epsilon == before
    return ledger.epsilon


@pytest.mark.parametrize(
    ("accounting", "accountant"), [("rdp", rdp.RdpAccountant), ("pld", pld.PLDAccountant)]
)
def test_poisson_samples_compose_as_dp_accounting_composes_them(accounting, accountant):
    q, noise, releases = 0.05, 1.1, 4
    sampled = dp_accounting.PoissonSampledDpEvent(q, dp_accounting.GaussianDpEvent(noise))
    expected = accountant().compose(sampled, releases).get_epsilon(DELTA)
    ledger = SampledLedger(q, noise, DELTA, accounting)
    assert ledger.epsilon == 0
    found = entered(ledger, [{}, {1: 5.0}, {}, {2: 0.1}])  # who took part makes no difference
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("accounting", "accountant"), [("rdp", rdp.RdpAccountant), ("pld", pld.PLDAccountant)]
)
def test_participations_compose_as_dp_accounting_composes_gaussians(accounting, accountant):
    gaussians = [dp_accounting.GaussianDpEvent(1 / ratio) for ratio in (0.5, 0.25, 0.8)]
    expected = accountant().compose(dp_accounting.ComposedDpEvent(gaussians)).get_epsilon(DELTA)
    others = {2: 0.3, 3: 0.2}
    releases = [{1: 0.5} | others, others, {1: 0.25}, {1: 0.8} | others]
    found = entered(GaussianLedger(DELTA, accounting), releases)
    assert found == pytest.approx(expected, rel=2e-4 if accounting == "pld" else 1e-9)


def test_the_client_that_was_shown_most_decides():
    ledger = GaussianLedger(DELTA, "rdp")
    alone = GaussianLedger(DELTA, "rdp")
    entered(alone, [{7: 0.5}] * 3)
    found = entered(ledger, [{7: 0.5, 1: 0.4}, {7: 0.5, 2: 0.6}, {7: 0.5, 3: 0.7}])
    assert found == alone.epsilon
    assert entered(ledger, [{1: 0.1}]) == found


def test_nothing_released_is_nothing_spent():
    assert gaussian_epsilon(0.0, DELTA, "pld") == 0
    assert entered(GaussianLedger(DELTA, "rdp"), [{}, {}]) == 0
    assert entered(TreeLedger(DELTA, "rdp"), [{}, {}, {}]) == 0


@pytest.mark.parametrize("updates", [1, 2, 3, 7, 8, 13, 31, 64])
def test_one_participation_in_a_tree_is_what_dp_accounting_makes_of_it(updates):
    accountant = rdp.RdpAccountant(neighboring_relation=dp_accounting.NeighboringRelation.REPLACE_SPECIAL)
    accountant.compose(dp_accounting.SingleEpochTreeAggregationDpEvent(2.0, updates))
    # The first leaf is part of as many nodes as a leaf can be.
    found = entered(TreeLedger(DELTA, "rdp"), [{0: 0.5}, *[{}] * (updates - 1)])
    assert found == pytest.approx(accountant.get_epsilon(DELTA), rel=1e-9)


def nodes_of(updates: int) -> set[tuple[int, int]]:
    """Return the nodes, as the first and the last of their updates, that all prefixes are made of."""
    nodes = set()
    for prefix in range(1, updates + 1):
        end = 0
        for level in reversed(range(prefix.bit_length())):
            if prefix & (1 << level):
                nodes.add((end + 1, end + (1 << level)))
                end += 1 << level
        assert end == prefix
    return nodes


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.dictionaries(st.integers(0, 3), st.floats(0.01, 2.0), max_size=4), min_size=1, max_size=20)
)
def test_any_participations_in_a_tree_are_counted_node_by_node(releases):
    moved = np.zeros((4, len(releases) + 1))
    for update, ratios in enumerate(releases, 1):
        for client, ratio in ratios.items():
            moved[client, update] = ratio
    squares = [
        math.fsum(float(row[first : last + 1].sum()) ** 2 for first, last in nodes_of(len(releases)))
        for row in moved
    ]
    expected = gaussian_epsilon(max(squares), DELTA, "rdp")
    assert entered(TreeLedger(DELTA, "rdp"), releases) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("q", [None, 0.1])
def test_calibrated_noise_keeps_to_the_target_and_no_less_does(q):
    noise = calibrated(4.0, DELTA, 20, q, "rdp")

    def epsilon(multiplier: float) -> float:
        event = dp_accounting.GaussianDpEvent(multiplier)
        one = event if q is None else dp_accounting.PoissonSampledDpEvent(q, event)
        return float(rdp.RdpAccountant().compose(one, 20).get_epsilon(DELTA))

    assert epsilon(noise) <= 4.0
    assert epsilon(noise * 0.999) > 4.0


def test_without_dp_accounting_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dp_accounting", None)
    with pytest.raises(ScenarioError, match=r"privacy: its accounting needs .*'flsim-des\[privacy\]'"):
        events()


def test_a_target_that_no_noise_keeps_to_is_refused() -> None:
    with pytest.raises(ScenarioError) as refused:
        least_noise(lambda multiplier: 2.0, 0.5)
    assert str(refused.value) == "privacy.noise_multiplier: no noise keeps epsilon within 0.5"


def test_sums_without_noise_hide_nothing_and_nothing_is_hidden_by_all() -> None:
    assert NoisySum(4, 0.0, 10).divergence(2) == math.inf
    assert NoisySum(0, 0.0, 10).divergence(2) == 0.0
    assert NoisySum(4, 100.0, 10).epsilon(0, 1e-6) == 0.0
    assert NoisySum(0, 100.0, 10).epsilon(5, 1e-6) == 0.0
    assert NoisySum(4, 100.0, 10).epsilon(5, 1e-6) > 0.0
