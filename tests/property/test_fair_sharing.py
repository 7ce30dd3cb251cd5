"""Fair links and meshes against progressive filling, written down again in exact arithmetic."""

import random
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simpy import Environment

from flsim.sim.network.fair import FairLink
from flsim.sim.network.mesh import FairMesh
from flsim.sim.network.transfer import Transfer
from flsim.sim.series import Series
from tests.flows import Build, Carried, Drive, Flow, Kept, carry, changing, rate_of, single

# Equal values on purpose: half of everything comes from a short list.
LIMITS = st.one_of(
    st.sampled_from([1e3, 1e5, 1e6, 3e6, 1e9]), st.floats(0, 7).map(lambda x: float(f"{1e3 * 10**x:.6g}"))
)
SIZES = st.one_of(st.sampled_from([0, 1, 1000, 125_000]), st.integers(0, 10_000_000))
TIMES = st.one_of(st.sampled_from([0.0, 0.1, 1.0, 2.0, 8.0]), st.floats(0, 100))
WITHDRAWALS = st.one_of(st.none(), st.none(), TIMES)
FLOWS = st.builds(Flow, LIMITS, SIZES, TIMES, WITHDRAWALS, st.just(0.0), st.just(0))
CAPACITIES = st.one_of(st.sampled_from([1e4, 1e6, 2e6, 1e9]), st.floats(3, 10).map(lambda x: 10.0**x))
# Changes at odd times only: a flow that ends within rounding of an outage may end before or after it.
CHANGES = st.lists(
    st.sampled_from([0.739085133, 1.414213562, 3.302775638, 5.916079783, 31.41592654, 77.45966692]),
    max_size=4,
    unique=True,
).map(sorted)


class Profile(NamedTuple):
    """A capacity over time: (time, bit/s), and the period with which it repeats."""

    changes: tuple[tuple[float, float], ...]
    period_s: float | None = None

    @property
    def series(self) -> Series:
        return changing(*self.changes, period_s=self.period_s)

    def at(self, now: Fraction) -> Fraction:
        local = now if self.period_s is None else now % Fraction(self.period_s)
        return Fraction([value for time, value in self.changes if Fraction(time) <= local][-1])

    def next_change(self, now: Fraction) -> Fraction | None:
        start = Fraction(0) if self.period_s is None else now - now % Fraction(self.period_s)
        later = [start + Fraction(time) for time, _ in self.changes if start + Fraction(time) > now]
        if later:
            return later[0]
        return None if self.period_s is None else start + Fraction(self.period_s)


def steady(capacity_bps: float) -> Profile:
    return Profile(((0.0, capacity_bps),))


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    """Return a capacity that mostly stays, sometimes changes, and is sometimes zero for a while."""
    if draw(st.booleans()):
        return steady(draw(CAPACITIES))
    times = [0.0, *draw(CHANGES)]
    values = [draw(st.one_of(CAPACITIES, CAPACITIES, st.just(0.0))) for _ in times]
    if values[-1] == 0:
        values[-1] = draw(CAPACITIES)
    period_s = draw(st.sampled_from([None, 97.53086419]))
    return Profile(tuple(zip(times, values, strict=True)), period_s)


class Mesh(NamedTuple):
    """Links, and the routes over them."""

    links: tuple[Profile, ...]
    routes: tuple[tuple[int, ...], ...]

    def build(self, env: Environment) -> Sequence[object]:
        mesh = FairMesh(env, [link.series for link in self.links])
        return [mesh.route(route) for route in self.routes]


@st.composite
def trees(draw: st.DrawFn, most_links: int = 6) -> Mesh:
    """Return a random tree: every node has a link towards its parent, and a route to the root."""
    links = tuple(draw(st.lists(profiles(), min_size=1, max_size=most_links)))
    parents = [None] + [draw(st.one_of(st.none(), st.integers(0, i - 1))) for i in range(1, len(links))]
    routes = []
    for node in range(len(links)):
        route = [node]
        while (parent := parents[route[-1]]) is not None:
            route.append(parent)
        routes.append(tuple(route))
    return Mesh(links, tuple(routes))


@st.composite
def graphs(draw: st.DrawFn, most_links: int = 5) -> Mesh:
    """Return routes over any sets of links: more than the paths of any graph."""
    links = tuple(draw(st.lists(profiles(), min_size=1, max_size=most_links)))
    some = st.sets(st.integers(0, len(links) - 1), max_size=4).map(tuple)
    return Mesh(links, tuple(draw(st.lists(some, min_size=1, max_size=6))))


@st.composite
def meshes_with_flows(draw: st.DrawFn, most_flows: int = 10) -> tuple[Mesh, list[Flow]]:
    if draw(st.booleans()):
        return draw(crowded_meshes(most_flows))
    mesh = draw(st.one_of(trees(), graphs()))
    ways = st.integers(0, len(mesh.routes) - 1)
    flows = draw(st.lists(st.tuples(FLOWS, ways), min_size=1, max_size=most_flows))
    return mesh, [flow._replace(way=way) for flow, way in flows]


