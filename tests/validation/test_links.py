"""Links against closed forms: on the links themselves, and through whole scenarios."""

from typing import Any

import numpy as np
import pytest
from simpy import Environment

from flsim.records import Outcome
from flsim.scenario import scenario_from
from flsim.sim.network.fair import FairLink
from flsim.sim.network.fifo import FifoLink
from flsim.sim.network.link import Link
from flsim.sim.network.private import PrivateLink
from flsim.sim.network.transfer import Transfer
from tests.flows import Drive, Flow, carry, rate_of, single
from tests.memory import simulated, world_of
from tests.rounds import MEGA, WIDE, cohort, exactly

EVERY_LINK = pytest.mark.parametrize("link_class", [FairLink, FifoLink, PrivateLink])


def with_different(data: dict[str, Any], column: str) -> dict[str, Any]:
    """Return the scenario with a seed under which each of its clients has another link."""
    for seed in range(1000):
        seeded = {**data, "seed": seed}
        links = getattr(world_of(scenario_from(seeded)).devices, column)
        if len(set(links)) == len(links):
            return seeded
    raise AssertionError("no seed fits")


@EVERY_LINK
@pytest.mark.parametrize(("limit", "capacity"), [(2e6, 8e6), (8e6, 2e6), (2e6, 2e6)])
@pytest.mark.parametrize("latency", [0.0, 0.25])
def test_one_flow_takes_latency_and_bits_over_the_narrowest_link(
    link_class: type[Link], limit: float, capacity: float, latency: float
) -> None:
    drive = Drive(single(link_class, capacity), [Flow(limit, MEGA, 3.0, latency_s=latency)])
    assert drive.links[0].uncontended_s(MEGA, limit, latency) == exactly(latency + 4.0)
    assert drive.run().ends_s == [exactly(3.0 + latency + 4.0)]


@pytest.mark.parametrize("sharing", ["fair", "fifo", "none"])
def test_one_flow_through_a_whole_scenario(sharing: str) -> None:
    network = {"downlink": 4e6, "uplink": 1e6, "latency": 0.05, "sharing": sharing}
    server = {"uplink": 2e6, "downlink": 10e6}
    _, journal = simulated(cohort(1, server=server, **network))
    (row,) = journal.tasks
    assert row.download_end_s == exactly(0.05 + 8.0)
    assert row.train_end_s == exactly(0.05 + 8.0 + 10.0)
    assert row.ended_s == exactly(0.05 + 8.0 + 10.0 + 0.05 + 8.0)


@pytest.mark.parametrize("flows", [2, 3, 7, 100, 1000])
def test_equal_flows_on_a_shared_link_end_together(flows: int) -> None:
    carried = carry(FairLink, [Flow(WIDE, MEGA, 1.0, latency_s=0.3)] * flows, 5e6)
    assert carried.ends_s == [exactly(1.3 + flows * 8 * MEGA / 5e6)] * flows
    assert len(set(carried.ends_s)) == 1


@pytest.mark.parametrize("clients", [3, 50])
def test_equal_flows_of_a_whole_scenario_end_together(clients: int) -> None:
    """Down at c / n each, ten seconds of training, up at c' / n each."""
    network = {"downlink": WIDE, "uplink": WIDE, "latency": 0.3, "sharing": "fair"}
    _, journal = simulated(cohort(clients, server={"uplink": 16e6, "downlink": 4e6}, **network))
    downloaded, uploading_s = 0.3 + clients * 1.0, 0.3 + clients * 2.0
    assert [row.task for row in journal.tasks] == list(range(clients))
    for row in journal.tasks:
        assert row.download_end_s == exactly(downloaded)
        assert row.ended_s == exactly(downloaded + 10.0 + uploading_s)


def test_the_two_directions_do_not_share() -> None:
    """A client that uploads while another downloads has its link for itself."""
    data = cohort(2, downlink=WIDE, uplink=WIDE, server={"uplink": 4e6, "downlink": 4e6}, sharing="fair")
    data["fleet"] = {
        "clients": 2,
        "classes": [
            {"name": "quick", "share": 0.5, "compute": {"kind": "duration", "task": 1.0}},
            {"name": "slow", "share": 0.5, "compute": {"kind": "duration", "task": 100.0}},
        ],
    }
    data["strategy"] = {"kind": "fedbuff", "concurrency": 2, "buffer_size": 2}
    data["stop"] = {"updates": 2}
    _, journal = simulated(data)
    quick = min(journal.tasks, key=lambda row: row.ended_s)
    assert quick.download_end_s == exactly(8.0)  # shared with the slow one
    assert quick.ended_s == exactly(8.0 + 1.0 + 2.0)
    again = next(row for row in journal.tasks if row.dispatched_s == quick.ended_s)
    assert again.download_end_s == exactly(quick.ended_s + 4.0)


