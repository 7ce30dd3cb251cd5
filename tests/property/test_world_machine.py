"""Random interleavings of all that happens to tasks, in the world and in one that can be seen through.

A person's hand is in place of the strategy: it asks clients, aggregates, discards, sets deadlines and lets
time pass; clients leave and return, and the server goes down. After every step, both worlds must agree.

Durations are multiples of a quarter of a second, so that much happens at one instant. Who leaves does so a
little later, each time by another power of two, and never at the instant at which its own stage ends: there
is no rule for which of the two comes first. All of it is exact in floating point.
"""

import itertools
from typing import Any

import pytest
from hypothesis import note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from flsim.policy.view import Aggregate, Discard, Dispatch
from flsim.scenario import scenario_from
from flsim.sim.server import Server
from flsim.sim.surroundings import Moment
from flsim.sim.timing import NoLearner
from tests.memory import MemoryJournal, world_of
from tests.property.reference_world import ReferenceWorld, Setting, facts_of
from tests.property.scripted import HORIZON_S, Scripted

DOWN_BYTES, UP_BYTES, RATE, LATENCY_S = 64, 32, 64, 0.25
QUARTERS = st.integers(1, 8).map(lambda count: count / 4)


class TwoWorlds(RuleBasedStateMachine):
    """The world and the reference, side by side."""

    @initialize(
        compute=st.lists(QUARTERS, min_size=2, max_size=4),
        outages=st.lists(st.tuples(st.integers(1, 12), QUARTERS), max_size=2),
        pauses=st.booleans(),
    )
    def begin(self, compute: list[float], outages: list[tuple[int, float]], pauses: bool) -> None:
        self._offsets = (2.0**-power for power in itertools.count(8))
        spans = tuple((start + next(self._offsets), length) for start, length in outages)
        until = tuple((start, start + length) for start, length in spans)
        setting = Setting(tuple(compute), DOWN_BYTES, UP_BYTES, RATE, LATENCY_S, until, pauses)
        self.reference = ReferenceWorld(setting)
        Scripted.orders.clear()
        Scripted.deadline.clear()
        self._over = False
        self.journal = MemoryJournal()
        scenario = scenario_from(_scenario(compute, spans, pauses))
        self.world = world_of(scenario)
        self.env = self.world.env
        self._start()

    def _start(self) -> None:
        """Let the world begin, and keep its server."""
        around = self.world.surroundings(NoLearner(), self.journal, self._watch)
        self.server = Server(self.world.scenario, around)
        self.world.presence.listen(self.server.client_changed, self.server.wake)
        self.process = self.env.process(self.server.run())
        self._settle()

    def _watch(self, _: Moment) -> bool:
        return not self._over

    def _settle(self) -> None:
        """Let everything happen that happens now."""
        for _ in range(1_000):
            if self.env.peek() > self.env.now:
                return
            self.env.step()
        pytest.fail("time stands still")

    def _pass(self, seconds: float) -> None:
        until = self.env.now + seconds
        if until > self.env.now:
            self.env.run(until=until)
        self._settle()
        self.reference.advance(until)

    def _order(self, decision: Any) -> None:
        Scripted.orders.append(decision)
        self.server.wake()
        self._settle()
        assert not Scripted.orders

    # What happens

    @rule(seconds=QUARTERS)
    def time_passes(self, seconds: float) -> None:
        self._pass(seconds)

    @precondition(lambda self: self.reference.out)
    @rule()
    def time_passes_until_something_happens(self) -> None:
        self._pass(min(4.0, self.env.peek() - self.env.now))

    @precondition(lambda self: self.reference.is_up and self.reference.idle)
    @rule(data=st.data())
    def ask(self, data: st.DataObject) -> None:
        idle = sorted(self.reference.idle)
        clients = tuple(data.draw(st.lists(st.sampled_from(idle), min_size=1, unique=True)))
        self._order(Dispatch(clients))
        self.reference.dispatch(clients)

    @precondition(lambda self: self.reference.is_up and self.reference.inbox)
    @rule(data=st.data(), discards=st.booleans())
    def aggregate(self, data: st.DataObject, discards: bool) -> None:
        arrived = {arrival.task.id: arrival.task for arrival in self.server._view.inbox}
        used = data.draw(st.lists(st.sampled_from(sorted(arrived)), min_size=1, unique=True))
        weights = data.draw(st.lists(st.floats(0, 1), min_size=len(used), max_size=len(used)))
        rest = [task for task in arrived if task not in used] if discards else []
        tasks, discard = ([arrived[task] for task in some] for some in (used, rest))
        self._order(Aggregate(tuple(tasks), tuple(weights), discard=tuple(discard)))
        self.reference.aggregate(used, weights, rest)

    @precondition(lambda self: self.reference.is_up and (self.reference.inbox or self.reference.out))
    @rule(data=st.data())
    def abort(self, data: st.DataObject) -> None:
        """Discard a task, under way or arrived."""
        view = self.server._view
        tasks = [arrival.task for arrival in view.inbox] + list(view.outstanding())
        chosen = data.draw(st.sampled_from(tasks))
        self._order(Discard((chosen,)))
        self.reference.discard([chosen.id])

    @precondition(lambda self: self.reference.is_up and self.reference.out and not Scripted.deadline)
    @rule(seconds=st.sampled_from([1.5, 3.0, 6.0]))
    def set_a_deadline(self, seconds: float) -> None:
        Scripted.deadline[:] = [self.env.now + seconds]
        self.server.wake()
        self._settle()
        self.reference.deadline = self.env.now + seconds

    @rule(data=st.data(), seconds=QUARTERS)
    def a_client_leaves(self, data: st.DataObject, seconds: float) -> None:
        client = data.draw(st.sampled_from(range(len(self.reference.setting.compute_s))))
        self._pass(next(self._offsets))
        note(f"client {client} leaves at {self.env.now}")
        self.world.presence.send_away(client, seconds)
        self._settle()
        self.reference.leave(client, seconds)

    # What must hold

    @invariant()
    def the_worlds_agree(self) -> None:
        if not hasattr(self, "process"):
            return
        reference, view = self.reference, self.server._view
        assert self.journal.tasks == reference.rows
        assert [facts_of(version) for version in self.journal.versions] == reference.versions[
            : len(self.journal.versions)
        ]
        assert view.version == reference.version
        assert [task.id for task in view.outstanding()] == [job.task for job in reference.out.values()]
        arrivals = [(arrival.task.id, arrival.arrived_s) for arrival in view.inbox]
        assert arrivals == [(job.task, job.ended_s) for job in reference.inbox]
        assert set(self.server._idle) == reference.idle

    def teardown(self) -> None:
        if not hasattr(self, "process"):
            return
        self._over = True
        for _ in range(100):  # it looks whether somebody ends the run at every so many wakes
            self.server.wake()
            self._settle()
        assert not self.process.is_alive
        self.reference.finish()
        assert self.journal.tasks == self.reference.rows
        assert [facts_of(version) for version in self.journal.versions] == self.reference.versions


def _scenario(compute: list[float], outages: Any, pauses: bool) -> dict[str, Any]:
    on_leave = "pause" if pauses else "abort"
    share = 1 / len(compute)
    return {
        "name": "two-worlds",
        "workload": {"kind": "synthetic", "download": DOWN_BYTES, "upload": UP_BYTES, "samples": 1},
        "fleet": {
            "clients": len(compute),
            "class_order": "listed",
            "classes": [
                {"name": f"c{place}", "share": share, "compute": {"kind": "duration", "task": seconds}}
                for place, seconds in enumerate(compute)
            ],
            "availability": {"kind": "always", "on_leave": on_leave},
            "failure": {
                "outages": [
                    {"kind": "server", "start": start, "duration": length} for start, length in outages
                ]
            },
        },
        "network": {
            "downlink": 8 * RATE,
            "uplink": 8 * RATE,
            "latency": LATENCY_S,
            "sharing": "none",
        },
        "strategy": {"kind": "tests.property.scripted:Scripted"},
        "stop": {"time": 2 * HORIZON_S},
    }


TestTwoWorlds = TwoWorlds.TestCase
TestTwoWorlds.settings = settings(max_examples=400, stateful_step_count=40)
