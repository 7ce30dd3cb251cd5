"""The server process: contracts, the order of what happens at one instant, endings and stalls."""

import itertools
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flsim.draws import Stream
from flsim.errors import RunError
from flsim.policy.strategy import Strategy
from flsim.policy.view import Aggregate, Decision, Discard, Dispatch, View, Wait
from flsim.records import Outcome
from flsim.scenario import scenario_from
from flsim.sim.devices import draw_devices
from flsim.sim.stopping import Stopping
from flsim.sim.surroundings import Moment
from flsim.tasks import Task
from tests.memory import Ledger, MemoryJournal, classes, simulated, timing

Decide = Callable[[View], Decision]


class Scripted(Strategy):
    """Decides what a function says."""

    kind: str = "scripted"
    script: Any

    @property
    def clients_needed(self) -> int:
        return 1

    def decide(self, view: View) -> Decision:
        decision: Decision = self.script(view)
        return decision


def scripted(decide: Decide, clients: int = 4, task: Any = 1.0, **sections: Any) -> dict[str, Any]:
    stop = sections.pop("stop", {"updates": 3})
    return timing(clients, task, Scripted(script=decide), stop, **sections)  # type: ignore[arg-type]


def sync(clients: int, task: Any, stop: dict[str, Any] | None = None, **strategy: Any) -> dict[str, Any]:
    return timing(clients, task, {"kind": "sync", "cohort": clients, **strategy}, stop or {"updates": 1})


def two_speeds(fast_s: float, slow_s: float) -> dict[str, Any]:
    """Return a fleet of one fast and one slow client."""
    computes = [("fast", fast_s), ("slow", slow_s)]
    return {
        "clients": 2,
        "classes": [
            {"name": name, "share": 0.5, "compute": {"kind": "duration", "task": task}}
            for name, task in computes
        ],
    }


def outcomes(journal: MemoryJournal) -> list[Outcome]:
    return [row.outcome for row in journal.tasks]


# Contracts


def test_a_busy_client_is_not_asked() -> None:
    with pytest.raises(RunError, match="strategy scripted: asks client 0, which is not idle"):
        simulated(scripted(lambda view: Dispatch((0,))))


def test_nobody_is_asked_twice_at_once() -> None:
    with pytest.raises(RunError, match="asks client 2, which is not idle"):
        simulated(scripted(lambda view: Dispatch((2, 2))))


@pytest.mark.parametrize("stranger", [4, -1])
def test_only_clients_of_the_fleet_are_asked(stranger: int) -> None:
    with pytest.raises(RunError, match=f"asks client {stranger}, which is not idle"):
        simulated(scripted(lambda view: Dispatch((stranger,))))


def test_a_client_that_is_away_is_not_asked() -> None:
    data = scripted(lambda view: Dispatch((0,)))
    data["fleet"]["failure"] = {"lifetime": 0.0}
    with pytest.raises(RunError, match="asks client 0, which is not idle"):
        simulated(data)


def test_a_task_that_is_still_out_is_not_aggregated() -> None:
    def decide(view: View) -> Decision:
        if view.in_flight == 0:
            return Dispatch((0,))
        return Aggregate(tuple(view.outstanding()), (1.0,))

    with pytest.raises(RunError, match="scripted: uses task 0, which is not in the inbox"):
        simulated(scripted(decide))


def test_a_task_is_not_used_twice() -> None:
    def decide(view: View) -> Decision:
        if not view.inbox:
            return Dispatch((0,)) if view.in_flight == 0 else Wait()
        task = view.inbox[0].task
        return Aggregate((task, task), (0.5, 0.5))

    with pytest.raises(RunError, match="uses task 0, which is not in the inbox"):
        simulated(scripted(decide))


