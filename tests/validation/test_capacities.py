"""Capacities that change over time, against closed forms."""

from pathlib import Path
from typing import Any

import pytest
from simpy import Environment

from flsim.sim.network.fair import FairLink
from flsim.sim.network.fifo import FifoLink
from flsim.sim.network.private import PrivateLink
from flsim.sim.network.transfer import Transfer
from tests.flows import Build, Drive, Flow, changing, one_link_of_a_mesh, rate_of, single
from tests.memory import simulated
from tests.rounds import MEGA, WIDE, cohort, exactly

EVERY_LINK = pytest.mark.parametrize(
    "link_class", [FairLink, FifoLink, PrivateLink, one_link_of_a_mesh], ids=lambda made: made.__name__
)
FAIR = pytest.mark.parametrize("link_class", [FairLink, one_link_of_a_mesh], ids=lambda made: made.__name__)


@EVERY_LINK
def test_a_lone_flow_takes_what_the_steps_carry(link_class: Any) -> None:
    """4 Mbit/s for 3 s, 1 for 2 s, none for 5 s, 2 from 10 s on: 24 Mbit from 1 s on are 8 + 2 + 0 + 14."""
    capacity = changing((0.0, 4e6), (3.0, 1e6), (5.0, 0.0), (10.0, 2e6))
    drive = Drive(single(link_class, capacity), [Flow(WIDE, 3 * MEGA, 0.5, latency_s=0.5)])
    assert drive.links[0].uncontended_s(3 * MEGA, WIDE, 0.5) == exactly(0.5 + 24e6 / 4e6)
    assert drive.run().ends_s == [exactly(10.0 + 14 / 2)]


@EVERY_LINK
def test_a_limit_below_the_capacity_is_all_that_counts(link_class: Any) -> None:
    capacity = changing((0.0, 4e6), (3.0, 2e6), period_s=4.0)
    assert Drive(single(link_class, capacity), [Flow(1e6, 3 * MEGA)]).run().ends_s == [exactly(24.0)]


