"""Presence: one listener told the truth, once, in order, however many schedules change at an instant."""

import math

import numpy as np
import pytest
from simpy import Environment

from flsim.sim.clock import delay_until
from flsim.sim.presence import Presence
from tests.comings import Followed, Listed, fleet, follow


def test_everyone_is_there_for_ever_without_a_schedule() -> None:
    followed = follow(fleet(20), 1e9)
    assert followed.start == [True] * 20
    assert (followed.heard, followed.overs) == ([], [])
    assert followed.presence.next_change() == math.inf


def test_simultaneous_changes_come_in_the_order_of_the_clients() -> None:
    first = Listed([False] * 4, [[5.0, 7.0], [], [5.0], [9.0]])
    second = Listed([False, True, False, False], [[], [5.0], [], [5.0]])
    followed = Followed(4, [first, second], 8.0)
    assert followed.heard == [
        (5.0, 0, False),
        (5.0, 1, True),
        (5.0, 2, False),
        (5.0, 3, False),
        (7.0, 0, True),
    ]


def test_two_clients_come_in_their_order_too() -> None:
    """Though the schedule that comes first changes the second of them."""
    first, second = Listed([False, False], [[], [5.0]]), Listed([False, False], [[5.0], []])
    assert Followed(2, [first, second], 8.0).heard == [(5.0, 0, False), (5.0, 1, False)]


@pytest.mark.parametrize("swapped", [False, True])
def test_a_client_does_not_flicker(swapped: bool) -> None:
    """One reason ends at 5 when another begins: it stays away. At 7 and 9 it is the other way round."""
    schedules = [Listed([True], [[5.0, 7.0, 9.0]]), Listed([False], [[5.0, 7.0, 9.0, 12.0]])]
    followed = Followed(1, schedules[::-1] if swapped else schedules, 20.0)
    assert followed.start == [False]
    assert followed.heard == [(12.0, 0, True)]


def test_a_client_that_leaves_as_it_joins_never_was_there() -> None:
    followed = follow(fleet(3, join=10.0, failure={"lifetime": 0.0}), 100.0)
    assert followed.start == [False] * 3
    assert followed.heard == [(10.0, client, False) for client in range(3)]  # for good, now
    assert all(followed.presence.gone(client) for client in range(3))


def test_reasons_add_up() -> None:
    followed = Followed(
        1, [Listed([False], [[1.0, 10.0]]), Listed([False], [[2.0, 5.0, 20.0, 30.0]])], 50.0
    )
    assert followed.heard == [(1.0, 0, False), (10.0, 0, True), (20.0, 0, False), (30.0, 0, True)]
    assert followed.overs == [30.0]


def test_many_reasons_at_once() -> None:
    """More than fit in a byte."""
    outages = [{"kind": "share", "share": 1.0, "start": 1.0 + i, "duration": 1000.0} for i in range(300)]
    followed = follow(fleet(2, failure={"outages": outages}), 2000.0)
    assert followed.heard == [(1.0, 0, False), (1.0, 1, False), (1300.0, 0, True), (1300.0, 1, True)]


# Away for good


def test_who_leaves_for_good_is_gone_when_that_is_told() -> None:
    env = Environment()
    presence = Presence(env, 2, [Listed([False, False], [[5.0], []])])
    told: list[tuple[float, int, bool, bool]] = []

    def changed(client: int, is_there: bool) -> None:
        told.append((env.now, client, is_there, presence.gone(client)))

    presence.listen(changed, lambda: None)
    assert not presence.gone(0)
    env.run()
    assert told == [(5.0, 0, False, True)]
    assert not presence.gone(1)


def test_who_is_away_and_will_not_come_back_is_told_once_more() -> None:
    """So that a task that waits for its client ends when that has become vain."""
    asleep, lifetime = Listed([False], [[3.0, 20.0, 30.0]]), Listed([False], [[8.0]])
    followed = Followed(1, [asleep, lifetime], 100.0)
    assert followed.heard == [(3.0, 0, False), (8.0, 0, False)]
    assert followed.presence.gone(0)
    assert followed.overs == [8.0]


def test_who_is_gone_from_the_start() -> None:
    followed = Followed(2, [Listed([True, False], [[], []])], 10.0)
    assert followed.start == [False, True]
    assert followed.presence.gone(0)
    assert not followed.presence.gone(1)
    assert followed.presence.next_change() == math.inf


def test_how_many_of_some_clients_are_gone() -> None:
    """The clients 0, 3 and 4 leave for good, and 1 comes back."""
    leaves = [[1.0], [1.0, 2.0], [], [3.0], [4.0]]
    presence = Followed(5, [Listed([False] * 5, leaves)], 9.0).presence
    blocks = [range(5), range(3), range(1, 3), range(1, 4), range(3, 5), range(2, 2)]
    assert [presence.gone_of(block) for block in blocks] == [3, 1, 0, 1, 2, 0]


# In vain


def test_it_is_over_when_the_last_client_has_come_back_although_some_will_leave() -> None:
    schedule = Listed([True, False, False], [[4.0, 50.0], [2.0, 6.0, 60.0], [70.0]])
    env = Environment()
    presence = Presence(env, 3, [schedule])
    overs: list[float] = []
    presence.listen(lambda *_: None, lambda: overs.append(env.now))
    assert presence.next_change() == 2.0
    env.run(until=5.0)
    assert presence.next_change() == 6.0
    env.run(until=6.5)
    assert presence.next_change() == math.inf
    env.run()
    assert overs == [6.0]


