"""Max-min fair sharing of many links among transfers that each cross several of them.

Transfers with the same links are one *route*. All that a route shares is a level: each of its transfers
runs at the level, or at its own limit if that is lower. Progressive filling raises the levels of all
routes together until a link is full, which fixes the levels of the routes that cross it, and so on
(Bertsekas and Gallager, Data Networks, 6.5.2). What a route carries at some level is a sum over its
sorted limits, so filling costs a search per route and link rather than a step per transfer.

Only links that could be full matter, those whose transfers' limits sum to more than the capacity; and
a start, an end or a change of capacity only concerns what is connected to it by such links.
"""

import heapq
import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Sequence
from itertools import accumulate

from simpy import Environment, Event

from flsim.sim.network.basin import Basin, FairTransfer
from flsim.sim.network.shared import SharedLink
from flsim.sim.network.sharing import Alarm, Reallocation
from flsim.sim.series import Series

_NEARLY_FULL = 1 - 1e-9  # a link whose limits sum to this share of its capacity is taken for congested


class MeshLink:
    """One direction of a link, the routes that have transfers on it, and the state of filling it."""

    __slots__ = (
        "active",
        "at_most_bps",
        "capacity",
        "capacity_bps",
        "congested",
        "fixed_bps",
        "routes",
        "watched",
    )

    capacity_bps: float  # as it was last measured
    fixed_bps: float  # while filling: what the routes carry whose level is fixed

    def __init__(self, capacity: Series) -> None:
        self.capacity = capacity
        self.routes: dict[FairRoute, None] = {}
        self.at_most_bps = 0.0  # a bound on the sum of its transfers' limits
        self.congested = False  # whether that sum is more than it carries
        self.watched = False  # whether its next change of capacity is waited for
        self.active: dict[FairRoute, None] = {}  # while filling: the routes whose level is open yet

    def measure(self, now_s: float) -> None:
        """Take the present capacity, and see whether it could be too little."""
        self.capacity_bps = self.capacity.at(now_s)
        enough_bps = self.capacity_bps * _NEARLY_FULL
        if self.at_most_bps > enough_bps:
            self.at_most_bps = sum(route.sums_bps[-1] for route in self.routes)
        self.congested = self.at_most_bps > enough_bps

    def full_at(self, level_bps: float) -> float:
        """Return the level, this one or higher, at which the link is full; infinite if at none.

        What the link carries is piecewise linear and concave in the level, so Newton's method finds the
        level from below, in as many steps as there are crossings of limits at most.
        """
        still_open = math.inf
        while True:
            carried_bps, open_transfers = self.fixed_bps, 0
            for route in self.active:
                position = bisect_right(route.limits_bps, level_bps)
                carried_bps += route.sums_bps[position]
                open_transfers += len(route.limits_bps) - position
            if not open_transfers:
                return math.inf
            if open_transfers == still_open:
                return level_bps
            level_bps = max(level_bps, (self.capacity_bps - carried_bps) / open_transfers)
            still_open = open_transfers


class FairRoute(SharedLink[FairTransfer]):
    """The transfers that cross the same links."""

    level_bps: float  # as it was last filled
    stamp: int  # ends with another number are out of date

    def __init__(self, mesh: "FairMesh", links: Sequence[MeshLink]) -> None:
        super().__init__(mesh.env, min((link.capacity.highest for link in links), default=math.inf))
        self.links = links
        self.basin = Basin(mesh.env)
        self.limits_bps: list[float] = []  # of its transfers, sorted
        self.sums_bps: list[float] = [0.0]  # of the first 0, 1, 2, … of them
        self._mesh = mesh

    def rate_of(self, transfer: FairTransfer) -> float:
        """Return the present rate of a transfer on this route, in bits per second."""
        return self.basin.rate_of(transfer)

    def carried_bps(self, level_bps: float) -> float:
        """Return what the route carries at a level."""
        position = bisect_right(self.limits_bps, level_bps)
        return self.sums_bps[position] + (len(self.limits_bps) - position) * level_bps

    def new_transfer(self, size_bytes: int, limit_bps: float) -> FairTransfer:
        return FairTransfer(self.env, size_bytes, self, limit_bps)

    def join(self, transfer: FairTransfer) -> None:
        self.basin.advance()
        self.basin.open_up(transfer, transfer.size_bits)
        insort(self.limits_bps, transfer.limit_bps)
        self._mesh.changed(self)

    def withdraw(self, transfer: FairTransfer) -> float:
        self.basin.advance()
        remaining = self.basin.remaining(transfer)
        self.basin.remove(transfer)
        self._forget(transfer)
        return transfer.size_bits - remaining

    def finish_ended(self) -> None:
        """End the transfers that end now."""
        self.basin.advance()
        for transfer in self.basin.take_ended():
            self._forget(transfer)
            transfer.finish()

    def _forget(self, transfer: FairTransfer) -> None:
        del self.limits_bps[bisect_left(self.limits_bps, transfer.limit_bps)]
        self._mesh.changed(self)

    def measure(self) -> None:
        """Sum the limits anew, and enter the route where it has transfers."""
        before_bps = self.sums_bps[-1]
        self.sums_bps = list(accumulate(self.limits_bps, initial=0.0))
        more_bps = max(0.0, self.sums_bps[-1] - before_bps)
        for link in self.links:
            link.at_most_bps += more_bps
            if self.limits_bps:
                link.routes[self] = None
            else:
                link.routes.pop(self, None)