def test_a_task_that_nobody_knows_is_not_discarded() -> None:
    with pytest.raises(RunError, match="uses task 7, which is not in the inbox"):
        simulated(scripted(lambda view: Discard((Task(7, 0, 0, 0, 0.0, 1),))))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ((), "must give each aggregated task one weight"),
        ((0.5, 0.5), "must give each aggregated task one weight"),
        ((math.nan,), "gives weights that are not finite numbers"),
        ((-math.inf,), "gives weights that are not finite numbers"),
    ],
)
def test_every_aggregated_task_has_one_finite_weight(weights: tuple[float, ...], message: str) -> None:
    def decide(view: View) -> Decision:
        if not view.inbox:
            return Dispatch((0,)) if view.in_flight == 0 else Wait()
        return Aggregate((view.inbox[0].task,), weights)

    with pytest.raises(RunError, match=f"scripted: {message}"):
        simulated(scripted(decide))


def test_one_finite_weight_is_not_enough_for_two_tasks() -> None:
    def decide(view: View) -> Decision:
        if len(view.inbox) < 2:
            return Dispatch((0, 1)) if view.in_flight == 0 else Wait()
        return Aggregate(tuple(arrival.task for arrival in view.inbox), (0.5, math.inf))

    with pytest.raises(RunError, match="gives weights that are not finite numbers"):
        simulated(scripted(decide))


@pytest.mark.parametrize("group", [-1, 1])
def test_a_strategy_without_groups_has_the_first_alone(group: int) -> None:
    def decide(view: View) -> Decision:
        if not view.inbox:
            return Dispatch((0,)) if view.in_flight == 0 else Wait()
        return Aggregate((view.inbox[0].task,), (1.0,), group=group)

    with pytest.raises(RunError, match=f"scripted: has no group {group}: see Strategy.groups"):
        simulated(scripted(decide))


@pytest.mark.parametrize("never", [math.inf, math.nan])
def test_waiting_for_a_time_that_never_comes_is_refused(never: float) -> None:
    with pytest.raises(RunError, match=f"scripted: waits until {never} s, which never comes"):
        simulated(scripted(lambda view: Wait(never)))


def test_an_update_of_nothing_is_none() -> None:
    with pytest.raises(RunError, match="must give each aggregated task one weight"):
        simulated(scripted(lambda view: Aggregate((), ())))


def test_what_is_no_decision() -> None:
    with pytest.raises(RunError, match="scripted: decided 'wait', which is no decision"):
        simulated(scripted(lambda view: "wait"))  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize(
    "decision",
    [Dispatch(()), Discard(()), Wait(0.0)],
    ids=["asks nobody", "discards nothing", "waits for now"],
)
def test_deciding_for_ever_at_one_instant(decision: Decision) -> None:
    with pytest.raises(RunError, match="virtual time stands still at 0 s: the strategy has decided 100"):
        simulated(scripted(lambda view: decision))


def test_tasks_that_take_no_time_do_not_hang() -> None:
    with pytest.raises(RunError, match="Give the fleet a compute time"):
        simulated(sync(2, 0.0, {"updates": 1_000_000}))


# Discarding


def test_a_task_called_off_at_the_instant_of_its_dispatch_leaves_nothing_behind() -> None:
    """It has moved no byte, and its download takes nothing from the next one's."""

    def decide(view: View) -> Decision:
        if view.inbox:
            return Aggregate((view.inbox[0].task,), (1.0,))
        if view.in_flight == 0:
            return Dispatch((len(called_off),))
        if not called_off:
            called_off.extend(view.outstanding())
            return Discard(tuple(called_off))
        return Wait()

    called_off: list[Task] = []
    data = scripted(decide, stop={"updates": 1})
    data["workload"] = {"kind": "synthetic", "download": 1_000_000, "upload": 0}
    data["network"] = {"downlink": 1e9, "server": {"uplink": 8e6}, "sharing": "fair"}
    _, journal = simulated(data)
    first, second = journal.tasks
    assert (first.outcome, first.ended_s, first.bytes_down) == (Outcome.DISCARDED, 0.0, 0)
    assert second.download_end_s == pytest.approx(1.0)


