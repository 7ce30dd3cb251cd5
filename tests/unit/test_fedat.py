"""FedAT: rounds within tiers, decision by decision and in runs."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar

import pytest

from flsim.errors import RunError
from flsim.policy import FedAT, FedBuff, Strategy
from flsim.policy.view import Aggregate, Decision, Dispatch, View, Wait
from flsim.records import Outcome, TaskRecord
from flsim.sim.world import simulate
from tests.known import facts
from tests.memory import MemoryJournal, classes, simulated, timing
from tests.tiny import Tiny, scenario_data, tiny
from tests.unit.snapshot import Snapshot, arrivals, task

# Of 104 clients, 100 and 101 are in the first tier and 102 and 103 in the second; the others are not there.
KNOWN = facts(104, profile_s=[0.0] * 50 + [9.0] * 50 + [1.0, 2.0, 6.0, 5.0])
TWO = FedAT(tiers=2, cohort=2)


def snapshot(idle: int = 4, **values: Any) -> Snapshot:
    return Snapshot(idle=idle, known=KNOWN, **values)


def test_the_first_tier_without_a_round_starts_one() -> None:
    assert TWO.decide(snapshot()) == Dispatch((100, 101))
    assert TWO.decide(snapshot(out=(task(100),))) == Dispatch((102, 103))
    assert FedAT(tiers=2, cohort=1).decide(snapshot(out=(task(103),))) == Dispatch((100,))


def test_a_tier_with_fewer_idle_clients_than_the_cohort_asks_them_all() -> None:
    assert FedAT(tiers=2, cohort=9).decide(snapshot()) == Dispatch((100, 101))
    assert FedAT(tiers=2, cohort=9).decide(snapshot(idle=3, out=(task(0),))) == Dispatch((102,))


def test_a_round_goes_on_until_nobody_of_its_tier_is_under_way() -> None:
    inbox = arrivals(task(101))
    assert TWO.decide(snapshot(idle=0, inbox=inbox, out=(task(100), task(102)))) == Wait()
    done = TWO.decide(snapshot(idle=0, inbox=inbox, out=(task(102),)))
    assert done == Aggregate((task(101),), (1.0,), group=0)


def test_the_round_of_one_tier_does_not_wait_for_another() -> None:
    inbox = arrivals(task(100), task(103), task(102))
    decision = TWO.decide(snapshot(inbox=inbox, out=(task(101),)))
    assert decision == Aggregate((task(103), task(102)), (0.5, 0.5), group=1)


@pytest.mark.parametrize(("weighting", "weights"), [("samples", (0.75, 0.25)), ("equal", (0.5, 0.5))])
def test_weights_within_a_tier(weighting: Any, weights: tuple[float, ...]) -> None:
    inbox = arrivals(task(100, samples=3), task(101, samples=1), task(102, samples=9))
    strategy = FedAT(tiers=2, weighting=weighting)
    assert strategy.decide(snapshot(inbox=inbox)) == Aggregate(
        (inbox[0].task, inbox[1].task), weights, group=0
    )


def test_what_has_arrived_is_used_before_anybody_is_asked() -> None:
    assert isinstance(TWO.decide(snapshot(inbox=arrivals(task(102)))), Aggregate)


def test_a_tier_of_whom_nobody_is_there_waits_for_clients() -> None:
    assert TWO.decide(snapshot(idle=0)) == Wait(for_clients=True)
    assert TWO.decide(snapshot(idle=2, out=(task(0),))) == Wait(for_clients=True)
    assert TWO.decide(snapshot(idle=0, out=(task(100), task(102)))) == Wait()


def test_it_needs_somebody_for_every_tier_and_gives_nothing_up() -> None:
    assert FedAT(tiers=4, cohort=9).clients_needed == 4
    assert FedAT(tiers=4).groups == 4
    assert not FedAT().may_discard


# In runs


def rows_of(journal: MemoryJournal) -> dict[int, list[TaskRecord]]:
    """Return the aggregated tasks by the version that they went into."""
    found: dict[int, list[TaskRecord]] = {}
    for row in journal.tasks:
        if row.aggregated_version is not None:
            found.setdefault(row.aggregated_version, []).append(row)
    return found


def test_a_timeline_by_hand() -> None:
    """Tasks of 2 and of 5 s: updates of the first tier at 2, 4, 6, ..., of the second at 5, 10, ...

    At 10 s both have arrived, and the round that was sent out first is used first.
    """
    data = timing(8, 1.0, {"kind": "fedat", "tiers": 2, "cohort": 3}, {"time": 11}, fleet=classes(2.0, 5.0))
    _, journal = simulated(data)
    assert [row.time_s for row in journal.versions] == [0, 2, 4, 5, 6, 8, 10, 10]
    assert [row.mean_staleness for row in journal.versions[1:]] == [0, 0, 2, 1, 0, 2, 1]
    assert [row.tasks for row in journal.versions[1:]] == [3] * 7
    tiers = [{row.client // 4 for row in rows} for _, rows in sorted(rows_of(journal).items())]
    assert tiers == [{0}, {0}, {1}, {0}, {0}, {1}, {0}]


TROUBLES: list[dict[str, Any]] = [
    {},
    {"failure": {"dropout": 0.4}},
    {"availability": {"kind": "sessions", "on": {"kind": "exponential", "mean": 40}, "off": 15}},
]


@pytest.mark.parametrize("trouble", TROUBLES, ids=str)
def test_the_rounds_of_a_tier_follow_one_another(trouble: dict[str, Any]) -> None:
    seconds = [{"kind": "uniform", "low": 2 * k, "high": 2 * k + 1} for k in range(1, 4)]
    fleet = classes(*seconds, each=6) | trouble
    data = timing(
        18, 1.0, {"kind": "fedat", "tiers": 3, "cohort": 4}, {"time": 400}, fleet=fleet, name="tiers"
    )
    _, journal = simulated(data)
    assert len(journal.versions) > 100
    for tier in range(3):
        rounds: dict[float, list[TaskRecord]] = {}
        for row in journal.tasks:
            if row.client // 6 == tier:
                rounds.setdefault(row.dispatched_s, []).append(row)
        over = [(start, max(row.ended_s for row in rows)) for start, rows in sorted(rounds.items())]
        assert all(end <= start for (_, end), (start, _) in pairwise(over))
        for start, rows in rounds.items():
            assert len(rows) <= 4
            versions = {row.aggregated_version for row in rows if row.outcome is Outcome.AGGREGATED}
            assert len(versions) <= 1
            for version in versions:
                assert version is not None
                assert journal.versions[version].time_s == max(row.ended_s for row in rows)
                assert {row.dispatched_s for row in rows_of(journal)[version]} == {start}
        if not trouble:
            assert all(end == start for (_, end), (start, _) in pairwise(over))
            assert {len(rows) for rows in rounds.values()} == {4}


@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("selection", ["uniform", "oort", "weighted"])
def test_with_one_tier_it_is_sync(dropout: float, selection: str) -> None:
    """The same records and the same weights, to the last bit."""
    runs = []
    for strategy in ({"kind": "sync", "cohort": 3}, {"kind": "fedat", "tiers": 1, "cohort": 3}):
        data = scenario_data(8, strategy, selection={"kind": selection}, stop={"updates": 8})
        data["fleet"]["failure"] = {"dropout": dropout}
        of, journal = tiny(data), MemoryJournal()
        runs.append((run_of(of, journal), journal.tasks, journal.versions))
    assert runs[0] == runs[1]


def run_of(of: Tiny, journal: MemoryJournal) -> str:
    simulate(of.scenario, of.costs, of.learner, journal)
    return str(of.learner.model_sha256())


# What strategies may know of the clients


class Looking(FedBuff):
    """FedBuff that shows its view to a function."""

    kind: str = "looking"
    look: Any

    def decide(self, view: View) -> Decision:
        self.look(view)
        return super().decide(view)


class Remembering(Looking):
    """The same, and it looks at what was learned."""

    needs_history: ClassVar[bool] = True


def looking(look: Any, cls: type[Looking] = Looking, **sections: Any) -> MemoryJournal:
    strategy = cls(look=look, concurrency=3, buffer_size=1)
    return simulated(timing(8, 1.0, {}, {"updates": 5}) | {"strategy": strategy} | sections)[1]


def test_a_strategy_sees_what_was_learned_if_it_says_so() -> None:
    seen: list[int] = []
    looking(lambda view: seen.append(int(view.known.history.tasks.sum())), Remembering)
    assert seen[0] == 0
    assert seen[-1] >= 5


def test_a_strategy_that_does_not_say_so_gets_no_history() -> None:
    with pytest.raises(RunError, match="the selection or the strategy looks at the clients' history"):
        looking(lambda view: view.known.history)


def test_a_lone_task_takes_as_long_as_its_profile_says() -> None:
    """One client at a time, so that each has the network to itself: its first task is its profile."""
    profile: list[list[float]] = []

    def look(view: View) -> None:
        assert not view.known.profile_s.flags.writeable
        profile[:] = [view.known.profile_s.tolist()]

    fleet = {
        "clients": 8,
        "compute": {
            "kind": "speed",
            "flops": {"kind": "lognormal", "median": 1e6, "sigma": 1},
            "jitter": 0.4,
        },
    }
    rates = {"kind": "lognormal", "median": 1e6, "sigma": 1}
    journal = looking(
        look,
        workload={"kind": "synthetic", "download": "1 MB", "upload": "0.5 MB", "compute": 1e7},
        fleet=fleet,
        network={"downlink": rates, "uplink": rates, "latency": 0.1, "variation": 0.3},
        strategy=Looking(look=look, concurrency=1, buffer_size=1),
        stop={"updates": 40},
    )
    first: dict[int, float] = {}
    for row in journal.tasks:
        first.setdefault(row.client, row.ended_s - row.dispatched_s)
    assert len(first) > 6
    for client, seconds in first.items():
        assert seconds == pytest.approx(profile[0][client], rel=1e-9)


def test_a_draw_among_some_is_of_those_and_one_of_nobody_is_no_selection() -> None:
    drawn: list[tuple[int, ...]] = []

    class Some(FedBuff):
        """Asks even clients only."""

        kind: str = "some"

        def decide(self, view: View) -> Decision:
            if view.inbox:
                return super().decide(view)
            assert view.select(2, view.known.profile_s > 1e9) == ()
            even = view.known.samples.cumsum() % 2 == 1
            clients = view.select(2, even)
            drawn.append(clients)
            return Dispatch(clients) if clients else Wait()

    some = Some(concurrency=9, buffer_size=3)
    data = timing(9, 1.0, {}, {"updates": 4}) | {"strategy": some}
    simulated(data | {"selection": {"kind": "fixed", "lists": [[0, 1, 2], [8, 6, 4]]}})
    assert drawn[:4] == [(0, 2), (8, 6), (4,), ()]


class Grouped(FedBuff):
    """Gives its updates to one group."""

    kind: str = "grouped"
    group: int

    def decide(self, view: View) -> Decision:
        decision = super().decide(view)
        return decision._replace(group=self.group) if isinstance(decision, Aggregate) else decision


@pytest.mark.parametrize("group", [-1, 1])
def test_a_group_that_the_strategy_does_not_have(group: int) -> None:
    strategy: Strategy = Grouped(concurrency=1, buffer_size=1, group=group)
    with pytest.raises(RunError, match=f"has no group {group}"):
        simulated(timing(8, 1.0, {}, {"updates": 5}) | {"strategy": strategy})


def test_decisions_look_at_no_more_than_is_under_way() -> None:
    """While every tier has a round, nobody is drawn."""

    class Undrawn(Snapshot):
        def select(self, count: int, among: object = None) -> tuple[int, ...]:
            raise AssertionError

        def outstanding(self) -> Sequence[Any]:
            return (task(100), task(102))

    assert TWO.decide(Undrawn(idle=4, known=KNOWN)) == Wait()