class FairMesh:
    """The links, and the routes over them. Re-allocates once per instant at most."""

    def __init__(self, env: Environment, capacities: Sequence[Series]) -> None:
        """`capacities`: of every link; the routes name them by their places in it."""
        self.env = env
        self._links = [MeshLink(capacity) for capacity in capacities]
        self._routes: dict[tuple[int, ...], FairRoute] = {}
        self._changed_routes: dict[FairRoute, None] = {}
        self._changed_links: dict[MeshLink, None] = {}
        self._reallocation = Reallocation(env, self._reallocate)
        self._ends: list[tuple[float, int, FairRoute]] = []  # a heap, by the next end on each route
        self._changes: list[tuple[float, int, MeshLink]] = []  # a heap, by the next change on each link
        self._stamps = 0
        self._alarm = Alarm(env, self._woken)

    def route(self, links: Sequence[int]) -> FairRoute:
        """Return the route over these links, in whatever order."""
        key = tuple(sorted(links))
        if key not in self._routes:
            self._routes[key] = FairRoute(self, [self._links[index] for index in key])
        return self._routes[key]

    def changed(self, route: FairRoute) -> None:
        """Take note that a route has other transfers now."""
        self._changed_routes[route] = None
        self._reallocation.ask()

    def _reallocate(self, _: Event) -> None:
        for route in self._changed_routes:
            route.measure()
            self._changed_links.update(dict.fromkeys(route.links))
        routes = self._concerned()
        _fill(routes)
        for route in routes:
            if route.level_bps != route.basin.level_bps or route in self._changed_routes:
                route.basin.advance()
                route.basin.set_level(route.level_bps)
                self._enter_next_end(route)
        for link in self._changed_links:
            self._watch(link)
        self._changed_routes, self._changed_links = {}, {}
        self._plan()

    def _concerned(self) -> dict[FairRoute, None]:
        """Return the routes whose levels may change: those connected to a change by congested links."""
        concerned = dict(self._changed_routes)
        for link in self._changed_links:
            was_congested = link.congested
            link.measure(self.env.now)
            if was_congested or link.congested:
                concerned.update(link.routes)
        reached = dict.fromkeys(self._changed_links)
        to_follow = list(concerned)
        while to_follow:
            for link in to_follow.pop().links:
                if link.congested and link not in reached:
                    reached[link] = None
                    to_follow += [route for route in link.routes if route not in concerned]
                    concerned.update(link.routes)
        return concerned

    def _watch(self, link: MeshLink) -> None:
        """Wait for the next change of a link's capacity, as long as there are transfers on it."""
        change_s = link.capacity.next_change(self.env.now)
        if link.routes and not link.watched and change_s < math.inf:
            link.watched = True
            self._stamps += 1
            heapq.heappush(self._changes, (change_s, self._stamps, link))

    def _next_change(self) -> float:
        """Return when the next capacity changes under a transfer."""
        while self._changes and not self._changes[0][2].routes:
            heapq.heappop(self._changes)[2].watched = False
        return self._changes[0][0] if self._changes else math.inf

    def _enter_next_end(self, route: FairRoute) -> None:
        self._stamps += 1
        route.stamp = self._stamps
        end_s = route.basin.next_end_s()
        if end_s < math.inf:
            if len(self._ends) > 4 * len(self._routes) + 64:
                self._ends = [entry for entry in self._ends if entry[1] == entry[2].stamp]
                heapq.heapify(self._ends)
            heapq.heappush(self._ends, (end_s, route.stamp, route))

    def _next_end(self) -> float:
        """Return when the next transfer ends."""
        while self._ends and self._ends[0][1] != self._ends[0][2].stamp:
            heapq.heappop(self._ends)
        return self._ends[0][0] if self._ends else math.inf

    def _plan(self) -> None:
        """Wake up when the next transfer ends, or a capacity changes under one."""
        self._alarm.set(min(self._next_end(), self._next_change()))

    def _woken(self) -> None:
        while self._next_end() <= self.env.now:
            route = self._ends[0][2]
            route.stamp = 0  # until it is filled anew
            route.finish_ended()
            self.changed(route)
        while self._next_change() <= self.env.now:
            link = heapq.heappop(self._changes)[2]
            link.watched = False
            self._changed_links[link] = None
            self._reallocation.ask()


def _fill(routes: Iterable[FairRoute]) -> None:
    """Raise the levels of these routes together, and hold each where a first link on it is full.

    With the routes comes every route that they share a congested link with.
    """
    links: dict[MeshLink, None] = {}
    for route in routes:
        route.level_bps = math.inf
        for link in route.links:
            if link.congested:
                links[link] = None
                link.fixed_bps = 0.0
                link.active = dict(link.routes)
    # Each link with a level up to which it is certainly not full. To fix a route frees the others' links.
    waiting = [(link.full_at(0.0), number, link) for number, link in enumerate(links)]
    heapq.heapify(waiting)
    while waiting and waiting[0][0] < math.inf:
        level_bps, number, link = heapq.heappop(waiting)
        full_at_bps = link.full_at(level_bps)
        if waiting and full_at_bps > waiting[0][0]:
            heapq.heappush(waiting, (full_at_bps, number, link))
        elif full_at_bps < math.inf:
            _fix(link, full_at_bps)


def _fix(full: MeshLink, level_bps: float) -> None:
    """Hold the routes of a full link at this level."""
    for route in list(full.active):
        route.level_bps = level_bps
        carried_bps = route.carried_bps(level_bps)
        for link in route.links:
            if link.congested:
                del link.active[route]
                link.fixed_bps += carried_bps
