"""Exact instants, and the order of what happens at one instant."""

import math
import random
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simpy import Environment

from flsim.sim.clock import DECIDE, HAPPEN, SHARE, Signal, call_at, delay_until

INSTANTS = st.floats(0, 1e12, allow_subnormal=False)


@given(INSTANTS, INSTANTS)
def test_a_delay_leads_to_the_instant_or_to_the_float_after_it(one: float, other: float) -> None:
    now, instant = sorted((one, other))
    assert now + delay_until(now, instant) in (instant, math.nextafter(instant, math.inf))


def test_a_delay_leads_to_the_instant_to_the_last_bit_wherever_one_does() -> None:
    dice = random.Random(1)
    inexact = 0
    for _ in range(200_000):
        now, instant = sorted(
            (dice.random() * 10 ** dice.uniform(-6, 12), dice.random() * 10 ** dice.uniform(-6, 12))
        )
        reached = now + delay_until(now, instant)
        if reached == instant:
            continue
        inexact += 1
        near = instant - now
        for delay in (near, math.nextafter(near, 0.0), math.nextafter(near, math.inf)):
            assert now + delay != instant
        assert reached > instant
    assert inexact < 2000


def test_an_instant_that_has_passed_is_now() -> None:
    assert delay_until(3.0, 2.0) == 0.0


def test_a_signal_is_fired_once() -> None:
    env = Environment()
    seen: list[float] = []
    signal = Signal(env)
    signal.callbacks.append(lambda _: seen.append(env.now))
    signal.fire(2.0)
    signal.fire(1.0)
    env.run()
    signal.fire()
    env.run()
    assert seen == [2.0]


@pytest.mark.parametrize("order", list(permutations([HAPPEN, SHARE, DECIDE])))
def test_at_one_instant_things_happen_then_links_are_shared_then_the_server_decides(
    order: tuple[int, ...],
) -> None:
    env = Environment()
    seen: list[int] = []
    for priority in order:
        call_at(env, 5.0, lambda _, priority=priority: seen.append(priority), priority)
    env.run()
    assert seen == [HAPPEN, SHARE, DECIDE]
    assert env.now == 5.0


def test_what_happens_because_of_a_decision_comes_before_the_next_decision() -> None:
    env = Environment()
    seen: list[str] = []

    def decide(_: object) -> None:
        seen.append("decides")
        call_at(env, env.now, lambda _: seen.append("happens"), HAPPEN)

    call_at(env, 1.0, decide, DECIDE)
    call_at(env, 1.0, lambda _: seen.append("decides again"), DECIDE)
    env.run()
    assert seen == ["decides", "happens", "decides again"]


def test_timeouts_of_simpy_happen_with_what_happens() -> None:
    env = Environment()
    seen: list[str] = []
    call_at(env, 1.0, lambda _: seen.append("shared"), SHARE)
    env.timeout(1.0).callbacks.append(lambda _: seen.append("timeout"))
    env.run()
    assert seen == ["timeout", "shared"]


def test_a_call_in_the_past_comes_now() -> None:
    env = Environment(initial_time=7.0)
    seen: list[float] = []
    call_at(env, 3.0, lambda _: seen.append(env.now))
    env.run()
    assert seen == [7.0]