def test_a_discarded_client_can_be_asked_again_at_once() -> None:
    def decide(view: View) -> Decision:
        if view.now >= 2.5:
            return Aggregate((view.inbox[0].task,), (1.0,))
        if view.outstanding() and view.outstanding()[0].id == 0 and view.now == 0.5:
            return Discard(tuple(view.outstanding()))
        return (
            Dispatch((0,))
            if view.in_flight == 0 and not view.inbox
            else Wait(0.5 if view.now < 0.5 else 2.5)
        )

    _, journal = simulated(scripted(decide, stop={"updates": 1}))
    assert outcomes(journal) == [Outcome.DISCARDED, Outcome.AGGREGATED]
    assert [row.dispatched_s for row in journal.tasks] == [0.0, 0.5]
    assert [row.ended_s for row in journal.tasks] == [0.5, 1.5]


def test_over_selected_clients_are_called_off_when_the_round_ends() -> None:
    data = timing(2, 1.0, {"kind": "sync", "cohort": 1, "over_selection": 2.0}, {"updates": 1})
    data["fleet"] = two_speeds(1.0, 3.0)
    _, journal = simulated(data)
    assert outcomes(journal) == [Outcome.AGGREGATED, Outcome.DISCARDED]
    assert [row.ended_s for row in journal.tasks] == [1.0, 1.0]


# One instant


def crossing() -> dict[str, Any]:
    """Return two clients that both take 4 s: one trains 3 s and uploads 1 s, the other 2 s and 2 s.

    Class and uplink are drawn apart, so a seed that joins them has to be found.
    """
    data = scripted(lambda view: Wait(), clients=2)
    data["fleet"] = two_speeds(2.0, 3.0)
    data["workload"] = {"kind": "synthetic", "download": 0, "upload": 1_000_000}
    data["network"] = {"uplink": {"kind": "empirical", "values": [4e6, 8e6]}, "sharing": "none"}
    for seed in range(100):
        devices = draw_devices(scenario_from({**data, "seed": seed}))
        fast, slow = devices.uplink_bps[np.argsort(devices.device_class)]
        if (fast, slow) == (4e6, 8e6):
            return {**data, "seed": seed, "stop": {"updates": 1}}
    raise AssertionError("no seed fits")


@pytest.mark.parametrize("asked", [(0, 1), (1, 0)])
def test_arrivals_of_one_instant_stand_in_the_order_of_their_tasks(asked: tuple[int, int]) -> None:
    """Whoever is asked first, the events that end at 4 s were scheduled in another order in one case."""
    seen: list[list[tuple[float, int]]] = []

    def decide(view: View) -> Decision:
        if view.inbox:
            seen.append([(arrival.arrived_s, arrival.task.id) for arrival in view.inbox])
            return Aggregate(tuple(arrival.task for arrival in view.inbox), (0.5, 0.5))
        return Dispatch(asked) if view.in_flight == 0 else Wait()

    simulated({**crossing(), "strategy": Scripted(script=decide)})
    assert seen == [[(4.0, 0), (4.0, 1)]]


