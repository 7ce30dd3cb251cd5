"""The synchronous strategy, decision by decision."""

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from flsim.policy import Sync
from flsim.policy.view import Aggregate, Discard, Dispatch, Wait
from flsim.tasks import Anchor
from tests.unit.snapshot import Snapshot, arrivals, task

TASKS = tuple(task(number, samples=number + 1) for number in range(6))


def test_a_round_starts_by_asking_the_cohort() -> None:
    assert Sync(cohort=3).decide(Snapshot(idle=10)) == Dispatch((100, 101, 102))
    assert Sync(cohort=3).decide(Snapshot(idle=3, now=50.0, version=4)) == Dispatch((100, 101, 102))


def test_a_round_does_not_start_with_fewer_idle_clients_than_it_asks() -> None:
    assert Sync(cohort=3).decide(Snapshot(idle=2)) == Wait(for_clients=True)
    assert Sync(cohort=3, over_selection=1.1).decide(Snapshot(idle=3)) == Wait(for_clients=True)


@pytest.mark.parametrize(
    ("cohort", "over_selection", "selected"),
    [
        (10, 1.0, 10),
        (10, 1.3, 13),
        (10, 1.31, 14),
        (3, 1.5, 5),
        (100, 1.1, 110),
        (7, 10.0, 70),
        (1, 1.001, 2),
    ],
)
def test_over_selection_asks_that_many(cohort: int, over_selection: float, selected: int) -> None:
    strategy = Sync(cohort=cohort, over_selection=over_selection)
    assert strategy.selected == strategy.clients_needed == selected
    assert strategy.decide(Snapshot(idle=1000)) == Dispatch(tuple(range(100, 100 + selected)))


@given(st.integers(1, 200_000), st.decimals(1, 10, places=9))
@example(53_940, Decimal("8.3"))  # 447,702, and a little more in floating point
@example(1, Decimal("1.000000001"))
def test_over_selection_is_exact_in_decimals(cohort: int, over_selection: Decimal) -> None:
    strategy = Sync(cohort=cohort, over_selection=float(over_selection))
    assert strategy.selected == math.ceil(cohort * Fraction(over_selection))


def test_it_waits_for_the_cohort_for_as_long_as_it_takes() -> None:
    view = Snapshot(now=1e9, idle=50, inbox=arrivals(*TASKS[:2]), out=TASKS[2:3])
    assert Sync(cohort=3).decide(view) == Wait()


def test_it_waits_until_the_deadline() -> None:
    view = Snapshot(now=12.0, last_dispatch_s=10.0, inbox=arrivals(*TASKS[:1]), out=TASKS[1:3])
    assert Sync(cohort=3, deadline=5.0).decide(view) == Wait(15.0)


def test_the_cohort_is_aggregated_by_samples_and_the_rest_is_called_off() -> None:
    view = Snapshot(version=2, inbox=arrivals(*TASKS[:3]), out=TASKS[3:5])
    assert Sync(cohort=3, over_selection=1.5).decide(view) == Aggregate(
        TASKS[:3], (1 / 6, 2 / 6, 3 / 6), Anchor.BASE, discard=TASKS[3:5]
    )


def test_equal_weighting_ignores_the_samples() -> None:
    decision = Sync(cohort=2, weighting="equal").decide(Snapshot(inbox=arrivals(*TASKS[:2])))
    assert decision == Aggregate(TASKS[:2], (0.5, 0.5))


def test_the_first_of_the_cohort_count_and_extra_answers_are_discarded() -> None:
    """More may arrive at one instant than the cohort needs: the order of arrival decides."""
    inbox = arrivals(TASKS[4], TASKS[0], TASKS[2], TASKS[1])
    decision = Sync(cohort=2, over_selection=3).decide(Snapshot(inbox=inbox, out=TASKS[3:4]))
    assert decision == Aggregate(
        (TASKS[4], TASKS[0]), (5 / 6, 1 / 6), discard=(TASKS[2], TASKS[1], TASKS[3])
    )


def test_nothing_starts_while_answers_lie_in_the_inbox() -> None:
    decision = Sync(cohort=2).decide(Snapshot(idle=50, inbox=arrivals(*TASKS[:2])))
    assert isinstance(decision, Aggregate)


@pytest.mark.parametrize("now", [15.0, 15.1])
def test_at_the_deadline_a_quorum_is_enough(now: float) -> None:
    strategy = Sync(cohort=4, deadline=5.0, quorum=2)
    view = Snapshot(now=now, last_dispatch_s=10.0, inbox=arrivals(*TASKS[:2]), out=TASKS[2:4])
    assert strategy.decide(view) == Aggregate(TASKS[:2], (1 / 3, 2 / 3), discard=TASKS[2:4])


def test_just_before_the_deadline_a_quorum_is_not_enough() -> None:
    strategy = Sync(cohort=4, deadline=5.0, quorum=2)
    view = Snapshot(now=14.999, last_dispatch_s=10.0, inbox=arrivals(*TASKS[:2]), out=TASKS[2:4])
    assert strategy.decide(view) == Wait(15.0)


def test_at_the_deadline_without_a_quorum_the_round_is_abandoned() -> None:
    strategy = Sync(cohort=4, deadline=5.0, quorum=3)
    view = Snapshot(now=15.0, last_dispatch_s=10.0, inbox=arrivals(*TASKS[:2]), out=TASKS[2:4], idle=50)
    assert strategy.decide(view) == Discard(TASKS[:4])


def test_at_the_deadline_with_no_answer_the_round_is_abandoned() -> None:
    view = Snapshot(now=15.0, last_dispatch_s=10.0, out=TASKS[:4])
    assert Sync(cohort=4, deadline=5.0).decide(view) == Discard(TASKS[:4])


