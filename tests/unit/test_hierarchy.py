"""Edge servers in the world: timing in closed form, what happens at one instant, endings, and misfits."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from flsim.draws import Stream
from flsim.errors import RunError, ScenarioError
from flsim.policy import Selection
from flsim.policy.known import Known
from flsim.policy.view import Aggregate, Decision, Dispatch, View, Wait
from flsim.records import Outcome, TaskRecord
from flsim.scenario import scenario_from
from flsim.scenario.hierarchy import edges_of
from flsim.scenario.reading import to_yaml
from flsim.scenario.yaml_text import parse
from flsim.sim.network.layout import spread
from flsim.sim.stopping import Stopping
from flsim.sim.surroundings import Moment
from flsim.sim.timing import NoLearner, synthetic_costs
from flsim.sim.world import simulate
from tests.memory import MemoryJournal, classes, simulated
from tests.rounds import MEGA, WIDE, exactly
from tests.unit.test_server import Scripted

ALL = {"kind": "sync", "cohort": "all"}
SHARINGS = pytest.mark.parametrize("sharing", ["fair", "fifo", "none"])


def level(nodes: int, rate: Any = WIDE, latency: float = 0.0, name: str = "edge") -> dict[str, Any]:
    return {"name": name, "nodes": nodes, "downlink": rate, "uplink": rate, "latency": latency}


def hierarchy(clients: int, *levels: dict[str, Any], task: Any = 10.0, **sections: Any) -> dict[str, Any]:
    """Return one update of all edges, of one round each, in which a task takes 2 MB down and 1 MB up."""
    network = {"downlink": WIDE, "uplink": WIDE, **sections.pop("network", {})}
    return {
        "name": "hierarchy",
        "workload": {"kind": "synthetic", "download": 2 * MEGA, "upload": MEGA},
        "fleet": {"clients": clients, "compute": {"kind": "duration", "task": task}},
        "network": {"topology": {"kind": "tree", "levels": list(levels)}, **network},
        "strategy": {"kind": "sync", "cohort": levels[0]["nodes"]},
        "hierarchy": {"strategy": ALL},
        "stop": {"updates": 1},
        **sections,
    }


def quick(clients: int, edges: int, task: Any = 1.0, **sections: Any) -> dict[str, Any]:
    """Return a hierarchy whose network takes no time."""
    data = hierarchy(clients, level(edges), task=task, **sections)
    data["workload"] = {"kind": "synthetic", "download": 0, "upload": 0}
    return data


def outcomes(rows: list[TaskRecord]) -> list[Outcome]:
    return [row.outcome for row in sorted(rows)]


# Time and bytes


@SHARINGS
def test_every_leg_takes_its_latency_and_its_bits(sharing: str) -> None:
    """Down 16 Mbit and up 8: edge links of 4 Mbit/s after 0.5 s, then a client's 8 and 2 after 0.1 s."""
    network = {"downlink": 8e6, "uplink": 2e6, "latency": 0.1, "sharing": sharing}
    data = hierarchy(4, level(2, 4e6, 0.5), network=network, hierarchy={"rounds": 3, "strategy": ALL})
    ended, journal = simulated(data)
    task_s = (0.1 + 2.0) + 10.0 + (0.1 + 4.0)
    for row in journal.edge_tasks:
        assert row.download_end_s == exactly(0.5 + 4.0)
        assert row.train_end_s == exactly(4.5 + 3 * task_s)
        assert row.ended_s == exactly(4.5 + 3 * task_s + 0.5 + 2.0)
        assert (row.bytes_down, row.bytes_up) == (2 * MEGA, MEGA)
    for place, row in enumerate(sorted(journal.tasks, key=lambda row: (row.client, row.task))):
        assert row.dispatched_s == exactly(4.5 + place % 3 * task_s)
        assert row.download_end_s == exactly(row.dispatched_s + 2.1)
        assert row.ended_s == exactly(row.dispatched_s + task_s)
    assert ended.virtual_time_s == exactly(4.5 + 3 * task_s + 2.5)