@pytest.mark.parametrize("order", [*itertools.permutations(range(4))], ids=str)
def test_however_the_events_of_an_instant_came_about_the_inbox_is_in_order(
    tmp_path: Path, order: tuple[int, ...]
) -> None:
    """Four clients pause and come back in this order, to end at 10 s; two others end before, at 1 s."""
    back_s = [2.0 + place for place in order]
    presence = [f"{client},0,1\n{client},{again},99" for client, again in enumerate(back_s)]
    trace = tmp_path / "trace.csv"
    trace.write_text("client,on_s,off_s\n" + "\n".join([*presence, "4,0,99", "5,0,99\n"]))
    seen: list[tuple[float, int]] = []

    def decide(view: View) -> Decision:
        if len(view.inbox) == 6:
            seen.extend((arrival.arrived_s, arrival.task.client) for arrival in view.inbox)
            return Aggregate(tuple(arrival.task for arrival in view.inbox), (1.0,) * 6)
        return Wait() if view.in_flight else Dispatch((4, 5, 0, 1, 2, 3))

    data = scripted(decide, stop={"updates": 1})
    data["fleet"] = classes(*(11.0 - again for again in back_s), 1.0, 1.0, each=1)
    data["fleet"]["availability"] = {"kind": "trace", "file": str(trace), "on_leave": "pause"}
    simulated(data)
    assert seen == [(1.0, 4), (1.0, 5), (10.0, 0), (10.0, 1), (10.0, 2), (10.0, 3)]


def test_the_inbox_is_in_order_of_arrival_then_of_task() -> None:
    """Clients that die and come back make their later tasks arrive beside others: ids decide."""
    sequence: list[tuple[float, int]] = []

    def decide(view: View) -> Decision:
        sequence[:] = [(arrival.arrived_s, arrival.task.id) for arrival in view.inbox]
        if len(view.inbox) >= 40:
            assert sequence == sorted(sequence)
            return Aggregate(tuple(arrival.task for arrival in view.inbox), (1.0,) * len(view.inbox))
        return Dispatch(view.select(4)) if view.idle else Wait()

    durations = {"kind": "empirical", "values": [1.0, 2.0, 3.0]}
    _, journal = simulated(scripted(decide, task=durations, stop={"updates": 1}))
    assert journal.versions[-1].tasks >= 40


def test_an_arrival_at_the_very_deadline_counts() -> None:
    data = sync(2, 1.0, deadline=5.0, quorum=1)
    data["fleet"] = two_speeds(5.0, 5.000001)
    ended, journal = simulated(data)
    assert outcomes(journal) == [Outcome.AGGREGATED, Outcome.DISCARDED]
    assert ended.virtual_time_s == 5.0


@pytest.mark.parametrize("task", [0.1, 0.7, 1 / 3])
def test_every_round_ends_at_its_deadline_to_the_last_bit(task: float) -> None:
    """An update that takes exactly as long as the deadline is in time, in every one of 200 rounds."""
    data = sync(2, task, {"updates": 200}, deadline=task, quorum=2)
    _, journal = simulated(data)
    assert outcomes(journal) == [Outcome.AGGREGATED] * 400


def test_no_task_is_late_because_another_round_ended_early() -> None:
    """A deadline of an earlier round does not cut a later one short."""
    data = sync(2, 1.0, {"updates": 5}, deadline=2.5, quorum=2)
    ended, journal = simulated(data)
    assert outcomes(journal) == [Outcome.AGGREGATED] * 10
    assert ended.virtual_time_s == 5.0


# Endings


@pytest.mark.parametrize("time", [7.3, 1e-3, 12345.678])
def test_the_time_of_the_run_is_exact(time: float) -> None:
    strategy = {"kind": "fedasync", "concurrency": 3}
    stop = {"time": time, "updates": 10_000}
    data = timing(3, {"kind": "exponential", "mean": time / 7}, strategy, stop)
    ended, journal = simulated(data)
    assert ended.ending.reason == "time"
    assert ended.virtual_time_s == time
    unfinished = [row for row in journal.tasks if row.outcome is Outcome.UNFINISHED]
    assert len(unfinished) == 3
    assert {row.ended_s for row in unfinished} == {time}


def test_an_update_at_the_very_end_still_counts() -> None:
    ended, journal = simulated(sync(2, 2.5, {"time": 5.0}))
    assert [version.time_s for version in journal.versions] == [0.0, 2.5, 5.0]
    assert ended.ending.reason == "time"
    assert outcomes(journal) == [Outcome.AGGREGATED] * 4