def test_after_an_abandoned_round_the_next_one_starts() -> None:
    view = Snapshot(now=15.0, last_dispatch_s=10.0, idle=4)
    assert isinstance(Sync(cohort=4, deadline=5.0).decide(view), Dispatch)


def test_when_nobody_is_left_a_quorum_is_enough_before_the_deadline() -> None:
    strategy = Sync(cohort=4, deadline=5.0, quorum=2)
    view = Snapshot(now=11.0, last_dispatch_s=10.0, inbox=arrivals(*TASKS[:2]))
    assert strategy.decide(view) == Aggregate(TASKS[:2], (1 / 3, 2 / 3))


def test_when_nobody_is_left_and_there_is_no_quorum_the_round_is_abandoned() -> None:
    view = Snapshot(now=11.0, inbox=arrivals(*TASKS[:2]))
    assert Sync(cohort=4, quorum=3).decide(view) == Discard(TASKS[:2])


def test_the_cohort_at_the_very_deadline_counts() -> None:
    view = Snapshot(now=15.0, last_dispatch_s=10.0, inbox=arrivals(*TASKS[:2], at_s=15.0), out=TASKS[2:3])
    assert Sync(cohort=2, deadline=5.0, quorum=2).decide(view) == Aggregate(
        TASKS[:2], (1 / 3, 2 / 3), discard=TASKS[2:3]
    )


def test_a_quorum_larger_than_the_cohort_is_refused() -> None:
    Sync(cohort=4, quorum=4)
    with pytest.raises(ValidationError, match="more than the cohort of 4"):
        Sync(cohort=4, quorum=5)


def test_all_asks_of_all_who_are_idle_and_waits_for_every_one() -> None:
    strategy = Sync(cohort="all")
    assert strategy.selected == strategy.clients_needed == 1
    assert strategy.decide(Snapshot(idle=3)) == Dispatch((100, 101, 102))
    assert strategy.decide(Snapshot(idle=0)) == Wait(for_clients=True)
    assert strategy.decide(Snapshot(inbox=arrivals(*TASKS[:5]), out=TASKS[5:6])) == Wait()
    assert strategy.decide(Snapshot(inbox=arrivals(*TASKS[:3]))) == Aggregate(
        TASKS[:3], (1 / 6, 2 / 6, 3 / 6)
    )


def test_all_keeps_to_deadline_and_quorum() -> None:
    strategy = Sync(cohort="all", deadline=5.0, quorum=2)
    late = Snapshot(now=15.0, last_dispatch_s=10.0, inbox=arrivals(*TASKS[:2]), out=TASKS[2:4])
    assert strategy.decide(late) == Aggregate(TASKS[:2], (1 / 3, 2 / 3), discard=TASKS[2:4])
    one = Snapshot(now=15.0, last_dispatch_s=10.0, inbox=arrivals(*TASKS[:1]), out=TASKS[2:4])
    assert strategy.decide(one) == Discard((*TASKS[:1], *TASKS[2:4]))


def test_all_leaves_nobody_to_ask_beyond_it() -> None:
    with pytest.raises(ValidationError, match="nobody to ask beyond it; accepted: 1"):
        Sync(cohort="all", over_selection=1.5)


def test_a_round_does_not_start_before_so_many_clients_are_there() -> None:
    strategy = Sync(cohort=2, min_available=5)
    assert strategy.clients_needed == 5
    assert strategy.decide(Snapshot(idle=4)) == Wait(for_clients=True)
    assert strategy.decide(Snapshot(idle=5)) == Dispatch((100, 101))
    assert Sync(cohort=6, min_available=5).decide(Snapshot(idle=5)) == Wait(for_clients=True)
    assert Sync(cohort="all", min_available=5).decide(Snapshot(idle=4)) == Wait(for_clients=True)


class NobodySuits(Snapshot):
    """A view whose selection asks none of the idle clients."""

    def select(self, count: int, among: NDArray[np.bool_] | None = None) -> tuple[int, ...]:
        return ()


@pytest.mark.parametrize("strategy", [Sync(cohort="all"), Sync(cohort=1)])
def test_a_round_of_nobody_waits_for_clients(strategy: Sync) -> None:
    assert strategy.decide(NobodySuits(idle=3)) == Wait(for_clients=True)


def test_where_rounds_are_drawn_one_of_nobody_is_a_server_update() -> None:
    """Poisson samples count also where nobody is in them: an empty draw, or one of whom nobody answered."""
    strategy = Sync(cohort="all")
    assert strategy.decide(NobodySuits(idle=3, draws_rounds=True)) == Aggregate((), ())
    in_vain = Snapshot(idle=3, version=4, last_dispatch_version=4, draws_rounds=True)
    assert strategy.decide(in_vain) == Aggregate((), ())
    used = Snapshot(idle=3, version=5, last_dispatch_version=4, draws_rounds=True)
    assert strategy.decide(used) == Dispatch((100, 101, 102))
    again = Snapshot(idle=3, version=4, last_dispatch_version=4)
    assert strategy.decide(again) == Dispatch((100, 101, 102))


@pytest.mark.parametrize(
    ("strategy", "may"),
    [
        (Sync(), False),
        (Sync(cohort="all"), False),
        (Sync(over_selection=1.2), True),
        (Sync(deadline=1.0), True),
        (Sync(quorum=2), True),  # fewer may be asked than that
    ],
)
def test_when_a_round_may_discard(strategy: Sync, may: bool) -> None:
    assert strategy.may_discard is may