@st.composite
def crowded_meshes(draw: st.DrawFn, most_flows: int) -> tuple[Mesh, list[Flow]]:
    """Return links that are all narrow, and flows that all begin early: one bottleneck frees another."""
    count = draw(st.integers(2, 6))
    rates = st.integers(1, 12).map(lambda tenths: tenths * 1e5)
    links = tuple(steady(rate) for rate in draw(st.lists(rates, min_size=count, max_size=count)))
    pairs = st.sets(st.integers(0, count - 1), min_size=1, max_size=3).map(tuple)
    routes = draw(st.lists(pairs, min_size=count, max_size=2 * count))
    flows = st.builds(
        Flow,
        st.one_of(st.just(1e9), rates),
        st.integers(10_000, 1_000_000),
        st.sampled_from([0.0, 0.0, 0.5, 1.0]),
        st.sampled_from([None, None, None, 2.5]),
        st.just(0.0),
        st.integers(0, len(routes) - 1),
    )
    return Mesh(links, tuple(routes)), draw(st.lists(flows, min_size=count, max_size=most_flows))


def filled(
    limits: dict[int, Fraction], routes: dict[int, tuple[int, ...]], capacities: list[Fraction]
) -> dict[int, Fraction]:
    """Return the max-min fair rates: raise all flows alike; freeze those at a limit or on a full link."""
    rates: dict[int, Fraction] = {}
    left = list(capacities)
    crossing = [sum(link in routes[flow] for flow in limits) for link in range(len(capacities))]
    going = list(limits)
    while going:
        shares = {link: left[link] / count for link, count in enumerate(crossing) if count}
        level = min(shares.values(), default=None)
        frozen = [flow for flow in going if level is None or limits[flow] <= level]
        if not frozen:
            full = {link for link in shares if shares[link] == level}
            frozen = [flow for flow in going if not full.isdisjoint(routes[flow])]
        for flow in frozen:
            rates[flow] = limits[flow] if level is None else min(limits[flow], level)
            for link in routes[flow]:
                left[link] -= rates[flow]
                crossing[link] -= 1
        going = [flow for flow in going if flow not in rates]
    return rates


def reference(mesh: Mesh, flows: Sequence[Flow]) -> tuple[list[Fraction | None], list[Fraction]]:
    """Return when each flow ends, and how many bits of it pass: event by event, without rounding."""
    starts = {index: Fraction(flow.start_s) for index, flow in enumerate(flows)}
    leaves = {
        index: Fraction(flow.withdraw_s)
        for index, flow in enumerate(flows)
        if flow.withdraw_s is not None and flow.withdraw_s >= flow.start_s
    }
    routes = {index: mesh.routes[flow.way] for index, flow in enumerate(flows)}
    left: dict[int, Fraction] = {}
    ends: list[Fraction | None] = [None] * len(flows)
    moved = [Fraction(0)] * len(flows)
    now = Fraction(0)
    while starts or left:
        limits = {index: Fraction(flows[index].limit_bps) for index in left}
        rates = filled(limits, routes, [link.at(now) for link in mesh.links])
        upcoming = [*starts.values(), *(leaves[index] for index in left if index in leaves)]
        upcoming += [now + left[index] / rates[index] for index in left if rates[index] and left[index]]
        upcoming += [now for index in left if not left[index]]
        upcoming += [change for link in mesh.links if (change := link.next_change(now)) is not None]
        then = min(upcoming)
        for index in left:
            left[index] -= rates[index] * (then - now)
        now = then
        for index in [index for index in left if left[index] == 0]:
            ends[index], moved[index] = now, Fraction(8 * flows[index].size_bytes)
            del left[index]
        for index in [index for index in left if leaves.get(index) == now]:
            moved[index] = 8 * flows[index].size_bytes - left.pop(index)
        for index in [index for index in starts if starts[index] == now]:
            left[index] = Fraction(8 * flows[index].size_bytes)
            del starts[index]
    return ends, moved