def test_updates_in_the_inbox_are_unfinished_when_the_run_ends() -> None:
    ledger = Ledger()
    _, journal = simulated(
        scripted(lambda view: Dispatch(view.select(9)) if view.idle else Wait(), stop={"time": 2.5}), ledger
    )
    assert set(outcomes(journal)) == {Outcome.UNFINISHED}
    assert len(ledger.closed) == len(ledger.submitted) == len(journal.tasks) == 12
    assert sorted({row.ended_s for row in journal.tasks}) == [1.0, 2.0, 2.5]


def test_the_watch_can_end_the_run() -> None:
    moments: list[Moment] = []

    def watch(moment: Moment) -> bool:
        moments.append(moment)
        return moment.version < 4

    ended, journal = simulated(sync(2, 1.0, {"updates": 100}), watch=watch)
    assert ended.ending.reason == "interrupted"
    assert [version.version for version in journal.versions] == [0, 1, 2, 3, 4]
    assert moments[-1] == Moment(4.0, 4, None, 8, 0)


def test_the_watch_sees_every_version_and_every_64th_look_for_an_ending() -> None:
    moments: list[Moment] = []

    def watch(moment: Moment) -> bool:
        moments.append(moment)
        return moment.now_s < 200.0

    simulated(scripted(lambda view: Wait(view.now + 1.0)), watch=watch)
    assert [moment.now_s for moment in moments] == [0.0, 63.0, 127.0, 191.0, 255.0]


def test_the_watch_counts_tasks_that_came_to_nothing() -> None:
    moments: list[Moment] = []

    def decide(view: View) -> Decision:
        if len(view.inbox) == 2:
            return Discard((view.inbox[0].task, *view.outstanding()))
        if view.now == 2.0:
            return Aggregate((view.inbox[0].task,), (1.0,))
        return Wait() if view.in_flight else Dispatch((0, 1, 2))

    def watch(moment: Moment) -> bool:
        moments.append(moment)
        return True

    data = scripted(decide, stop={"updates": 1}) | {"fleet": classes(1.0, 2.0, 3.0, each=1)}
    _, journal = simulated(data, watch=watch)
    assert moments == [Moment(0.0, 0, None, 0, 0), Moment(2.0, 1, None, 3, 0)]
    assert outcomes(journal) == [Outcome.DISCARDED, Outcome.DISCARDED, Outcome.AGGREGATED]


def test_a_run_in_which_all_tasks_drop_is_stalled() -> None:
    data = sync(3, 1.0, {"updates": 1, "time": 5000.0})
    data["fleet"]["failure"] = {"dropout": 1.0}
    ended, journal = simulated(data)
    assert ended.ending.reason == "stalled"
    assert ended.ending.detail == "1030 tasks in a row ended without an update"  # 10 more for each of 3
    assert set(outcomes(journal)) <= {Outcome.DROPPED, Outcome.UNFINISHED}
    assert outcomes(journal).count(Outcome.DROPPED) >= 1000
    assert len(journal.versions) == 1


def test_one_update_in_twenty_is_no_stall() -> None:
    data = timing(1, 1.0, {"kind": "fedasync", "concurrency": 1}, {"updates": 60})
    data["fleet"]["failure"] = {"dropout": 0.95}
    ended, journal = simulated(data)
    assert ended.ending.reason == "updates"
    assert outcomes(journal).count(Outcome.DROPPED) > 1010


@pytest.mark.parametrize(
    "strategy",
    [
        {"kind": "sync", "cohort": 2},
        {"kind": "fedasync", "concurrency": 5},
        {"kind": "fedbuff", "buffer_size": 2},
    ],
    ids=lambda strategy: strategy["kind"],
)
@pytest.mark.parametrize("availability", [{"kind": "always"}, {"kind": "sessions", "on": 3.0, "off": 4.0}])
def test_a_run_that_all_clients_leave_ends(strategy: dict[str, Any], availability: dict[str, Any]) -> None:
    """When the last one has left, not later."""
    data = timing(10, 1.0, strategy, {"updates": 10**6})
    data["fleet"] |= {"failure": {"lifetime": 50.5}, "availability": availability}
    ended, journal = simulated(data)
    assert ended.ending.reason in ("no clients", "stalled")
    assert ended.virtual_time_s <= 50.5
    assert journal.versions[-1].version > 5
    assert max(row.ended_s for row in journal.tasks) <= 50.5


