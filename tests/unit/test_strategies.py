"""What strategies say of themselves, held against what they decide."""

from itertools import product

import pytest

from flsim.policy import FedAsync, FedAT, FedBuff, Port, Strategy, Sync
from flsim.policy.view import Aggregate, Decision, Discard, View, Wait
from tests.unit.snapshot import Snapshot, arrivals, task

TASKS = tuple(task(number, base_version=20) for number in range(12))
OLD = tuple(task(number, base_version=0) for number in range(12))


def late(updates: int) -> Snapshot:
    """Return a view in which so many updates have come, long ago, and nothing is under way any more."""
    return Snapshot(now=1e6, version=20, inbox=arrivals(*TASKS[:updates]))


@pytest.mark.parametrize(
    ("strategy", "fewest"),
    [
        (Sync(cohort=10), 1),
        (Sync(cohort=10, quorum=4), 4),
        (Sync(cohort="all", quorum=3), 3),
        (FedBuff(buffer_size=6), 6),
        (FedBuff(round_duration=3.0), 1),
        (Port(buffer_size=5), 5),
        (FedAsync(), 1),
        (FedAT(), 1),
    ],
    ids=str,
)
def test_no_version_is_made_of_fewer_updates_than_it_says(strategy: Strategy, fewest: int) -> None:
    makes = [isinstance(strategy.decide(late(updates)), Aggregate) for updates in range(1, 8)]
    assert makes == [updates >= fewest for updates in range(1, 8)]
    assert strategy.fewest_updates == fewest


@pytest.mark.parametrize(
    ("strategy", "updates"),
    [(Sync(cohort=8), 8), (FedBuff(buffer_size=4), 4), (Port(buffer_size=5), 5), (FedAsync(mixing=0.3), 1)],
    ids=str,
)
def test_the_weight_in_a_full_server_update_is_what_it_says(strategy: Strategy, updates: int) -> None:
    decision = strategy.decide(late(updates))
    assert isinstance(decision, Aggregate)
    assert decision.weights == (strategy.full_weight,) * updates


@pytest.mark.parametrize("strategy", [Sync(cohort="all"), FedBuff(round_duration=3.0), FedAT()], ids=str)
def test_where_any_number_may_come_no_weight_is_said(strategy: Strategy) -> None:
    for updates in (2, 3):
        decision = strategy.decide(late(updates))
        assert isinstance(decision, Aggregate)
        assert decision.weights == (1 / updates,) * updates
    assert strategy.full_weight is None


@pytest.mark.parametrize(
    ("strategy", "may"),
    [
        (FedAsync(), False),
        (FedAsync(max_staleness=5), True),
        (FedBuff(buffer_size=3), False),
        (FedBuff(round_duration=3.0, max_staleness=0), True),
        (Port(buffer_size=3), False),
        (Port(buffer_size=3, max_staleness=1), False),
        (FedAT(), False),
    ],
    ids=str,
)
def test_updates_are_discarded_only_where_it_says_so(strategy: Strategy, may: bool) -> None:
    """Whatever has arrived and is under way, of whatever version."""

    def discards(view: Snapshot) -> bool:
        decision = strategy.decide(view)
        return isinstance(decision, Discard) or (isinstance(decision, Aggregate) and decision.discard != ())

    views = [
        Snapshot(now=1e6, version=20, inbox=arrivals(*tasks[:came]), out=other[6 : 6 + out])
        for tasks, other, came, out in product((TASKS, OLD), (TASKS, OLD), range(6), range(6))
    ]
    assert any(map(discards, views)) == may
    assert strategy.may_discard is may


class Silent(Strategy):
    """Says nothing of itself."""

    kind: str = "silent"

    def decide(self, view: View) -> Decision:
        return Wait()

    @property
    def clients_needed(self) -> int:
        return 1


def test_nothing_is_taken_for_granted_of_a_strategy_that_says_nothing() -> None:
    """So its tasks train only when their updates are used, and rules have to do with a single update."""
    silent = Silent()
    assert silent.may_discard is True
    assert silent.fewest_updates == 1
    assert silent.groups == 1
    assert silent.full_weight is None