def assert_agrees(mesh: Mesh, flows: Sequence[Flow], carried: Carried) -> None:
    """The ends are the reference's to 1e-9 relative, and withdrawn flows have moved their bytes."""
    ends, moved = reference(mesh, flows)
    for flow, exact, end_s, bits, moved_bytes in zip(
        flows, ends, carried.ends_s, moved, carried.moved_bytes, strict=True
    ):
        # The last bits of a clock at 100 s carry some at 1e10 bit/s.
        fastest = max([flow.limit_bps, *(v for p in mesh.links for _, v in p.changes)])
        if end_s is None or exact is None:
            # A flow that ends in the very instant of its withdrawal may count either way.
            whole = flow.size_bytes
            assert end_s is exact or (
                flow.withdraw_s is not None
                and moved_bytes == pytest.approx(whole, rel=1e-9, abs=1.001)
                and float(bits) == pytest.approx(8 * whole, rel=1e-9, abs=8)
            )
        else:
            assert end_s == pytest.approx(float(exact), rel=1e-9, abs=1e-12)
        tolerance = 1 + 1e-9 * max(flow.size_bytes, fastest / 8)  # whole bytes are rounded down
        assert abs(moved_bytes - float(bits) / 8) <= tolerance
        assert 0 <= moved_bytes <= flow.size_bytes


def lone_link(profile: Profile) -> Mesh:
    """Return the mesh that is one link."""
    return Mesh((profile,), ((0,),))


@settings(max_examples=1000)
@given(flows=st.lists(FLOWS, min_size=1, max_size=12), capacity_bps=CAPACITIES)
def test_flows_end_when_progressive_filling_says(flows: list[Flow], capacity_bps: float) -> None:
    assert_agrees(lone_link(steady(capacity_bps)), flows, carry(FairLink, flows, capacity_bps))


@settings(max_examples=500)
@given(flows=st.lists(FLOWS, min_size=1, max_size=10), profile=profiles())
def test_flows_end_when_filling_a_changing_capacity_says(flows: list[Flow], profile: Profile) -> None:
    assert_agrees(lone_link(profile), flows, carry(FairLink, flows, profile.series))


@settings(max_examples=500, deadline=None)
@given(case=meshes_with_flows())
def test_flows_on_a_mesh_end_when_progressive_filling_says(case: tuple[Mesh, list[Flow]]) -> None:
    mesh, flows = case
    assert_agrees(mesh, flows, Drive(mesh.build, flows).run())


def check_fairness(mesh: Mesh, flows: Sequence[Flow], build: Build) -> None:
    """Between any two instants rates fit every link, and every flow has a bottleneck.

    That is its limit, or a saturated link on which no other flow is faster.
    """
    capacities = [link.series for link in mesh.links]

    def check(env: Environment, live: dict[int, Transfer]) -> None:
        rates = {index: rate_of(transfer) for index, transfer in live.items()}
        highest: list[float] = []
        saturated: list[bool] = []
        for link, capacity in enumerate(capacities):
            on_it = [rate for index, rate in rates.items() if link in mesh.routes[flows[index].way]]
            carries = capacity.at(env.now)
            assert sum(on_it) <= carries * (1 + 1e-9)
            saturated.append(sum(on_it) >= carries * (1 - 1e-9))
            highest.append(max(on_it, default=0.0))
        for index, rate in rates.items():
            limit = flows[index].limit_bps
            assert rate <= limit * (1 + 1e-9)
            assert rate >= limit * (1 - 1e-9) or any(
                saturated[link] and rate >= highest[link] * (1 - 1e-9)
                for link in mesh.routes[flows[index].way]
            )

    Drive(build, flows).run(check)


@settings(max_examples=400)
@given(flows=st.lists(FLOWS, min_size=1, max_size=12), profile=profiles())
def test_rates_on_a_link_are_max_min_fair(flows: list[Flow], profile: Profile) -> None:
    check_fairness(lone_link(profile), flows, single(FairLink, profile.series))


@settings(max_examples=600, deadline=None)
@given(case=meshes_with_flows(most_flows=14))
def test_rates_on_a_mesh_are_max_min_fair(case: tuple[Mesh, list[Flow]]) -> None:
    mesh, flows = case
    check_fairness(mesh, flows, mesh.build)


@settings(max_examples=400)
@given(
    flows=st.lists(FLOWS, min_size=2, max_size=10),
    capacity_bps=CAPACITIES,
    shuffle=st.randoms(use_true_random=False),
)
def test_names_do_not_matter(flows: list[Flow], capacity_bps: float, shuffle: random.Random) -> None:
    """Under other client ids, the same flows end at the same instants and so in the same order."""
    names = list(range(len(flows)))
    shuffle.shuffle(names)
    link = single(FairLink, capacity_bps)
    assert_same_ends(Drive(link, flows), Drive(link, [flows[i] for i in names]), names)


@settings(max_examples=400, deadline=None)
@given(case=meshes_with_flows(), shuffle=st.randoms(use_true_random=False))
def test_names_on_a_mesh_do_not_matter(case: tuple[Mesh, list[Flow]], shuffle: random.Random) -> None:
    """Nor do the numbers of links and routes."""
    mesh, flows = case
    names, links, routes = (list(range(len(each))) for each in (flows, mesh.links, mesh.routes))
    for each in (names, links, routes):
        shuffle.shuffle(each)
    renamed = Mesh(
        tuple(mesh.links[link] for link in links),
        tuple(tuple(links.index(link) for link in mesh.routes[route]) for route in routes),
    )
    other_flows = [flows[i]._replace(way=routes.index(flows[i].way)) for i in names]
    assert_same_ends(Drive(mesh.build, flows), Drive(renamed.build, other_flows), names)