@EVERY_LINK
def test_a_capacity_repeats_with_its_period(link_class: Any) -> None:
    """3 Mbit a period of 2 s: 30 Mbit from 1 s on are 1 + 9 periods of 3 + 2."""
    capacity = changing((0.0, 2e6), (1.0, 1e6), period_s=2.0)
    flow = Flow(WIDE, 30_000_000 // 8, 1.0)
    assert Drive(single(link_class, capacity), [flow]).run().ends_s == [exactly(21.0)]


@EVERY_LINK
@pytest.mark.parametrize(
    ("withdraw_s", "moved"), [(2.0, 500_000), (4.0, 1_125_000), (7.0, 1_250_000), (11.0, 1_500_000)]
)
def test_a_withdrawn_flow_has_moved_what_the_steps_carried(
    link_class: Any, withdraw_s: float, moved: int
) -> None:
    capacity = changing((0.0, 4e6), (3.0, 1e6), (5.0, 0.0), (10.0, 2e6))
    drive = Drive(single(link_class, capacity), [Flow(WIDE, 3 * MEGA, 1.0, withdraw_s)])
    assert drive.run().moved_bytes == [pytest.approx(moved, abs=1)]


@EVERY_LINK
def test_an_end_at_the_beginning_of_an_outage_does_not_wait_for_its_end(link_class: Any) -> None:
    """8 Mbit at 1 Mbit/s from 0.1 s on end at 8.1 s, when nothing flows any more for 1000 s."""
    capacity = changing((0.0, 1e6), (8.1, 0.0), (1008.1, 1e6))
    flow = Flow(WIDE, MEGA, latency_s=0.1)
    assert Drive(single(link_class, capacity), [flow]).run().ends_s == [exactly(8.1)]


@EVERY_LINK
def test_no_bits_need_no_capacity(link_class: Any) -> None:
    capacity = changing((0.0, 1e6), (1.0, 0.0), (9.0, 1e6))
    assert Drive(single(link_class, capacity), [Flow(WIDE, 0, 2.0)]).run().ends_s == [2.0]


@FAIR
def test_flows_share_what_there_is_at_every_moment(link_class: Any) -> None:
    """Limits 1, 3 and none. 10 Mbit/s: 1, 3, 6. From 1 s on 6 Mbit/s: 1, 2.5, 2.5; from 2 s on 1.5: 0.5."""
    capacity = changing((0.0, 10e6), (1.0, 6e6), (2.0, 1.5e6), (3.0, 10e6))
    flows = [Flow(limit, 10 * MEGA) for limit in (1e6, 3e6, WIDE)]
    rates: dict[float, list[float]] = {}

    def note(env: Environment, live: dict[int, Transfer]) -> None:
        rates[env.now] = [rate_of(transfer) for transfer in live.values()]

    ends = Drive(single(link_class, capacity), flows).run(note).ends_s
    assert rates[0.0] == [exactly(1e6), exactly(3e6), exactly(6e6)]
    assert rates[1.0] == [exactly(1e6), exactly(2.5e6), exactly(2.5e6)]
    assert rates[2.0] == [exactly(0.5e6)] * 3
    assert rates[3.0] == [exactly(1e6), exactly(3e6), exactly(6e6)]
    # By 3 s, 2.5, 6 and 9 Mbit of 80 have passed.
    last = 3 + 71 / 6  # of the one without a limit; then the others have more than their limits
    assert ends == [exactly(3 + 77.5), exactly(3 + 74 / 3), exactly(last)]


@FAIR
def test_a_capacity_that_no_longer_carries_flows_at_their_limits(link_class: Any) -> None:
    """Limits 2 and 3 on 10 Mbit/s; from 1 s on 4, so 2 and 2: of 8 Mbit, 6 and 5 are left by then."""
    capacity = changing((0.0, 10e6), (1.0, 4e6))
    flows = [Flow(2e6, MEGA), Flow(3e6, MEGA)]
    assert Drive(single(link_class, capacity), flows).run().ends_s == [exactly(4.0), exactly(3.5)]


def test_a_queue_serves_at_the_new_rate_from_the_moment_of_change() -> None:
    """8 Mbit each: at 4 Mbit/s until 1 s, at 1 until 9 s, then at 8."""
    capacity = changing((0.0, 4e6), (1.0, 1e6), (9.0, 8e6))
    ends = Drive(single(FifoLink, capacity), [Flow(WIDE, MEGA)] * 3).run().ends_s
    assert ends == [exactly(5.0), exactly(9.0 + 4 / 8), exactly(9.5 + 1.0)]


@pytest.mark.parametrize("flows", [1, 4])
@FAIR
def test_a_capacity_that_changes_costs_nothing_while_nobody_is_there(link_class: Any, flows: int) -> None:
    """A change a millisecond for ever: what is left when the last flow has ended is at most one of them."""
    capacity = changing((0.0, 4e6), (0.0005, 2e6), period_s=0.001)
    build: Build = single(link_class, capacity)
    drive = Drive(build, [Flow(WIDE, MEGA, 100.0)] * flows + [Flow(WIDE, MEGA, 500.0)])
    steps, step = 0, drive.env.step

    def counted() -> None:
        nonlocal steps
        steps += 1
        step()

    drive.env.step = counted  # type: ignore[method-assign]
    ends = drive.run().ends_s
    assert ends[-1] == exactly(502.6665)  # 2666 periods of 3000 bits, and 2000 bits more
    assert drive.env.now <= 502.668
    assert steps < 50 + 3 * 2000 * (flows + 1) * 8 / 3


@EVERY_LINK
def test_a_capacity_that_changes_costs_nothing_after_a_withdrawal(link_class: Any) -> None:
    capacity = changing((0.0, 4e6), (0.0005, 2e6), period_s=0.001)
    drive = Drive(single(link_class, capacity), [Flow(WIDE, MEGA, withdraw_s=1.0)])
    assert drive.run().moved_bytes == [pytest.approx(375_000, abs=1)]
    assert drive.env.now <= 1.0011


def test_background_traffic_of_a_whole_scenario() -> None:
    """A quarter and then half of 8 Mbit/s are taken, in turns of 10 s: 6 and 4 Mbit/s are left.

    Two clients, 16 Mbit each down: both end at 16 / 3 s. Training takes until 46 / 3 s. Of the 16 Mbit up,
    (20 - 46 / 3) * 4 pass until 20 s = 56 / 3, so they end before: at 46 / 3 + 4.
    """
    busy = {"kind": "background", "rate": 8e6, "shares": [0.25, 0.5], "step": 10.0}
    server = {"uplink": busy, "downlink": busy}
    _, journal = simulated(cohort(2, downlink=WIDE, uplink=WIDE, server=server, sharing="fair"))
    for row in journal.tasks:
        assert row.download_end_s == exactly(16 / 3)
        assert row.ended_s == exactly(46 / 3 + 4)


@pytest.mark.parametrize("sharing", ["fair", "fifo", "none"])
def test_background_traffic_over_many_turns(sharing: str) -> None:
    """16 Mbit at 1 and 0.5 Mbit/s in turns of 2 s: 5 times 3 Mbit in 20 s, and 1 in another second."""
    busy = {"kind": "background", "rate": 1e6, "shares": [0.0, 0.5], "step": 2.0}
    data = cohort(1, downlink=WIDE, uplink=WIDE, server={"uplink": busy}, sharing=sharing)
    _, journal = simulated(data)
    assert journal.tasks[0].download_end_s == exactly(21.0)


@pytest.mark.parametrize("sharing", ["fair", "fifo", "none"])
@pytest.mark.parametrize("topology", ["star", "tree"])
def test_a_recorded_capacity_of_a_whole_scenario(tmp_path: Path, sharing: str, topology: str) -> None:
    """16 Mbit: 4 in the first 2 s, nothing until 7 s, 9 until the period ends, and 3 in the next one."""
    file = tmp_path / "uplink.csv"
    file.write_text("time_s,capacity_bps\n0,2e6\n2,0\n7,3000000\n")
    recorded = {"kind": "trace", "file": str(file), "period": 10.0}
    network: dict[str, Any] = {"downlink": WIDE, "uplink": WIDE, "sharing": sharing}
    if topology == "star":
        network["server"] = {"uplink": recorded}
    else:
        level = {"name": "edge", "nodes": 1, "downlink": recorded, "uplink": 1e9}
        network["topology"] = {"kind": "tree", "levels": [level]}
    _, journal = simulated(cohort(1, **network))
    assert journal.tasks[0].download_end_s == exactly(11.5)
