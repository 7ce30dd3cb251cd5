"""`network`: the links between the clients and the server."""

from typing import Annotated, Literal

from flsim.component import Component, Kinds, Section
from flsim.quantities import Rate
from flsim.scenario.distributions import Constant, VaryingRate, VaryingSeconds


class Topology(Component):
    """How clients and server are connected."""


class Star(Topology):
    """Every client has its own link, and all of them meet in the server's link."""

    kind: Literal["star"] = "star"


AnyTopology = Annotated[Topology, Kinds(Topology, Star)]


class ServerLink(Section):
    """The server's own link. Without a limit, only the clients' links count.

    The uplink carries what the server sends (the clients' downloads), the downlink what it receives.
    """

    downlink: Rate | None = None
    uplink: Rate | None = None


class Network(Section):
    """Links and how transfers share them.

    A client's rates and latency are drawn once. Sharing: `fair` is max-min, re-allocated whenever a
    transfer starts or ends; `fifo` serves one transfer at a time on the server's link; `none` lets
    every transfer have the whole server link.
    """

    topology: AnyTopology = Star()
    downlink: VaryingRate = Constant(value=100e6)
    uplink: VaryingRate = Constant(value=100e6)
    latency: VaryingSeconds = Constant(value=0.0)
    server: ServerLink = ServerLink()
    sharing: Literal["fair", "fifo", "none"] = "fair"