@pytest.mark.parametrize("sharing", ["fifo", "none"])
def test_other_sharings_of_a_whole_scenario(sharing: str) -> None:
    """Served one after the other, or all at once."""
    network = {"downlink": WIDE, "uplink": 4e6, "latency": 0.5, "sharing": sharing}
    _, journal = simulated(cohort(5, server={"downlink": 8e6}, **network))
    downloaded = 0.5 + 16 * MEGA / WIDE  # the server sends without limit
    for place, row in enumerate(journal.tasks):
        turn = place + 1 if sharing == "fifo" else 1
        assert row.download_end_s == exactly(downloaded)
        assert row.ended_s == exactly(downloaded + 10.5 + turn * 2.0)


def test_slow_links_leave_their_slack_to_the_others() -> None:
    """Six flows of 0.5 Mbit/s and two without a limit on 10 Mbit/s, which get (10 - 6 * 0.5) / 2 each."""
    flows = [Flow(0.5e6, MEGA)] * 6 + [Flow(WIDE, 7 * MEGA)] * 2
    drive = Drive(single(FairLink, 10e6), flows)
    rates: list[list[float]] = []

    def note(env: Environment, live: dict[int, Transfer]) -> None:
        rates.append([rate_of(transfer) for transfer in live.values()])

    carried = drive.run(note)
    assert rates[0] == [exactly(0.5e6)] * 6 + [exactly(3.5e6)] * 2
    assert carried.ends_s == [exactly(16.0)] * 8


def test_three_classes_of_limits_in_a_whole_scenario() -> None:
    """Uplinks of 1, 3 and 100 Mbit/s into 8 Mbit/s: 1, 3 and the rest, 4; then it all goes to who is left.

    With 8 Mbit each, the fast one ends after 2 s, the middle one (at its limit) after 8/3 s, and the slow
    one after 8 s.
    """
    links = {"kind": "empirical", "values": [1e6, 3e6, 100e6]}
    network = {"downlink": WIDE, "uplink": links, "server": {"downlink": 8e6}, "sharing": "fair"}
    ended, journal = simulated(with_different(cohort(3, **network), "uplink_bps"))
    took = {
        ended.devices.uplink_bps[row.client]: row.ended_s - (row.train_end_s or 0.0)
        for row in journal.tasks
    }
    assert took == {100e6: exactly(2.0), 3e6: exactly(8 / 3), 1e6: exactly(8.0)}


def test_a_flow_that_starts_midway_changes_the_rates_at_that_instant() -> None:
    """Two flows of 24 Mbit at 3 Mbit/s each until a third joins at 2 s; 2 Mbit/s each from then on.

    The two have 18 Mbit left at 2 s and end at 11 s; the third has moved 18 of its 24 Mbit by then, and
    has the whole 6 Mbit/s for the rest: one second more.
    """
    drive = Drive(
        single(FairLink, 6e6), [Flow(WIDE, 3 * MEGA), Flow(WIDE, 3 * MEGA), Flow(WIDE, 3 * MEGA, 2.0)]
    )
    rates: dict[float, list[float]] = {}

    def note(env: Environment, live: dict[int, Transfer]) -> None:
        rates[env.now] = [rate_of(transfer) for transfer in live.values()]

    carried = drive.run(note)
    assert rates[0.0] == [exactly(3e6)] * 2
    assert rates[2.0] == [exactly(2e6)] * 3
    assert rates[11.0] == [exactly(6e6)]
    assert carried.ends_s == [exactly(11.0), exactly(11.0), exactly(12.0)]


def test_a_flow_that_starts_midway_pushes_a_capped_one_below_its_limit() -> None:
    """10 Mbit/s: a flow at its limit of 6 until an unlimited one joins at 1 s, then both at 5.

    The first has 24 Mbit, so 18 left at 1 s: it ends at 4.6 s, when the second has moved 18 of 28 Mbit;
    it moves the other 10 in a second.
    """
    carried = carry(FairLink, [Flow(6e6, 3 * MEGA), Flow(WIDE, 3_500_000, 1.0)], 10e6)
    assert carried.ends_s == [exactly(4.6), exactly(5.6)]