def test_to_wait_is_in_vain_from_the_start_if_all_only_leave() -> None:
    followed = follow(fleet(200, failure={"lifetime": {"kind": "exponential", "mean": 100.0}}), 1e-6)
    assert followed.presence.next_change() == math.inf
    assert followed.overs == []


def test_endless_sessions_are_over_when_all_have_left_for_good() -> None:
    sessions = {"kind": "sessions", "on": 3.0, "off": 4.0}
    of = fleet(30, sessions, failure={"lifetime": {"kind": "uniform", "low": 50.0, "high": 90.0}})
    followed = follow(of, 1000.0)
    assert len(followed.overs) == 1
    last = max(changes[-1][0] for changes in followed.changes.values())
    assert followed.overs == [last]
    assert 50.0 < last <= 90.0


def test_endless_sessions_are_never_over() -> None:
    followed = follow(fleet(3, {"kind": "sessions", "on": 3.0, "off": 4.0}), 1000.0)
    assert followed.overs == []
    assert 1000.0 <= followed.presence.next_change() <= 1004.0


def test_it_is_over_when_the_last_has_joined() -> None:
    followed = follow(fleet(9, join={"kind": "uniform", "low": 5.0, "high": 9.0}), 100.0)
    joins = [changes[0] for changes in followed.changes.values()]
    assert followed.overs == [max(instant for instant, _ in joins)]
    assert all(is_there for _, is_there in joins)


# Sent away


def test_who_is_sent_away_comes_back() -> None:
    env = Environment()
    presence = Presence(env, 3, [])
    changes: list[tuple[float, int, bool]] = []
    overs: list[float] = []
    presence.listen(
        lambda client, is_there: changes.append((env.now, client, is_there)), lambda: overs.append(env.now)
    )
    assert presence.next_change() == math.inf
    presence.send_away(1, 4.0)
    presence.send_away(1, 6.0)
    assert presence.there.tolist() == [True, False, True]
    assert presence.next_change() == 4.0
    env.run()
    assert changes == [(0.0, 1, False), (6.0, 1, True)]
    assert overs == [6.0]
    presence.send_away(2, 1.0)
    env.run()
    assert overs == [6.0, 7.0]


def test_a_repair_that_ends_before_all_else_is_not_missed() -> None:
    env = Environment()
    presence = Presence(env, 2, [Listed([False, False], [[100.0, 200.0], []])])
    changes: list[tuple[float, int, bool]] = []
    presence.listen(lambda client, is_there: changes.append((env.now, client, is_there)), lambda: None)
    env.run(until=10.0)
    presence.send_away(1, 5.0)
    presence.send_away(0, 95.0)
    env.run()
    assert changes == [(10.0, 1, False), (10.0, 0, False), (15.0, 1, True), (200.0, 0, True)]


def test_a_repair_too_short_for_the_clock_still_ends() -> None:
    env = Environment(initial_time=1e9)
    presence = Presence(env, 1, [])
    changes: list[bool] = []
    presence.listen(lambda _, is_there: changes.append(is_there), lambda: None)
    presence.send_away(0, 1e-12)
    env.run()
    assert changes == [False, True]
    assert env.now > 1e9


def test_who_comes_back_may_be_sent_away_while_that_is_told() -> None:
    """A listener may send others away in the middle of an instant: all are told the truth in the end."""
    env = Environment()
    presence = Presence(env, 2, [Listed([True, True], [[5.0], [5.0]])])
    changes: list[tuple[float, int, bool]] = []

    def changed(client: int, is_there: bool) -> None:
        changes.append((env.now, client, is_there))
        if (client, is_there, env.now) == (0, True, 5.0):
            presence.send_away(1, 2.0)

    presence.listen(changed, lambda: None)
    env.run()
    assert changes == [(5.0, 0, True), (7.0, 1, True)]


def events_of(env: Environment) -> int:
    steps = 0
    while env.peek() < math.inf:
        env.step()
        steps += 1
    return steps


def test_nobody_wakes_up_for_nothing() -> None:
    """One event for each instant with changes, however many clients and schedules change in it."""
    env = Environment()
    flock = [Listed([False] * 50, [[1.0, 2.0, 3.0]] * 50) for _ in range(3)]
    Presence(env, 50, flock).listen(lambda *_: None, lambda: None)
    assert events_of(env) == 3


def test_a_repair_wakes_up_at_most_twice() -> None:
    """Once for itself, and once more for the change that was to be next."""
    env = Environment()
    presence = Presence(env, 9, [Listed([False] * 9, [[100.0 * i for i in range(1, 11)]] * 9)])
    presence.listen(lambda *_: None, lambda: None)
    for client in range(5):
        presence.send_away(client, 50.0 - client)
    assert events_of(env) <= 10 + 2 * 5


class Noting(Listed):
    """A schedule that notes from when on it is asked to continue."""

    def __init__(self, changes: list[list[float]]) -> None:
        super().__init__([False] * len(changes), changes)
        self.asked: list[float] = []

    def after(self, client: int, now: float, away: bool) -> float:
        self.asked.append(now)
        return super().after(client, now, away)


def test_a_schedule_goes_on_from_its_own_instant() -> None:
    """The clock cannot reach every instant from every other; a history must not depend on that."""
    pairs = np.random.default_rng(0).uniform(0, [1.0, 100.0], (10_000, 2)).tolist()
    before, instant = next((one, two) for one, two in pairs if one + delay_until(one, two) > two > one)
    schedule = Noting([[before], [instant, 2 * instant]])
    followed = Followed(2, [schedule], 1000.0)
    assert followed.heard[1] == (math.nextafter(instant, math.inf), 1, False)
    assert schedule.asked == [before, instant, 2 * instant]
