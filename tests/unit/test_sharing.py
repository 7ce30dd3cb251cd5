"""The alarm of a link: only its latest setting counts."""

from simpy import Environment

from flsim.sim.network.sharing import Alarm


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