def test_a_cohort_that_never_meets_is_a_stall() -> None:
    """Everyone is asked at once, but each is there one per cent of the time."""
    data = sync(6, 0.5)
    data["fleet"]["availability"] = {
        "kind": "sessions",
        "on": 1.0,
        "off": {"kind": "exponential", "mean": 99.0},
    }
    ended, journal = simulated(data)
    assert ended.ending.reason == "stalled"
    assert "never enough of them to be asked" in ended.ending.detail
    assert journal.tasks == []


@pytest.mark.parametrize("slow_s", [3.0, 7.0])
def test_rounds_that_never_find_their_quorum_are_a_stall(slow_s: float) -> None:
    """Nobody, or one of two, answers before the deadline of 2 s, round after round."""
    data = sync(2, 1.0, {"updates": 1}, deadline=2.0, quorum=2)
    data["fleet"] = two_speeds(1.0 if slow_s == 3.0 else slow_s, slow_s)
    ended, journal = simulated(data, watch=lambda moment: moment.now_s < 1e5)
    assert ended.ending.reason == "stalled"
    assert "discarded" in ended.ending.detail
    assert set(outcomes(journal)) <= {Outcome.DISCARDED, Outcome.UNFINISHED}


def test_a_strategy_that_waits_for_nothing_is_a_stall() -> None:
    ended, _ = simulated(scripted(lambda view: Wait()))
    assert ended.ending.reason == "stalled"
    assert "4 idle clients and nothing under way" in ended.ending.detail


def test_waiting_for_a_time_is_not_waiting_for_nothing() -> None:
    instants: list[float] = []

    def decide(view: View) -> Decision:
        instants.append(view.now)
        return Wait(3.0) if view.now < 3.0 else Wait()

    ended, _ = simulated(scripted(decide))
    assert instants == [0.0, 3.0]
    assert (ended.ending.reason, ended.virtual_time_s) == ("stalled", 3.0)


