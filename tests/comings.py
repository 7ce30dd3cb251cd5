"""Fleets that come and go without a server, for the tests of what keeps clients away."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from simpy import Environment

from flsim.errors import ScenarioError
from flsim.scenario import Scenario, scenario_from
from flsim.sim.devices import draw_devices
from flsim.sim.presence import Presence
from flsim.sim.schedules.build import build_schedules
from flsim.sim.schedules.schedule import Flags, Instants, Outlook, Schedule
from tests.memory import timing

Changes = dict[int, list[tuple[float, bool]]]


def fleet(clients: int, availability: Any = None, seed: int = 0, **sections: Any) -> Scenario:
    """Return a scenario with this availability and these other sections of `fleet`."""
    data = timing(clients, 1.0, {"kind": "fedasync", "concurrency": 1}, {"updates": 1}, seed=seed)
    if availability is not None:
        data["fleet"]["availability"] = availability
    if "classes" in sections:
        del data["fleet"]["compute"]
    data["fleet"] |= sections
    return scenario_from(data)


def no_regions(node: str) -> list[int]:
    """Refuse a node, as a star does."""
    raise ScenarioError(f"the star has no node '{node}'")


def schedules_of(of: Scenario) -> list[Schedule]:
    """Return what keeps the clients away."""
    return build_schedules(of, draw_devices(of), no_regions)


class Followed:
    """What a listener hears until some moment."""

    def __init__(self, clients: int, schedules: Sequence[Schedule], until_s: float) -> None:
        self.env = Environment()
        self.presence = Presence(self.env, clients, schedules)
        self.start: list[bool] = self.presence.there.tolist()
        self.changes: Changes = defaultdict(list)
        self.heard: list[tuple[float, int, bool]] = []
        self.overs: list[float] = []
        self.presence.listen(self._changed, lambda: self.overs.append(self.env.now))
        self.env.run(until=until_s)

    def _changed(self, client: int, is_there: bool) -> None:
        self.changes[client].append((self.env.now, is_there))
        self.heard.append((self.env.now, client, is_there))

    def there_at(self, client: int, now: float) -> bool:
        """Return whether a client was there just after an instant."""
        past = [is_there for instant, is_there in self.changes[client] if instant <= now]
        return past[-1] if past else self.start[client]


def follow(of: Scenario, until_s: float) -> Followed:
    """Let a scenario's clients come and go until then."""
    return Followed(of.fleet.clients, schedules_of(of), until_s)


def on_the_clock(heard_s: float, instant: float) -> bool:
    """Return whether this is when an instant is heard of: the clock may be one float late."""
    return heard_s in (instant, np.nextafter(instant, np.inf))


def history(schedule: Schedule, client: int, until_s: float) -> list[float]:
    """Return the instants at which one client changes in one schedule, asked by itself."""
    away, first = schedule.start()
    now, is_away = first.item(client), away.item(client)
    instants = []
    while now < until_s:
        instants.append(now)
        is_away = not is_away
        now = schedule.after(client, now, is_away)
    return instants


class Listed:
    """A schedule from a list: the instants at which each client changes, beginning there or away."""

    def __init__(self, away: Sequence[bool], changes: Sequence[Sequence[float]]) -> None:
        self._away = away
        self._changes = changes
        self._passed = [0] * len(away)

    def start(self) -> tuple[Flags, Instants]:
        first = [changes[0] if changes else np.inf for changes in self._changes]
        return np.array(self._away, dtype=np.bool_), np.array(first, dtype=np.float64)

    def after(self, client: int, now: float, away: bool) -> float:
        self._passed[client] += 1
        rest = self._changes[client][self._passed[client] :]
        return rest[0] if rest else np.inf

    def outlook(self) -> Outlook:
        returns, gone = [], []
        for away, changes in zip(self._away, self._changes, strict=True):
            comes = changes[0 if away else 1 :: 2]
            ends_away = away == (len(changes) % 2 == 0)
            returns.append(comes[-1] if comes else -np.inf)
            gone.append((changes[-1] if changes else 0.0) if ends_away else np.inf)
        return Outlook(np.array(returns, dtype=np.float64), np.array(gone, dtype=np.float64))