@pytest.mark.parametrize("edges", [1, 3, 6])
def test_edges_share_the_server_s_link_and_end_together(edges: int) -> None:
    """n x 16 Mbit over 8 Mbit/s, and n x 8 Mbit back; clients share nothing, however many they are."""
    network = {"server": {"uplink": 8e6, "downlink": 8e6}, "latency": 0.25}
    _, journal = simulated(hierarchy(6, level(edges, latency=0.1), network=network))
    client_s = (0.25 + 16e6 / WIDE) + 10.0 + (0.25 + 8e6 / WIDE)
    for row in journal.edge_tasks:
        assert row.download_end_s == exactly(0.1 + edges * 2.0)
        assert row.train_end_s == exactly(0.1 + edges * 2.0 + client_s)
        assert row.ended_s == exactly(0.1 + edges * 2.0 + client_s + 0.1 + edges * 1.0)


def test_levels_above_the_edges_are_links_between_them_and_the_server() -> None:
    """Four edges of 3 Mbit/s behind two hubs of 4: each gets 2. Latencies of both levels add up."""
    _, journal = simulated(hierarchy(8, level(4, 3e6, 0.02), level(2, 4e6, 0.03, "hub")))
    for row in journal.edge_tasks:
        assert row.download_end_s == exactly(0.05 + 8.0)
        assert row.ended_s == exactly(8.05 + 10.0 + 24e6 / WIDE + 0.05 + 4.0)


def test_the_backbone_carries_models_of_edges_and_not_of_clients() -> None:
    data = hierarchy(30, level(5), hierarchy={"rounds": 4, "strategy": ALL}, stop={"updates": 3})
    _, journal = simulated(data)
    assert sum(row.bytes_up for row in journal.edge_tasks) == 3 * 5 * MEGA
    assert sum(row.bytes_down for row in journal.edge_tasks) == 3 * 5 * 2 * MEGA
    assert sum(row.bytes_up for row in journal.tasks) == 3 * 4 * 30 * MEGA


@pytest.mark.parametrize(("clients", "edges"), [(7, 3), (12, 5), (5, 5), (100, 7), (9, 1)])
def test_an_edge_has_the_clients_that_the_tree_attaches_to_it(clients: int, edges: int) -> None:
    attached = spread(clients, edges).tolist()
    found = [edge.number for edge in edges_of(scenario_from(quick(clients, edges))) for _ in edge.clients]
    assert found == attached


def test_a_client_computes_as_long_as_without_edges() -> None:
    law = {"kind": "exponential", "mean": 10.0}
    data = quick(12, 3, law, hierarchy={"rounds": 3, "strategy": {"kind": "sync", "cohort": 2}})
    _, with_edges = simulated({**data, "stop": {"updates": 4}})
    plain = {**data, "hierarchy": None, "strategy": {"kind": "fedasync", "concurrency": 12}}
    _, without = simulated({**plain, "stop": {"updates": 200}})

    def seconds(rows: list[TaskRecord]) -> dict[tuple[int, int], float]:
        found: dict[tuple[int, int], float] = {}
        had = dict.fromkeys(range(12), 0)
        for row in sorted(rows):
            if row.train_end_s is not None and row.download_end_s is not None:
                found[row.client, had[row.client]] = row.train_end_s - row.download_end_s
            had[row.client] += 1
        return found

    ours, theirs = seconds(with_edges.tasks), seconds(without.tasks)
    both = ours.keys() & theirs.keys()
    assert len(both) > 50
    for key in both:
        assert ours[key] == pytest.approx(theirs[key], abs=1e-9)