def test_a_time_that_is_waited_for_passes_once_however_often_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Arrivals at 1, 2 and 3 s wake the server, and it goes on waiting for 9 s."""
    instants: list[float] = []
    passed: list[float] = []

    def decide(view: View) -> Decision:
        instants.append(view.now)
        if not instants[1:]:
            return Dispatch((0, 1, 2))
        return Wait(9.0) if view.now < 9.0 else Wait()

    monkeypatch.setattr(Stopping, "timer_over", lambda self: passed.append(instants[-1]))
    simulated(scripted(decide) | {"fleet": classes(1.0, 2.0, 3.0, each=1)})
    assert instants == [0.0, 0.0, 1.0, 2.0, 3.0, 9.0]
    assert passed == [3.0]


def test_a_strategy_may_think_better_of_waiting_for_a_time() -> None:
    """It waits for 9 s at first, then for arrivals alone; it is woken at 9 s all the same."""
    instants: list[float] = []

    def decide(view: View) -> Decision:
        instants.append(view.now)
        if not instants[1:]:
            return Dispatch((0, 1))
        return Wait(9.0) if view.now < 1.0 else Wait()

    simulated(scripted(decide) | {"fleet": classes(1.0, 12.0, each=1)})
    assert instants == [0.0, 0.0, 1.0, 9.0, 12.0]


def test_a_strategy_is_told_when_clients_were_last_sent_a_version_and_which() -> None:
    told: list[tuple[float, int]] = []

    def decide(view: View) -> Decision:
        told.append((view.last_dispatch_s, view.last_dispatch_version))
        if view.inbox:
            return Aggregate((view.inbox[0].task,), (1.0,))
        return Wait() if view.in_flight else Dispatch((0,))

    simulated(scripted(decide, task=2.5))
    assert told == [
        (0.0, -1),
        *[(0.0, 0)] * 3,
        *[(2.5, 1)] * 3,
        *[(5.0, 2)] * 2,
    ]


# Failing


def test_a_task_drops_when_its_client_leaves() -> None:
    data = timing(1, 10.0, {"kind": "fedasync", "concurrency": 1}, {"updates": 1})
    data["fleet"]["failure"] = {"lifetime": 4.0}
    ended, journal = simulated(data)
    (row,) = journal.tasks
    assert (row.outcome, row.ended_s, row.train_end_s) == (Outcome.DROPPED, 4.0, None)
    assert (ended.ending.reason, ended.virtual_time_s) == ("no clients", 4.0)


def test_tasks_die_at_their_moments_of_the_time_that_they_take_alone() -> None:
    """2 s and 8 s of transfers with 1 s of latency each, and 5 s of training: 17 s."""
    data = timing(3, 5.0, {"kind": "fedasync", "concurrency": 3}, {"time": 300.0})
    data["workload"] = {"kind": "synthetic", "download": 2_000_000, "upload": 1_000_000}
    data["network"] = {"downlink": 8e6, "uplink": 1e6, "latency": 1.0, "sharing": "none"}
    for failure, name in (
        ({"dropout": 1.0}, "task.dropout.moment"),
        ({"crash": {"probability": 1.0, "repair": 9.0}}, "task.crash.moment"),
    ):
        data["fleet"]["failure"] = failure
        _, journal = simulated(data)
        ordinals, moments = Counter[int](), Stream(0, name)
        dropped = [row for row in sorted(journal.tasks) if row.outcome is Outcome.DROPPED]
        assert len(dropped) > 30
        for row in dropped:
            moment = moments.uniform(row.client, ordinals[row.client])
            ordinals[row.client] += 1
            assert row.ended_s - row.dispatched_s == pytest.approx(17.0 * moment)


def test_a_crash_drops_the_task_even_if_tasks_pause() -> None:
    data = timing(1, 5.0, {"kind": "fedasync", "concurrency": 1}, {"time": 100.0})
    data["fleet"] |= {
        "availability": {"kind": "always", "on_leave": "pause"},
        "failure": {"crash": {"probability": 1.0, "repair": 3.0}},
    }
    _, journal = simulated(data)
    first, *_ = journal.tasks
    assert (first.outcome, first.ended_s < 5.0) == (Outcome.DROPPED, True)


def test_dropouts_happen_as_often_as_they_should_and_at_a_uniform_moment() -> None:
    """5,000 tasks with probability 0.3: within four deviations; moments with mean 1/2 of 8 s."""
    data = timing(50, 6.0, {"kind": "fedasync", "concurrency": 50}, {"updates": 3500})
    data["fleet"]["failure"] = {"dropout": 0.3}
    data["network"] = {"latency": 1.0}
    _, journal = simulated(data)
    ended = [row for row in journal.tasks if row.outcome is not Outcome.UNFINISHED]
    dropped = [row for row in ended if row.outcome is Outcome.DROPPED]
    assert len(dropped) / len(ended) == pytest.approx(0.3, abs=0.03)
    lasted = [row.ended_s - row.dispatched_s for row in dropped]
    assert sum(lasted) / len(lasted) == pytest.approx(4.0, abs=4 * 8 / (12 * len(lasted)) ** 0.5)
    assert max(lasted) <= 8.0
    downloaded = sum(row.download_end_s is not None for row in dropped) / len(dropped)
    assert downloaded == pytest.approx(7 / 8, abs=0.04)