def test_a_slow_flow_that_joins_a_capped_crowd_is_capped_itself() -> None:
    """Limits 1, 6 and then 3.2 on 10 Mbit/s: the slack of 3 is too little for the third, but not its share.

    Sharing gives 1, 5.8 and 3.2: the third runs at its limit, and the second loses 0.2.
    """
    flows = [Flow(1e6, 10 * MEGA), Flow(6e6, 10 * MEGA), Flow(3.2e6, 4 * MEGA, 1.0)]
    drive = Drive(single(FairLink, 10e6), flows)
    rates: dict[float, list[float]] = {}

    def note(env: Environment, live: dict[int, Transfer]) -> None:
        rates[env.now] = [rate_of(transfer) for transfer in live.values()]

    carried = drive.run(note)
    assert rates[1.0] == [exactly(1e6), exactly(5.8e6), exactly(3.2e6)]
    assert carried.ends_s[2] == exactly(11.0)


def test_a_flow_that_joins_as_another_ends_is_not_ended_with_it() -> None:
    flows = [Flow(1e6, 125_000, 1.0), Flow(1e3, 1000, 2.0)]
    assert carry(FairLink, flows, 2e6).ends_s == [exactly(2.0), exactly(10.0)]


def test_a_withdrawn_flow_frees_its_rate_and_has_moved_its_bytes() -> None:
    """Two flows of 16 Mbit on 4 Mbit/s; one withdraws at 3 s with 6 Mbit moved, the other has 10 left."""
    flows = [Flow(WIDE, 2 * MEGA), Flow(WIDE, 2 * MEGA, withdraw_s=3.0)]
    carried = carry(FairLink, flows, 4e6)
    assert carried.ends_s == [exactly(5.5), None]
    assert carried.moved_bytes == [2 * MEGA, 750_000]


