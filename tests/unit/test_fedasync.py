"""FedAsync, decision by decision."""

import numpy as np
import pytest
from numpy.typing import NDArray

from flsim.policy import FedAsync
from flsim.policy.staleness import HingeStaleness, PolynomialStaleness
from flsim.policy.view import Aggregate, Discard, Dispatch, Wait
from flsim.tasks import Anchor
from tests.unit.snapshot import Snapshot, arrivals, task

OUT = tuple(task(number) for number in range(50, 54))


def test_it_fills_the_free_slots() -> None:
    assert FedAsync(concurrency=4).decide(Snapshot(idle=9)) == Dispatch((100, 101, 102, 103))
    assert FedAsync(concurrency=4).decide(Snapshot(idle=9, out=OUT[:3])) == Dispatch((100,))


def test_it_takes_whoever_is_idle() -> None:
    assert FedAsync(concurrency=4).decide(Snapshot(idle=2)) == Dispatch((100, 101))
    assert FedAsync(concurrency=4).decide(Snapshot(idle=1, out=OUT[:2])) == Dispatch((100,))


def test_where_nobody_is_idle_nobody_is_drawn() -> None:
    """A draw of nobody would be a selection like others, and change who is drawn later."""

    class Undrawn(Snapshot):
        def select(self, count: int, among: NDArray[np.bool_] | None = None) -> tuple[int, ...]:
            raise AssertionError

    assert FedAsync(concurrency=4).decide(Undrawn(idle=0, out=OUT[:3])) == Wait(for_clients=True)


def test_it_waits_for_updates_when_all_slots_are_taken() -> None:
    assert FedAsync(concurrency=4).decide(Snapshot(idle=9, out=OUT)) == Wait()


def test_it_waits_for_clients_too_when_a_slot_is_free() -> None:
    assert FedAsync(concurrency=4).decide(Snapshot(idle=0, out=OUT[:3])) == Wait(for_clients=True)
    assert FedAsync(concurrency=4).decide(Snapshot(idle=0)) == Wait(for_clients=True)


@pytest.mark.parametrize(
    ("strategy", "base_version", "weight"),
    [
        (FedAsync(mixing=0.6), 9, 0.6),
        (FedAsync(mixing=0.6), 1, 0.6),
        (FedAsync(mixing=1.0, staleness=PolynomialStaleness(a=0.5)), 9, 1.0),
        (FedAsync(mixing=0.6, staleness=PolynomialStaleness(a=0.5)), 6, 0.6 * 4**-0.5),
        (FedAsync(mixing=0.5, staleness=HingeStaleness(a=10.0, b=4)), 5, 0.5),
        (FedAsync(mixing=0.5, staleness=HingeStaleness(a=10.0, b=4)), 3, 0.5 / 21),
    ],
)
def test_the_weight_is_mixing_times_the_factor(
    strategy: FedAsync, base_version: int, weight: float
) -> None:
    """Xie et al.: x <- (1 - a) x + a x_local, so the anchor is the current version."""
    update = task(0, base_version=base_version, samples=99)
    decision = strategy.decide(Snapshot(version=9, inbox=arrivals(update)))
    assert decision == Aggregate((update,), (pytest.approx(weight, rel=1e-15),), Anchor.CURRENT)


def test_updates_are_mixed_one_at_a_time_in_order_of_arrival() -> None:
    first, second = task(7, base_version=1), task(2, base_version=3)
    inbox = arrivals(first, second, at_s=[1.0, 2.0])
    strategy = FedAsync(concurrency=1, mixing=0.5, staleness=PolynomialStaleness(a=1.0))
    assert strategy.decide(Snapshot(version=3, idle=9, inbox=inbox)) == Aggregate(
        (first,), (0.5 / 3,), Anchor.CURRENT
    )
    assert strategy.decide(Snapshot(version=4, idle=9, inbox=inbox[1:])) == Aggregate(
        (second,), (0.25,), Anchor.CURRENT
    )
    assert isinstance(strategy.decide(Snapshot(version=5, idle=9)), Dispatch)


def test_an_update_beyond_the_cut_off_is_discarded_when_its_turn_comes() -> None:
    """Not before: mixing in what came first makes what follows staler."""
    fresh, stale = task(2, base_version=7), task(0, base_version=6)
    strategy = FedAsync(max_staleness=3)
    assert strategy.decide(Snapshot(version=10, idle=9, inbox=arrivals(fresh, stale))) == Aggregate(
        (fresh,), (0.6,), Anchor.CURRENT
    )
    assert strategy.decide(Snapshot(version=10, idle=9, inbox=arrivals(stale, fresh))) == Discard((stale,))


def test_a_cut_off_of_zero_keeps_only_what_is_fresh() -> None:
    strategy = FedAsync(max_staleness=0)
    assert isinstance(
        strategy.decide(Snapshot(version=1, inbox=arrivals(task(0, base_version=1)))), Aggregate
    )
    assert isinstance(
        strategy.decide(Snapshot(version=1, inbox=arrivals(task(0, base_version=0)))), Discard
    )


def test_without_a_cut_off_nothing_is_too_stale() -> None:
    decision = FedAsync().decide(Snapshot(version=10**6, inbox=arrivals(task(0))))
    assert isinstance(decision, Aggregate)
    assert FedAsync().too_stale(arrivals(task(0)), 10**6) == ()


def test_it_needs_as_many_clients_as_slots() -> None:
    assert FedAsync(concurrency=7).clients_needed == 7
