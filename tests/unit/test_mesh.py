"""A mesh takes in what a change reaches, fills no more than that, and waits for no more than it has to."""

import random
from collections.abc import Iterable

import pytest
from simpy import Environment

import flsim.sim.network.mesh
from flsim.sim.network.fair import FairLink
from flsim.sim.network.link import Link
from flsim.sim.network.mesh import FairMesh, FairRoute
from flsim.sim.network.transfer import Transfer
from flsim.sim.series import Series, Steady
from tests.flows import Build, Drive, Flow, carry, changing, rate_of
from tests.rounds import MEGA, WIDE, exactly


class Meshed:
    """Builds a mesh of these links with these routes, and keeps it."""

    mesh: FairMesh

    def __init__(self, capacities: Iterable[float | Series], routes: Iterable[tuple[int, ...]]) -> None:
        self.capacities = [each if isinstance(each, Series) else Steady(each) for each in capacities]
        self.routes = list(routes)

    def __call__(self, env: Environment) -> list[Link]:
        self.mesh = FairMesh(env, self.capacities)
        return [self.mesh.route(route) for route in self.routes]


def rates_at(build: Build, flows: list[Flow], *instants: float) -> list[list[float]]:
    """Return the rates in Mbit/s of the live flows, in order, right after these instants."""
    rates: dict[float, list[float]] = {}

    def note(env: Environment, live: dict[int, Transfer]) -> None:
        rates[env.now] = [rate_of(live[index]) / 1e6 for index in sorted(live)]

    Drive(build, flows).run(note)
    return [rates[instant] for instant in instants]


def test_a_flow_at_one_end_of_a_chain_of_bottlenecks_is_felt_at_the_other() -> None:
    """Links of 2, 4, 6 and 8 Mbit/s, each shared with the next one's flow. A flow joins on the first link.

    Without it they have 2, 2, 4 and 4. It takes half of the first link, which leaves 1 more on the second,
    so that the third has 3 for its own flow, and that leaves 5 of 8 on the last.
    """
    chain = Meshed([2e6, 4e6, 6e6, 8e6], [(0, 1), (1, 2), (2, 3), (3,), (0,)])
    flows = [Flow(WIDE, MEGA, way=way) for way in range(4)] + [Flow(WIDE, 10_000, 0.25, way=4)]
    before, during = rates_at(chain, flows, 0.0, 0.25)
    assert before == [exactly(2), exactly(2), exactly(4), exactly(4)]
    assert during == [exactly(1), exactly(3), exactly(3), exactly(5), exactly(1)]
    after = rates_at(chain, flows, 0.25 + 0.08)[0]
    assert after == before


def test_a_flow_concerns_only_those_whom_full_links_connect_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Links 0, 1 and 4 are full. Links 2 and 3 are not, so nothing is passed on beyond them."""
    filled: list[set[tuple[int, ...]]] = []
    fill = flsim.sim.network.mesh._fill
    edges = Meshed([2e6, 2e6, 50e6, 50e6, 2e6], [(0, 2), (1, 2), (0, 3), (3, 4)])

    def spied(routes: dict[FairRoute, None]) -> None:
        names = {route: key for key, route in edges.mesh._routes.items()}
        filled.append({names[route] for route in routes})
        fill(routes)

    monkeypatch.setattr(flsim.sim.network.mesh, "_fill", spied)
    flows = [Flow(WIDE, MEGA, start, way=way) for way in range(4) for start in (0.0, 0.0, 1.0 + way)]
    Drive(edges, flows).run()
    assert filled[:5] == [
        {(0, 2), (1, 2), (0, 3), (3, 4)},  # at 0 s, all begin
        {(0, 2), (0, 3)},
        {(1, 2)},
        {(0, 2), (0, 3)},
        {(3, 4)},
    ]


def test_a_link_that_never_has_more_than_it_carries_is_never_filled() -> None:
    """A hundred flows, one after the other and two at a time: of 10 Mbit/s, they ask for 8."""
    build = Meshed([10e6, WIDE], [(0, 1), (0,)])
    flows = [Flow(4e6, 50_000, turn / 10, way=way) for turn in range(100) for way in (0, 1)]

    def check(env: Environment, live: dict[int, Transfer]) -> None:
        assert not build.mesh._links[0].congested

    carried = Drive(build, flows).run(check)
    assert carried.ends_s == [exactly(flow.start_s + 0.1) for flow in flows]


def test_what_a_mesh_waits_for_stays_little() -> None:
    """One flow ends at 400 s whatever happens, and is waited for first; the others' ends come and go."""
    turns = changing((0.0, 4e6), (0.6, 3e6), period_s=1.0)
    build = Meshed([WIDE, turns, 5e6, WIDE], [(0,), (1, 2), (2, 3)])
    flows = [Flow(1e3, 50_000), Flow(WIDE, 500 * MEGA, way=1), Flow(WIDE, 500 * MEGA, way=2)]
    dice = random.Random(1)
    for turn in range(300):
        leaves = turn + dice.uniform(0.2, 0.8)
        flows.append(Flow(WIDE, 100 * MEGA, turn + 0.1, leaves, way=dice.choice([1, 2])))
    most_ends = 0

    def check(env: Environment, live: dict[int, Transfer]) -> None:
        nonlocal most_ends
        most_ends = max(most_ends, len(build.mesh._ends))
        assert len(build.mesh._changes) == (1 if 1 in live else 0)

    ends = Drive(build, flows).run(check).ends_s
    assert ends[0] == exactly(400.0)
    assert most_ends <= 4 * len(build.routes) + 65


def test_ends_that_are_out_of_date_are_forgotten_many_at_a_time() -> None:
    """Sixty routes through one link, so that every start and end makes sixty ends anew; as on that link."""
    build = Meshed([1e6, *[1e9] * 61], [(0, edge) for edge in range(1, 62)])
    dice = random.Random(0)
    flows = [Flow(1e9, dice.randrange(100_000, MEGA), way=way) for way in range(60)]
    flows += [Flow(1e9, 1000, turn / 4, way=60) for turn in range(20)]
    kept: list[object] = []

    def note(env: Environment, live: dict[int, Transfer]) -> None:
        if not kept or kept[-1] is not build.mesh._ends:
            kept.append(build.mesh._ends)

    carried = Drive(build, flows).run(note)
    on_the_link = carry(FairLink, [flow._replace(way=0) for flow in flows], 1e6)
    assert carried.ends_s == [exactly(end) for end in on_the_link.ends_s if end is not None]
    entered = build.mesh._stamps
    assert 1 < len(kept) <= 1 + entered / (3 * len(build.routes))