def assert_same_ends(drive: Drive, renamed: Drive, names: list[int]) -> None:
    ends, ends_renamed = drive.run().ends_s, renamed.run().ends_s
    for place, index in enumerate(names):
        assert same_instant(ends_renamed[place], ends[index])
    for one, other in zip(drive.order, [names[place] for place in renamed.order], strict=True):
        assert same_instant(ends[one], ends[other])


def same_instant(one: float | None, other: float | None) -> bool:
    """Whether two ends are the same: to 1e-9 relative, or both never."""
    return one is other or bool(one == pytest.approx(other, rel=1e-9, abs=1e-12))


@settings(max_examples=300)
@given(flows=st.lists(FLOWS, min_size=1, max_size=12), profile=profiles())
def test_a_mesh_of_one_link_is_that_link(flows: list[Flow], profile: Profile) -> None:
    mesh = Drive(lone_link(profile).build, flows).run()
    link = carry(FairLink, flows, profile.series)
    for one, other in zip(mesh.ends_s, link.ends_s, strict=True):
        assert same_instant(one, other)
    for moved, other_moved in zip(mesh.moved_bytes, link.moved_bytes, strict=True):
        assert abs(moved - other_moved) <= 1


def busy_flows(count: int, seed: int) -> list[Flow]:
    """Return flows that keep a link of 1e6 bit/s busy throughout, and that the level crosses often."""
    dice = random.Random(seed)
    flows, now = [], 0.0
    for _ in range(count):
        now += dice.expovariate(1.0)
        limit = 10 ** dice.uniform(3.5, 7)
        size = int(dice.expovariate(1 / 110_000)) + 1  # 0.88 of the capacity
        leaves = now + dice.expovariate(0.1) if dice.random() < 0.1 else None
        flows.append(Flow(limit, size, now, leaves))
    return flows


def test_the_heaps_of_a_link_that_is_never_empty_stay_small() -> None:
    """One flow outlasts 10,000 others; the heaps hold no more than a multiple of the live flows."""
    flows = [Flow(1e3, 10**9), *busy_flows(10_000, seed=1)]
    drive = Drive(single(FairLink, 1e6), flows)
    kept = Kept(drive)

    def check(env: Environment, live: dict[int, Transfer]) -> None:
        kept.see(live)
        assert env.now > 10_500 or 0 in live

    drive.run(check)
    assert kept.flows < 200
    assert kept.entries <= 4 * kept.flows + 65


def test_a_long_busy_period_accumulates_no_error() -> None:
    """1,500 flows through a link that never empties, each within 1e-9 of exact arithmetic."""
    flows = [Flow(1e3, 10**7), *busy_flows(1500, seed=2)]
    assert_agrees(lone_link(steady(1e6)), flows, carry(FairLink, flows, 1e6))


def test_a_long_busy_period_on_a_mesh_accumulates_no_error() -> None:
    """600 flows through three links of which the last carries all, each within 1e-9 of exact arithmetic."""
    mesh = Mesh((steady(6e5), steady(5e5), steady(1e6)), ((0, 2), (1, 2), (2,)))
    dice = random.Random(3)
    flows = [Flow(1e3, 10**7), *busy_flows(600, seed=3)]
    flows = [flow._replace(way=dice.randrange(3)) for flow in flows]
    assert_agrees(mesh, flows, Drive(mesh.build, flows).run())


def test_flows_stay_in_turn_on_a_link_that_has_forgotten_many() -> None:
    """Of 300 flows of all sizes, 260 are called off at once; a link forgets them when others join."""
    dice = random.Random(4)
    flows = [
        Flow(1e9, dice.randrange(10**5, 10**6), withdraw_s=1.0 if n < 260 else None) for n in range(300)
    ]
    dice.shuffle(flows)
    flows += [Flow(1e9, dice.randrange(10**5, 10**6), 2.0 + n) for n in range(5)]
    assert_agrees(lone_link(steady(1e7)), flows, carry(FairLink, flows, 1e7))


def test_the_clock_of_service_starts_anew_under_way() -> None:
    """Terabits in one busy period: two flows of 2 Tbit, and small ones that come and go meanwhile."""
    flows = [Flow(1e12, 250 * 10**9)] * 2
    flows += [Flow(limit, 10**9, start_s=float(start)) for start in range(40) for limit in (1e12, 1e8)]
    carried = carry(FairLink, flows, 1e11)
    assert_agrees(lone_link(steady(1e11)), flows, carried)
