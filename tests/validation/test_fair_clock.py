"""Fair links over long and short times, and wide and narrow links: what a clock has to resolve."""

from typing import Any

import pytest

from flsim.sim.network.fair import FairLink
from tests.flows import Drive, Flow, changing, one_link_of_a_mesh, single
from tests.rounds import MEGA, WIDE, exactly

TERA = 1e12


FAIR = pytest.mark.parametrize("link_class", [FairLink, one_link_of_a_mesh], ids=lambda made: made.__name__)


def interrupted(times: int, first_s: float) -> list[Flow]:
    """Return flows of no bytes, one a second: they take nothing, but shares are worked out anew."""
    return [Flow(WIDE, 0, first_s + second) for second in range(times)]


@FAIR
def test_a_link_that_has_been_busy_for_petabits_is_as_exact_as_a_new_one(link_class: Any) -> None:
    """1 Pbit in 1000 s for two flows that go on; then 0.6 bit/s, of which a flow of a byte has 0.2."""
    capacity = changing((0.0, TERA), (1000.0, 0.6), (2000.0, TERA))
    flows = [Flow(WIDE, 1, 1010.0), *[Flow(WIDE, 250 * 10**12)] * 2, *interrupted(30, 1010.05)]
    ends = Drive(single(link_class, capacity), flows).run().ends_s
    assert ends[0] == exactly(1010 + 8 / 0.2)


@FAIR
def test_a_link_that_was_free_in_between_is_as_exact_as_a_new_one(link_class: Any) -> None:
    """1 Pbit in 1000 s for two flows; then nobody, until a flow of a byte comes. It has 0.6 bit/s."""
    capacity = changing((0.0, TERA), (1500.0, 0.6))
    flows = [Flow(WIDE, 1, 2000.0), *[Flow(WIDE, 125 * 10**12 // 2)] * 2, *interrupted(10, 2000.05)]
    ends = Drive(single(link_class, capacity), flows).run().ends_s
    assert ends[:3] == [exactly(2000 + 8 / 0.6), exactly(1000.0), exactly(1000.0)]


@FAIR
def test_what_is_under_way_stays_in_turn_when_the_clock_starts_anew(link_class: Any) -> None:
    """3 Tbit in 3 s, then 1 Mbit/s. The two that are left have 3 and 1 Mbit to go, a third joins with 10.

    A third of 1 Mbit/s each until 6 s, half each until 10 s, and the last 7 Mbit alone.
    """
    capacity = changing((0.0, TERA), (3.0, 1e6))
    flows = [Flow(WIDE, (3 * 10**12 // 2 + bits) // 8) for bits in (3_000_000, 1_000_000)]
    flows.append(Flow(WIDE, 10_000_000 // 8, 3.0))
    ends = Drive(single(link_class, capacity), flows).run().ends_s
    assert ends == [exactly(10.0), exactly(6.0), exactly(17.0)]


@FAIR
@pytest.mark.parametrize(
    ("first_bps", "change_s", "then_bps", "size_bytes"),
    [(23.7e6, 305.7, 9.9e6, 1_627_958_955), (5.2e6, 624.4, 4.9e6, 1_072_476_169)],
)
def test_a_flow_ends_though_rounding_leaves_something_of_it_at_its_end(
    link_class: Any, first_bps: float, change_s: float, then_bps: float, size_bytes: int
) -> None:
    """Rates and sizes found by trying: a millionth of a bit is left when the last should be there."""
    capacity = changing((0.0, first_bps), (change_s, then_bps))
    ends = Drive(single(link_class, capacity), [Flow(WIDE, size_bytes)]).run().ends_s
    assert ends == [exactly(change_s + (8 * size_bytes - first_bps * change_s) / then_bps)]


@FAIR
def test_slow_flows_share_as_fast_ones_do(link_class: Any) -> None:
    """Two of 1 bit/s at most on a link of 1.5 bit/s: a byte each in 8 / 0.75 s."""
    ends = Drive(single(link_class, 1.5), [Flow(1.0, 1)] * 2).run().ends_s
    assert ends == [exactly(8 / 0.75)] * 2


@FAIR
def test_a_link_that_is_too_narrow_by_a_trifle_carries_no_more_than_it_can(link_class: Any) -> None:
    """Ten flows at most want half a billionth more than the link has: they all take that much longer."""
    capacity = 10e6 * (1 - 0.5e-9)
    ends = Drive(single(link_class, capacity), [Flow(1e6, 10 * MEGA)] * 10).run().ends_s
    assert ends == [pytest.approx(80 * (1 + 0.5e-9), rel=1e-11)] * 10