@pytest.mark.parametrize("sharing", ["fair", "none"])
def test_a_task_that_is_called_off_has_moved_its_bytes(sharing: str) -> None:
    """At 24 s one task is done; one uploads at 1 Mbit/s since 20 s; one downloads at 0.25 Mbit/s."""
    links = {"kind": "empirical", "values": [0.25e6, 1.6e6, 16e6]}
    server = {"downlink": WIDE, "uplink": WIDE}
    data = cohort(3, downlink=links, uplink=1e6, server=server, sharing=sharing)
    data["strategy"] |= {"deadline": 24.0}
    ended, journal = simulated(with_different(data, "downlink_bps"))
    downlink = ended.devices.downlink_bps
    rows = {downlink[row.client]: row for row in journal.tasks}
    assert {rate: (row.outcome, row.bytes_down, row.bytes_up) for rate, row in rows.items()} == {
        16e6: (Outcome.AGGREGATED, 2 * MEGA, MEGA),
        1.6e6: (Outcome.DISCARDED, 2 * MEGA, MEGA // 2),
        0.25e6: (Outcome.DISCARDED, 3 * MEGA // 4, 0),
    }
    assert rows[16e6].ended_s == exactly(19.0)
    assert rows[0.25e6].ended_s == 24.0


@EVERY_LINK
def test_withdrawn_bytes_count_from_the_end_of_the_latency(link_class: type[Link]) -> None:
    """Before it, nothing has moved; then the link's rate for the time since; at the end, all of it."""
    flow = Flow(8e6, MEGA, 1.0, latency_s=0.5)
    for withdraw_s, moved in [
        (1.0, 0),
        (1.4, 0),
        (1.75, 250_000),
        (2.25, 750_000),
        (2.5, MEGA),
        (9.0, MEGA),
    ]:
        carried = carry(link_class, [flow._replace(withdraw_s=withdraw_s)], 1e9)
        assert carried.moved_bytes == [pytest.approx(moved, abs=1)]


def test_a_withdrawn_flow_of_a_queue_lets_the_next_one_in() -> None:
    """8 Mbit each at 4 Mbit/s. The first is called off in service at 1 s, the third in the queue at 2 s."""
    flows = [
        Flow(WIDE, MEGA, withdraw_s=1.0),
        Flow(WIDE, MEGA),
        Flow(WIDE, MEGA, withdraw_s=2.0),
        Flow(WIDE, MEGA),
        Flow(WIDE, MEGA, 10.0),
    ]
    carried = carry(FifoLink, flows, 4e6)
    assert carried.ends_s == [None, exactly(3.0), None, exactly(5.0), exactly(12.0)]
    assert carried.moved_bytes == [500_000, MEGA, 0, MEGA, MEGA]


def test_a_queue_serves_each_flow_at_its_own_rate() -> None:
    """A slow client blocks those behind it: 8 Mbit at 1, then at 4 Mbit/s."""
    carried = carry(FifoLink, [Flow(1e6, MEGA), Flow(WIDE, MEGA, 1.0), Flow(WIDE, MEGA, 0.5)], 4e6)
    assert carried.ends_s == [exactly(8.0), exactly(12.0), exactly(10.0)]


def test_without_sharing_everyone_has_the_whole_link() -> None:
    flows = [Flow(limit, MEGA, start) for limit in (1e6, 4e6, WIDE) for start in (0.0, 0.5, 0.5)]
    ends = [flow.start_s + 8 * MEGA / min(flow.limit_bps, 8e6) for flow in flows]
    assert carry(PrivateLink, flows, 8e6).ends_s == [exactly(end) for end in ends]
    assert carry(PrivateLink, flows[:6], None).ends_s == [
        exactly(flow.start_s + 8 * MEGA / flow.limit_bps) for flow in flows[:6]
    ]


@pytest.mark.parametrize("sharing", ["fair", "fifo", "none"])
def test_without_a_limit_on_the_server_only_the_own_link_counts(sharing: str) -> None:
    _, journal = simulated(cohort(20, downlink=4e6, uplink=2e6, sharing=sharing))
    assert [row.ended_s for row in journal.tasks] == [exactly(4.0 + 10.0 + 4.0)] * 20


def poisson_flows(load: float, count: int, seed: int) -> tuple[list[Flow], float]:
    """Return Poisson arrivals (one a second) of exponential sizes, and the capacity for this load."""
    generator = np.random.default_rng(seed)
    starts = np.cumsum(generator.exponential(1.0, count))
    sizes = np.round(generator.exponential(MEGA, count)).astype(int)
    flows = [Flow(WIDE, size, start) for size, start in zip(sizes.tolist(), starts.tolist(), strict=True)]
    return flows, 8 * MEGA / load


def sojourns(flows: list[Flow], ends: list[float | None]) -> list[float]:
    return [end - flow.start_s for flow, end in zip(flows, ends, strict=True) if end is not None]


def test_a_queue_with_poisson_arrivals_is_m_m_1() -> None:
    """Mean sojourn 1 / (mu - lambda): 100,000 arrivals at load 0.5, whose mean deviates by 0.7 %."""
    flows, capacity = poisson_flows(load=0.5, count=100_000, seed=5)
    took = sojourns(flows, carry(FifoLink, flows, capacity).ends_s)
    assert len(took) == len(flows)
    assert np.mean(took) == pytest.approx(1 / (1 / 0.5 - 1), rel=0.03)


def test_a_queue_follows_lindleys_recursion() -> None:
    """Each flow starts when it has arrived and the one before has ended."""
    flows, capacity = poisson_flows(load=0.9, count=2000, seed=6)
    free, ends = 0.0, []
    for flow in flows:
        free = max(free, flow.start_s) + 8 * flow.size_bytes / capacity
        ends.append(exactly(free))
    assert carry(FifoLink, flows, capacity).ends_s == ends


def test_fair_sharing_with_poisson_arrivals_is_processor_sharing() -> None:
    """M/M/1-PS: a flow of x seconds' work stays x / (1 - load) on average; 100,000 arrivals at load 0.5."""
    flows, capacity = poisson_flows(load=0.5, count=100_000, seed=7)
    took = np.array(sojourns(flows, carry(FairLink, flows, capacity).ends_s))
    work = np.array([8 * flow.size_bytes / capacity for flow in flows])
    assert np.mean(took) == pytest.approx(1 / (1 / 0.5 - 1), rel=0.03)
    large = work > np.quantile(work, 0.8)
    assert np.mean(took[large]) / np.mean(work[large]) == pytest.approx(1 / (1 - 0.5), rel=0.03)
