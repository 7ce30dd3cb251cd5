"""When a run ends."""

import math

import pytest

from flsim.errors import RunError
from flsim.scenario.server import Stop
from flsim.sim.stopping import Stopping


def stopping(clients: int = 5, **stop: float) -> Stopping:
    return Stopping(Stop(**stop), clients)  # type: ignore[arg-type]


def reason(watch: Stopping, version: int = 0, accuracy: float | None = None) -> str | None:
    ending = watch.ending(version, accuracy)
    return None if ending is None else ending.reason


def test_it_goes_on_until_the_updates_are_made() -> None:
    watch = stopping(updates=3)
    assert [reason(watch, version) for version in (0, 2, 3)] == [None, None, "updates"]


def test_accuracy_counts_only_once_it_is_known() -> None:
    watch = stopping(updates=9, accuracy=0.5)
    assert reason(watch, 1, None) is None
    assert reason(watch, 1, 0.4999) is None
    assert reason(watch, 1, 0.5) == "accuracy"
    assert reason(watch, 9, 0.9) == "updates"


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
    ends.updated()
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
