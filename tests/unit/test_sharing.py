"""The alarm of a link: only its latest setting counts. Rates: shared out once for all of an instant."""

from collections import Counter
from typing import Any

import pytest
from simpy import Environment

from flsim.sim.clock import SHARE
from flsim.sim.network.fair import FairLink
from flsim.sim.network.sharing import Alarm
from tests.flows import Drive, Flow, changing, one_link_of_a_mesh, single
from tests.rounds import WIDE, exactly


class Counting(Environment):
    """Counts how often rates are shared out at each instant."""

    def __init__(self) -> None:
        super().__init__()
        self.shared: Counter[float] = Counter()

    def schedule(self, event: Any, priority: Any = 1, delay: float = 0) -> None:
        if priority == SHARE:
            self.shared[self.now] += 1
        super().schedule(event, priority, delay)


def test_setting_it_anew_makes_earlier_settings_void() -> None:
    env = Environment()
    rung: list[float] = []
    alarm = Alarm(env, lambda: rung.append(env.now))
    alarm.set(1.0)
    alarm.set(3.0)
    alarm.set(2.0)
    env.run()
    assert rung == [2.0]


def test_an_infinite_instant_turns_it_off() -> None:
    env = Environment()
    rung: list[float] = []
    alarm = Alarm(env, lambda: rung.append(env.now))
    alarm.set(1.0)
    alarm.set(float("inf"))
    env.run()
    assert rung == []


@pytest.mark.parametrize("link_class", [FairLink, one_link_of_a_mesh])
def test_rates_are_shared_out_once_however_much_happens_at_an_instant(
    link_class: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """4 Mbit/s: at 1 s the capacity halves, two flows end, one is withdrawn and two join."""
    monkeypatch.setattr("tests.flows.Environment", Counting)
    flows = [
        Flow(WIDE, 250_000),
        Flow(WIDE, 125_000),
        Flow(WIDE, 750_000, withdraw_s=1.0),
        Flow(WIDE, 250_000, 1.0),
        Flow(0.5e6, 125_000, 1.0),
        Flow(1e6, 125_000),
    ]
    drive = Drive(single(link_class, changing((0.0, 4e6), (1.0, 2e6))), flows)
    assert isinstance(drive.env, Counting)
    ends = drive.run().ends_s
    assert ends[:3] == [exactly(7 / 3), exactly(1.0), None]
    assert set(drive.env.shared) == {0.0, 1.0, *(end for end in ends if end is not None)}
    assert set(drive.env.shared.values()) == {1}
