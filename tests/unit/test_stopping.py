"""When a run ends."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from flsim.errors import RunError
from flsim.records import VersionRecord
from flsim.scenario.server import Plateau, Stop
from flsim.sim.stopping import Stopping


def stopping(clients: int = 5, **stop: Any) -> Stopping:
    return Stopping(Stop(**stop), clients)


def reason(watch: Stopping, version: int = 0, accuracy: float | None = None) -> str | None:
    ending = watch.ending(version, accuracy)
    return None if ending is None else ending.reason


def test_it_goes_on_until_the_updates_are_made() -> None:
    watch = stopping(updates=3)
    assert [reason(watch, version) for version in (0, 2, 3)] == [None, None, "updates"]


def test_it_can_be_told_of_another_number_of_updates() -> None:
    watch = stopping(updates=3)
    watch.aim(5)
    assert [reason(watch, version) for version in (3, 4, 5)] == [None, None, "updates"]


def test_accuracy_counts_only_once_it_is_known() -> None:
    watch = stopping(updates=9, accuracy=0.5)
    assert reason(watch, 1, None) is None
    assert reason(watch, 1, 0.4999) is None
    assert reason(watch, 1, 0.5) == "accuracy"
    assert reason(watch, 9, 0.9) == "updates"


def row_of(loss: float | None, version: int) -> VersionRecord:
    return VersionRecord(version, 0.0, 1, None, None, loss, None)


def test_a_plateau_is_so_many_tests_that_are_no_better_than_the_best() -> None:
    """Versions that are not tested do not count, and no version counts twice."""
    watch = stopping(updates=99, plateau=Plateau(patience=3, min_delta=0.1))
    reasons = []
    for version, loss in enumerate((2.0, 1.5, 1.45, None, 1.6, 1.3, 1.25, math.nan, None, 1.21)):
        for _ in range(2):
            watch.tested(row_of(loss, version))
        reasons.append(reason(watch, version))
    assert reasons == [None] * 9 + ["plateau"]
    ending = watch.ending(9, None)
    assert ending is not None
    assert ending.detail == "3 tests in a row were no better than a loss of 1.3000"


def test_so_many_clients_that_have_converged_are_a_share_of_all() -> None:
    """Whatever the share is in binary: 55 of 100 are 0.55, though 0.55 x 100 is a little more than 55."""
    for clients in (1, 2, 3, 7, 10, 49, 100, 1000):
        for count in range(1, clients + 1):
            watch = stopping(clients, updates=9, converged=count / clients)
            for converged, expected in ((count - 1, None), (count, "converged"), (0, None)):
                watch.updated(converged)
                assert reason(watch) == expected


@pytest.mark.parametrize(("loss", "expected"), [(0.75, "plateau"), (math.nextafter(0.75, 0.0), None)])
def test_an_improvement_by_just_what_is_asked_for_is_none(loss: float, expected: str | None) -> None:
    watch = stopping(updates=99, plateau=Plateau(patience=1, min_delta=0.25))
    watch.tested(row_of(1.0, 0))
    assert reason(watch, 0) is None
    watch.tested(row_of(loss, 1))
    assert reason(watch, 1) == expected


def test_nothing_has_been_tested_or_has_converged_at_the_start() -> None:
    assert reason(stopping(updates=99, plateau=Plateau(patience=1))) is None
    assert reason(stopping(clients=1, updates=99, converged=1.0)) is None


def test_a_first_test_that_is_no_number_is_no_better() -> None:
    """Whichever version it is of."""
    watch = stopping(updates=99, plateau=Plateau(patience=2))
    watch.tested(row_of(math.nan, 1))
    assert reason(watch, 1) is None
    watch.tested(row_of(math.nan, 2))
    assert reason(watch, 2) == "plateau"


def test_without_patience_asked_for_no_plateau_ends_a_run() -> None:
    watch = stopping(updates=99)
    for version in range(50):
        watch.tested(row_of(1.0, version))
    assert reason(watch, 50) is None


def test_accuracy_is_ignored_where_none_is_asked_for() -> None:
    assert reason(stopping(updates=9), 1, 1.0) is None


def test_time_is_up_at_the_instant() -> None:
    watch = stopping(time=10.0)
    assert watch.decides(math.nextafter(10.0, 0.0)) is None
    ending = watch.decides(10.0)
    assert ending is not None
    assert (ending.reason, ending.detail) == ("time", "10 s of virtual time have passed")
    assert stopping(updates=1).decides(1e300) is None


def test_failures_in_a_row_are_a_stall() -> None:
    watch = stopping(updates=9)
    watch.dispatched(50)
    watch.dispatched(20)
    for _ in range(1499):
        watch.failed()
    assert reason(watch) is None
    watch.failed()
    assert reason(watch) == "stalled"


def test_an_arrival_between_failures_is_a_sign_of_life() -> None:
    watch = stopping(updates=9)
    for _ in range(10_000):
        watch.failed()
        watch.arrived()
    assert reason(watch) is None


def test_discards_without_a_server_update_are_a_stall_where_no_time_ends_the_run() -> None:
    ends, goes_on = stopping(updates=9), stopping(updates=9, time=1e9)
    for watch in (ends, goes_on):
        for _ in range(999):
            watch.arrived()  # arrivals that are all discarded are no sign of life
            watch.discarded()
        assert reason(watch) is None
        watch.discarded()
    assert (reason(ends), reason(goes_on)) == ("stalled", None)
    ends.updated(0)
    assert reason(ends) is None


def test_clients_that_come_in_vain_are_a_stall() -> None:
    watch = stopping(clients=2, updates=9)
    for _ in range(1199):
        watch.client_came()
    assert reason(watch) is None
    watch.client_came()
    assert reason(watch) == "stalled"
    watch.dispatched(1)
    assert reason(watch) is None


def test_times_that_are_waited_for_in_vain_are_a_stall() -> None:
    watch = stopping(updates=9)
    for _ in range(99_999):
        watch.timer_over()
    assert reason(watch) is None
    watch.timer_over()
    ending = watch.ending(0, None)
    assert ending is not None
    assert ending.reason == "stalled"
    assert "let 100,000 times that it waited for pass" in ending.detail


def test_a_run_that_ends_by_its_time_may_let_more_times_pass() -> None:
    watch = stopping(time=1e9)
    watch._vain_timers = 999_999  # to count so far takes a second
    assert reason(watch) is None
    watch.timer_over()
    assert reason(watch) == "stalled"


SIGNS_OF_LIFE: dict[str, Callable[[Stopping], None]] = {
    "dispatched": lambda watch: watch.dispatched(1),
    "arrived": lambda watch: watch.arrived(),
    "failed": lambda watch: watch.failed(),
    "updated": lambda watch: watch.updated(0),
}


@pytest.mark.parametrize("sign", SIGNS_OF_LIFE)
def test_times_are_counted_anew_when_something_happens(sign: str) -> None:
    watch = stopping(updates=9)
    for _ in range(2):
        watch._vain_timers = 99_999
        SIGNS_OF_LIFE[sign](watch)
        assert watch._vain_timers == 0


@pytest.mark.parametrize(
    ("sign", "count", "most"),
    [
        ("arrived", Stopping.failed, 1000),
        ("updated", Stopping.discarded, 1000),
        ("dispatched", Stopping.client_came, 1500),
    ],
)
def test_what_came_to_nothing_is_counted_anew_from_a_sign_of_life(
    sign: str, count: Callable[[Stopping], None], most: int
) -> None:
    watch = stopping(clients=5, updates=9)
    for _ in range(2):
        SIGNS_OF_LIFE[sign](watch)
        for _ in range(most - 1):
            count(watch)
        assert reason(watch) is None
    count(watch)
    assert reason(watch) == "stalled"


def test_nothing_to_come() -> None:
    assert stopping(updates=1).nothing_to_come(idle=0, for_clients=True).reason == "no clients"
    too_few = stopping(updates=1).nothing_to_come(idle=4, for_clients=True)
    assert too_few.reason == "no clients"
    assert "more than the 4 idle clients" in too_few.detail
    stalled = stopping(updates=1).nothing_to_come(idle=4, for_clients=False)
    assert stalled.reason == "stalled"
    assert "4 idle clients" in stalled.detail


def test_deciding_for_ever_at_one_instant_is_an_error() -> None:
    watch = stopping(clients=3, updates=1)
    for _ in range(10_030):
        watch.decides(7.0)
    with pytest.raises(RunError, match="stands still at 7 s: the strategy has decided 10031 times"):
        watch.decides(7.0)


def test_deciding_for_ever_while_time_passes_is_none() -> None:
    watch = stopping(clients=3, updates=1)
    assert all(watch.decides(step * 1e-6) is None for step in range(50_000))
