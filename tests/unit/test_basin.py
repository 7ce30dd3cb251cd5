"""What a fair link keeps of its flows: their order, a clock that runs on, and heaps that stay small."""

import pytest
from simpy import Environment

import flsim.sim.network.basin
from flsim.sim.network.basin import Basin, FairTransfer
from flsim.sim.network.fair import FairLink
from flsim.sim.network.transfer import Transfer
from tests.flows import Drive, Flow, Kept, carry, single
from tests.rounds import MEGA, WIDE


def basin_of(drive: Drive) -> Basin:
    basin: Basin = drive.links[0]._basin  # type: ignore[attr-defined]
    return basin


@pytest.mark.parametrize("limit", [1e3, WIDE])
def test_flows_that_end_at_one_instant_end_in_the_order_in_which_they_joined(limit: float) -> None:
    drive = Drive(single(FairLink, 1e6), [Flow(limit, MEGA)] * 9)
    drive.run()
    assert drive.order == list(range(9))


@pytest.mark.parametrize("limit", [WIDE, 1e3], ids=["open", "capped"])
@pytest.mark.parametrize("staying", [1, 40])
def test_the_heaps_of_a_link_forget_who_was_withdrawn(limit: float, staying: int) -> None:
    """Some flows that end first, so that they stay on top; 400 others come behind them and go again."""
    flows = [Flow(limit, 10 * MEGA)] * staying
    flows += [Flow(limit * 0.9, 20 * MEGA, start / 10, start / 10 + 0.05) for start in range(400)]
    drive = Drive(single(FairLink, 1e6), flows)
    kept = Kept(drive)

    def check(env: Environment, live: dict[int, Transfer]) -> None:
        kept.see(live)
        assert env.now > 40 or len(live) >= staying

    drive.run(check)
    assert kept.flows == staying + 1
    assert kept.entries <= 4 * kept.flows + 65


def test_entries_that_are_out_of_date_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """So a start costs O(log n): of what a heap is cleared of, three quarters at least are out of date."""
    looked_at: list[int] = []
    compact = flsim.sim.network.basin._compact

    def counted(heap: list[tuple[float, int, FairTransfer]]) -> None:
        looked_at.append(len(heap))
        compact(heap)

    monkeypatch.setattr(flsim.sim.network.basin, "_compact", counted)
    flows = [Flow(WIDE, 10 * MEGA)] * 40
    flows += [Flow(WIDE, 20 * MEGA, start / 10, start / 10 + 0.05) for start in range(300)]
    drive = Drive(single(FairLink, 1e6), flows)
    drive.run(lambda env, live: None)
    of_two_heaps = 2 * len(flows)
    assert 0 < sum(looked_at) <= of_two_heaps * 4 / 3


def test_the_clock_of_service_runs_on_until_nobody_is_there() -> None:
    """To start it anew costs a step for every flow: 1 Tbit pass before it is done under way."""
    flows = [Flow(WIDE, 10 * MEGA, start) for start in (0.0, 3.0, 7.0)]
    drive = Drive(single(FairLink, 1e6), flows)
    basin = basin_of(drive)
    served: list[float] = []

    def note(env: Environment, live: dict[int, Transfer]) -> None:
        served.append(basin._service_bits)

    drive.run(note)
    assert served[:-1] == sorted(served[:-1])
    assert served[-2] > 79e6
    assert served[-1] == 0
    terabits = carry(FairLink, [Flow(WIDE, 10**12), Flow(WIDE, 10**12, 4.0)], 1e12)
    assert terabits.ends_s == [pytest.approx(12.0), pytest.approx(16.0)]