def test_edges_draw_their_clients_apart() -> None:
    """Four edges of 50 do not ask the same places of their blocks."""
    _, journal = simulated(quick(200, 4, hierarchy={"strategy": {"kind": "sync", "cohort": 10}}))
    asked = [
        sorted(row.client % 50 for row in journal.tasks if row.client // 50 == edge) for edge in range(4)
    ]
    assert [len(places) for places in asked] == [10] * 4
    assert len({tuple(places) for places in asked}) == 4


@pytest.mark.parametrize("kind", ["round_robin", "refl", "tifl", "oort"])
def test_a_selection_sees_a_fleet_that_is_the_edge_s(kind: str) -> None:
    """In six rounds of two, all twelve are asked once by those who ask whom they never asked first."""
    data = quick(24, 2, 1.0, hierarchy={"rounds": 6, "strategy": {"kind": "sync", "cohort": 2}})
    data["hierarchy"]["selection"] = {"kind": kind}
    _, journal = simulated(data)
    asked = [sorted(row.client for row in journal.tasks if row.client // 12 == edge) for edge in (0, 1)]
    assert [len(clients) for clients in asked] == [12, 12]
    if kind != "oort":  # which comes back to who was useful
        assert asked == [list(range(12)), list(range(12, 24))]


def test_the_clients_of_a_fixed_list_are_numbered_within_their_edge() -> None:
    data = quick(9, 3, hierarchy={"strategy": ALL, "selection": {"kind": "fixed", "lists": [[2, 0]]}})
    _, journal = simulated(data)
    assert sorted(row.client for row in journal.tasks) == [0, 2, 3, 5, 6, 8]


# What ends an edge's task


def test_clients_still_at_work_when_their_edge_is_through_are_called_off() -> None:
    """FedBuff of one with three at work: two are called off, and start anew from the next model."""
    below = {"strategy": {"kind": "fedbuff", "concurrency": 3, "buffer_size": 1}}
    law = {"kind": "exponential", "mean": 10.0}
    _, journal = simulated(quick(3, 1, law, hierarchy=below, stop={"updates": 5}))
    assert outcomes(journal.tasks).count(Outcome.AGGREGATED) == 5
    assert outcomes(journal.tasks).count(Outcome.DISCARDED) == 10
    assert {row.staleness for row in journal.tasks} == {0, None}
    assert [row.version for row in journal.edge_versions] == [0, 1, 2, 3, 4, 5]


class Looking(Selection):
    """Takes whom it is given first, and notes which durations are known."""

    kind: str = "looking"
    needs_history: ClassVar[bool] = True
    seen: Any

    def select(
        self, idle: Sequence[int], count: int, draws: Stream, decision: int, known: Known
    ) -> tuple[int, ...]:
        self.seen.rows.append((~np.isnan(known.history.durations_s)).tolist())
        return tuple(sorted(idle)[:count])


def test_a_client_that_its_edge_called_off_took_at_least_so_long() -> None:
    seen = SimpleNamespace(rows=[])
    looking = Looking(seen=seen)
    below = {"strategy": {"kind": "fedbuff", "concurrency": 3, "buffer_size": 1}, "selection": looking}
    law = {"kind": "exponential", "mean": 10.0}
    simulated(
        quick(8, 2, law, hierarchy={"strategy": ALL, "nodes": {"edge-1": below}}, stop={"updates": 2})
    )
    assert seen.rows == [[False] * 4, [True, True, True, False]]


def slow_edge(**strategy: Any) -> dict[str, Any]:
    """Return three edges of two clients, whose tasks take 1, 2 and 9 s."""
    data = quick(6, 3, strategy={"kind": "sync", "cohort": 3, **strategy})
    return data | {"fleet": classes(1.0, 2.0, 9.0, each=2)}


def test_a_deadline_of_the_server_s_calls_an_edge_off_and_its_clients_with_it() -> None:
    ended, journal = simulated(slow_edge(deadline=4.0))
    assert ended.virtual_time_s == 4.0
    late = [row for row in journal.edge_tasks if row.client == 2]
    assert [(row.outcome, row.ended_s, row.train_end_s) for row in late] == [(Outcome.DISCARDED, 4.0, None)]
    below = [row for row in journal.tasks if row.client in (4, 5)]
    assert {(row.outcome, row.ended_s) for row in below} == {(Outcome.DISCARDED, 4.0)}
    assert journal.versions[-1].tasks == 2


def test_an_edge_that_is_through_at_the_very_deadline_counts() -> None:
    _, journal = simulated(slow_edge(deadline=9.0))
    assert journal.versions[-1].tasks == 3
    assert set(outcomes(journal.edge_tasks)) == {Outcome.AGGREGATED}


def test_deadlines_of_edges_and_server_at_one_instant() -> None:
    """The edge that waits until 4 s for its second client closes its round before the server does."""
    data = slow_edge(deadline=4.0)
    data["fleet"]["class_order"] = "random"
    data["hierarchy"] = {"strategy": {"kind": "sync", "cohort": 2, "deadline": 4.0}}
    ended, journal = simulated(data)
    assert ended.virtual_time_s == 4.0
    made = [row for row in journal.edge_versions if row.version]
    assert {row.time_s for row in made} <= {2.0, 4.0}
    assert journal.versions[-1].tasks == len(made) >= 2


def test_the_run_ends_exactly_and_everything_that_is_open_is_unfinished() -> None:
    data = quick(6, 2, 1.0, hierarchy={"rounds": 4, "strategy": ALL}, stop={"time": 6.5})
    ended, journal = simulated(data)
    assert (ended.ending.reason, ended.virtual_time_s) == ("time", 6.5)
    assert outcomes(journal.edge_tasks) == [Outcome.AGGREGATED] * 2 + [Outcome.UNFINISHED] * 2
    open_ = [row for row in journal.tasks if row.outcome is not Outcome.AGGREGATED]
    assert {(row.outcome, row.ended_s) for row in open_} == {(Outcome.UNFINISHED, 6.5)}
    assert len(open_) == 6


def test_nothing_is_sent_out_at_the_very_end() -> None:
    """Edges make the update that is due at the end, and start no other round."""
    data = quick(4, 2, 1.0, hierarchy={"rounds": 2, "strategy": ALL}, stop={"time": 3.0})
    ended, journal = simulated(data)
    assert ended.virtual_time_s == 3.0
    assert max(row.time_s for row in journal.edge_versions) == 3.0
    assert max(row.dispatched_s for row in journal.tasks) == 2.0
    assert outcomes(journal.edge_tasks) == [Outcome.AGGREGATED] * 2 + [Outcome.UNFINISHED] * 2


def test_an_interruption_ends_the_run_though_the_server_waits() -> None:
    moments: list[Moment] = []

    def watch(moment: Moment) -> bool:
        moments.append(moment)
        return moment.tasks_ended < 60

    data = quick(6, 2, 1.0, hierarchy={"rounds": 10_000, "strategy": ALL})
    ended, journal = simulated(data, watch=watch)
    assert ended.ending.reason == "interrupted"
    assert moments[-1].tasks_ended == 60
    assert 60 <= len(journal.tasks) <= 66
    assert outcomes(journal.edge_tasks) == [Outcome.UNFINISHED] * 2
    assert ended.virtual_time_s == 10.0


# Clients that come and go


def away(start: float, duration: float, node: str = "edge-1") -> dict[str, Any]:
    return {"outages": [{"kind": "region", "node": node, "start": start, "duration": duration}]}


def test_an_edge_without_clients_waits_until_they_are_there() -> None:
    data = quick(6, 3)
    data["fleet"]["failure"] = away(0.0, 50.0)
    ended, journal = simulated(data)
    assert ended.virtual_time_s == 51.0
    assert {row.train_end_s for row in journal.edge_tasks} == {1.0, 51.0}


def test_an_edge_whose_clients_are_gone_for_good_gives_up_and_the_others_go_on(tmp_path: Path) -> None:
    """The trace has clients 2 and 3 for a second only. Their edge drops its task, round after round."""
    data = quick(6, 3, 2.0, stop={"updates": 3})
    stays = [(client, 0.0, 1.0 if client in (2, 3) else 1e9) for client in range(6)]
    data["fleet"]["availability"] = traced(tmp_path, stays)
    ended, journal = simulated(data)
    assert ended.virtual_time_s == 6.0
    assert [version.tasks for version in journal.versions] == [0, 2, 2, 2]
    assert outcomes([row for row in journal.edge_tasks if row.client == 1]) == [Outcome.DROPPED] * 3
    assert [row.ended_s for row in journal.edge_tasks if row.client == 1] == [1.0, 2.0, 4.0]


def traced(folder: Path, stays: list[tuple[int, float, float]]) -> dict[str, Any]:
    """Return an availability in which clients are there from when to when, and then gone for good."""
    rows = "\n".join(f"{client},{start},{end}" for client, start, end in stays)
    file = folder / "trace.csv"
    file.write_text(f"client,on_s,off_s\n{rows}\n")
    return {"kind": "trace", "file": str(file)}


def test_an_edge_waits_no_longer_for_more_clients_than_will_come(tmp_path: Path) -> None:
    """Its cohort of two has lost one for good, while the other stays, and others come and go for long."""
    stays = [(0, 0.0, 1e9), (1, 0.0, 1.0)]
    stays += [(client, 10.0 * number, 10.0 * number + 9) for client in (2, 3) for number in range(500)]
    data = quick(4, 2, 2.0, hierarchy={"strategy": {"kind": "sync", "cohort": 2}})
    data["fleet"]["availability"] = traced(tmp_path, stays)
    ended, journal = simulated({**data, "stop": {"updates": 2, "time": 1000.0}})
    assert ended.ending.reason == "updates"
    assert [(row.outcome, row.ended_s) for row in journal.edge_tasks if row.client == 0] == [
        (Outcome.AGGREGATED, 2.0),  # without the one that left
        (Outcome.DROPPED, 2.0),
    ]


def test_an_edge_gives_up_when_whom_it_waits_for_is_gone_for_good(tmp_path: Path) -> None:
    """Client 1 is out of reach until 1000 s, but would have left for good at 20 s."""
    data = quick(4, 2, 1.0, hierarchy={"strategy": {"kind": "sync", "cohort": 2}})
    others = [(client, 10.0 * number, 10.0 * number + 9) for client in (2, 3) for number in range(500)]
    compute = {"kind": "duration", "task": 1.0}
    shares = [("a", 0.25), ("b", 0.25), ("c", 0.5)]
    data["fleet"] = {
        "clients": 4,
        "class_order": "listed",
        "classes": [{"name": name, "share": share, "compute": compute} for name, share in shares],
        "availability": traced(tmp_path, [(0, 0.0, 1e9), (1, 0.0, 20.0), *others]),
        "failure": {"outages": [{"kind": "class", "name": "b", "start": 0.0, "duration": 1000.0}]},
    }
    ended, journal = simulated(data)
    assert ended.virtual_time_s == 20.0
    assert [(row.client, row.outcome) for row in journal.edge_tasks if row.ended_s == 20.0] == [
        (0, Outcome.DROPPED)
    ]


def test_a_run_that_all_clients_leave_ends() -> None:
    data = quick(6, 2, 1.0, stop={"updates": 10**6})
    data["fleet"]["failure"] = {"lifetime": 50.5}
    ended, journal = simulated(data)
    assert (ended.ending.reason, ended.virtual_time_s) == ("no clients", 50.5)
    assert journal.versions[-1].version == 50


def test_a_hierarchy_in_which_all_tasks_drop_is_stalled() -> None:
    data = quick(4, 2, 1.0)
    data["fleet"]["failure"] = {"dropout": 1.0}
    data["workload"]["download"] = 1000
    data["network"]["topology"]["levels"][0]["latency"] = 0.1
    ended, journal = simulated(data)
    assert ended.ending.reason == "stalled"
    assert set(outcomes(journal.tasks)) <= {Outcome.DROPPED, Outcome.DISCARDED}
    assert set(outcomes(journal.edge_tasks)) == {Outcome.DROPPED}
    assert len(journal.tasks) < 5000


def test_an_edge_that_the_server_calls_off_again_and_again_is_not_stalled() -> None:
    """A straggler is asked, and late, in every round, however many there are."""
    data = slow_edge(deadline=4.0)
    data["stop"] = {"updates": 800}
    ended, journal = simulated(data)
    assert ended.ending.reason == "updates"
    assert outcomes([row for row in journal.edge_tasks if row.client == 2]) == [Outcome.DISCARDED] * 800


def in_turn(*edges: int) -> Scripted:
    """Return the strategy that asks these edges one after the other."""

    def decide(view: View) -> Decision:
        if view.inbox:
            return Aggregate((view.inbox[0].task,), (1.0,))
        return Wait() if view.in_flight else Dispatch((edges[view.version],))

    return Scripted(script=decide)


@pytest.mark.parametrize("edges", [(0, 1, 0), (1, 0)])
def test_clients_that_come_while_their_edge_has_no_task_wake_nobody_in_vain(
    tmp_path: Path, edges: tuple[int, ...]
) -> None:
    """Only the other edge has a task, for long: who comes and goes here must not count as a stall."""
    data = quick(4, 2, 1.0, strategy=in_turn(*edges), stop={"updates": len(edges)})
    data["hierarchy"] = {
        "strategy": {"kind": "fedbuff", "concurrency": 2, "buffer_size": 1},
        "nodes": {"edge-1": {"strategy": ALL, "rounds": 3000}},
    }
    comings = [(1, 1.5 + number, 2.0 + number) for number in range(5000)]
    data["fleet"]["availability"] = traced(tmp_path, [*comings, *((c, 0.0, 1e9) for c in (0, 2, 3))])
    ended, journal = simulated(data)
    assert ended.ending.reason == "updates"
    assert outcomes(journal.edge_tasks) == [Outcome.AGGREGATED] * len(edges)
    assert ended.virtual_time_s == 3000.0 + edges.count(0)


def test_all_clients_may_have_come_before_an_edge_has_had_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """The edge that has one waits for its two clients; those of the other one wake nobody."""
    woken = Counter[str]()
    monkeypatch.setattr(Stopping, "client_came", lambda _: woken.update(["client came"]))
    data = quick(4, 2, 1.0, strategy=in_turn(0, 1), stop={"updates": 2})
    data["fleet"]["join"] = 0.5
    ended, journal = simulated(data)
    assert outcomes(journal.edge_tasks) == [Outcome.AGGREGATED] * 2
    assert (ended.ending.reason, ended.virtual_time_s) == ("updates", 2.5)
    assert woken["client came"] == 2


def test_the_server_s_outage_is_not_the_edges() -> None:
    """From 3 to 8 s it is down: what arrived is lost; the edge that computes goes on, and then uploads."""
    data = slow_edge()
    data["stop"] = {"time": 30.0}
    data["fleet"]["failure"] = {"outages": [{"kind": "server", "start": 3.0, "duration": 5.0}]}
    _, journal = simulated(data)
    first = {row.client: row for row in journal.edge_tasks if row.dispatched_s == 0.0}
    assert [first[edge].outcome for edge in range(3)] == [Outcome.LOST, Outcome.LOST, Outcome.AGGREGATED]
    assert first[2].ended_s == 9.0
    assert {row.outcome for row in journal.tasks if row.dispatched_s < 9.0} == {Outcome.AGGREGATED}


def test_loss_and_dropout_are_the_clients() -> None:
    data = hierarchy(20, level(4, 1e8), stop={"updates": 5})
    data["network"]["loss"] = {"probability": 0.4, "retries": 1, "timeout": 0.5}
    data["fleet"]["failure"] = {"dropout": 0.2}
    _, journal = simulated(data)
    assert {Outcome.LOST, Outcome.DROPPED, Outcome.AGGREGATED} <= set(outcomes(journal.tasks))
    assert set(outcomes(journal.edge_tasks)) == {Outcome.AGGREGATED}
    assert {row.bytes_down for row in journal.edge_tasks} == {2 * MEGA}
    assert any(row.bytes_down > 2 * MEGA for row in journal.tasks)


# Errors


def test_an_edge_s_strategy_that_breaks_its_contract_is_named() -> None:
    below = {"strategy": Scripted(script=lambda view: Dispatch((0,)))}
    with pytest.raises(RunError, match="edge-1: strategy scripted: asks client 0, which is not idle"):
        simulated(quick(4, 2, hierarchy={"strategy": ALL, "nodes": {"edge-1": below}}))


@pytest.mark.parametrize("stranger", [-1, 2, 7, "one"])
def test_an_edge_asks_only_clients_of_its_own(stranger: Any) -> None:
    """The second edge of two has the clients 2 and 3; and no edge has others."""
    edge = "edge-0" if stranger == 2 else "edge-1"
    below = {"strategy": Scripted(script=lambda view: Dispatch((stranger,)))}
    with pytest.raises(RunError, match=f"{edge}: .* asks client {stranger}, which is not idle"):
        simulated(quick(4, 2, hierarchy={"strategy": ALL, "nodes": {edge: below}}))


def test_time_that_stands_still_below() -> None:
    with pytest.raises(RunError, match="virtual time stands still"):
        simulated(quick(2, 1, 0.0, hierarchy={"rounds": 1_000_000, "strategy": ALL}))


class Plain:
    """A learner without branches."""

    submit = forget = aggregate = evaluate = model_sha256 = finish = close = NoLearner.submit


def test_a_learner_without_branches_is_refused() -> None:
    scenario = scenario_from(quick(4, 2))
    costs = synthetic_costs(scenario, scenario.workload)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a hierarchy needs a learner that has branches"):
        simulate(scenario, costs, Plain(), MemoryJournal())  # type: ignore[arg-type]


def changed(**sections: Any) -> dict[str, Any]:
    return quick(10, 4) | sections


TORCH = {
    "kind": "torch",
    "data": {"dataset": {"kind": "synthetic", "samples": 100, "features": 4, "classes": 2}},
    "model": {"kind": "logistic"},
}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (changed(network={}), "network.topology: edge servers are the nodes of a tree's first level"),
        (changed(network={"topology": {"kind": "tree", "levels": [level(11)]}}), "without clients"),
        (
            changed(strategy={"kind": "sync", "cohort": 5}),
            "strategy: needs 5 edges at a time, but the tree has 4",
        ),
        (
            changed(hierarchy={"strategy": {"kind": "sync", "cohort": 3}}),
            "hierarchy.strategy: needs 3 clients at a time, but edge-1 has 2",
        ),
        (
            changed(
                hierarchy={
                    "strategy": ALL,
                    "nodes": {"edge-0": {"strategy": {"kind": "sync", "cohort": 4}}},
                }
            ),
            "hierarchy.nodes.edge-0.strategy: needs 4 clients at a time, but edge-0 has 3",
        ),
        (
            changed(hierarchy={"strategy": ALL, "nodes": {"edge-4": {}}}),
            "no such edge; they are edge-0 to edge-3",
        ),
        (changed(hierarchy={"strategy": ALL, "round": 2}), "unknown key"),
        (changed(hierarchy={}), "hierarchy.strategy: this key is required and missing"),
        (
            changed(hierarchy={"strategy": ALL, "rounds": 0}),
            "hierarchy.rounds: must be greater than or equal to 1",
        ),
        (changed(selection={"kind": "fixed", "lists": [[4]]}), "selection.lists.0: no such client"),
        (
            changed(hierarchy={"strategy": ALL, "selection": {"kind": "fixed", "lists": [[2]]}}),
            "hierarchy.selection.lists.0: no such client",
        ),
        (
            changed(hierarchy={"strategy": ALL, "aggregation": {"kind": "ca2fl"}}),
            "hierarchy.strategy.weighting: ca2fl weights the clients itself",
        ),
        (changed(aggregation={"kind": "fednova"}), "aggregation.kind: fednova compares updates by"),
        (
            changed(workload=TORCH, personalization={"kind": "fedper"}),
            "personalization.kind: clients' own models go with one server",
        ),
        (
            changed(workload=TORCH | {"training": {"objective": {"kind": "scaffold"}}}),
            "workload.training.objective.kind: what scaffold remembers follows from one server's updates",
        ),
        (
            changed(workload=TORCH | {"training": {"objective": {"kind": "feddyn"}}}),
            "workload.training.objective.kind: what feddyn remembers",
        ),
        (
            changed(
                fleet={**quick(10, 4)["fleet"], "failure": away(1.0, 1.0, "hub-0")},
                network={"topology": {"kind": "tree", "levels": [level(4), level(2, name="hub")]}},
            ),
            "fleet.failure.outages.0.node: keeps clients away from the server; theirs is their edge",
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_what_cannot_be(data: dict[str, Any], message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        scenario_from(data)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_hierarchy_is_the_same_after_it_was_written_down() -> None:
    one = {"rounds": 2, "strategy": {"kind": "fedbuff", "concurrency": 2, "buffer_size": 1}}
    data = changed(hierarchy={"strategy": ALL, "nodes": {"edge-3": one, "edge-1": {}}})
    scenario = scenario_from(data)
    assert scenario_from(parse(to_yaml(scenario), "file").data) == scenario
    edges = edges_of(scenario)
    assert [edge.rounds for edge in edges] == [1, 1, 1, 2]
    assert [edge.strategy.kind for edge in edges] == ["sync", "sync", "sync", "fedbuff"]
