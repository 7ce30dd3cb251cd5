"""`fleet.failure`: how tasks, clients and the server fail."""

from typing import Annotated, Literal

from pydantic import Field

from flsim.component import Component, Kinds, Section
from flsim.quantities import PositiveSeconds, Seconds
from flsim.scenario.distributions import VaryingPositiveSeconds, VaryingSeconds

Probability = Annotated[float, Field(ge=0, le=1)]


class Crash(Section):
    """With `probability`, a task crashes its client, which is away until it is repaired.

    `repair`: how long the client is away.
    """

    probability: Probability
    repair: VaryingPositiveSeconds


class Outage(Component):
    """Something is out of reach from `start` on, for `duration`."""

    start: Seconds
    duration: PositiveSeconds


class ServerOutage(Outage):
    """The server is down. It comes back from its last version: updates that it held are lost.

    Transfers that were under way, and those that clients want to start, begin when it is back.
    """

    kind: Literal["server"] = "server"


class ShareOutage(Outage):
    """A random share of the clients is away.

    `share`: of all clients.
    """

    kind: Literal["share"] = "share"
    share: Annotated[float, Field(gt=0, le=1)]


class ClassOutage(Outage):
    """All clients of one device class are away.

    `name`: that of the device class.
    """

    kind: Literal["class"] = "class"
    name: str


class RegionOutage(Outage):
    """All clients behind one node of a tree or graph network are away.

    `node`: the name of the node, such as `edge-3`.
    """

    kind: Literal["region"] = "region"
    node: str


AnyOutage = Annotated[Outage, Kinds(Outage, ServerOutage, ShareOutage, ClassOutage, RegionOutage)]


class Failure(Section):
    """How tasks and clients fail.

    `dropout`: the probability that a task dies, at a uniform moment of its uncontended duration.
    `crash`: the same, and the client needs repair.
    `lifetime`: the time after which a client leaves and never returns; none means that all stay.
    `outages`: intervals in which clients, or the server, are out of reach.
    """

    dropout: Probability = 0.0
    crash: Crash | None = None
    lifetime: VaryingSeconds | None = None
    outages: tuple[AnyOutage, ...] = ()
