"""`network`: the links between the clients and the server."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, GetJsonSchemaHandler, model_serializer, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from flsim.component import Component, Kinds, Section, misfit
from flsim.quantities import PositiveSeconds, Rate, Seconds, json_schema
from flsim.scenario.distributions import Constant, VaryingRate, VaryingSeconds
from flsim.scenario.files import FilePath
from flsim.scenario.presets import NETWORKS, with_preset
from flsim.units import RATE


class Capacity(Component):
    """What a shared link carries in one direction, in bit/s; it may change over time."""


class FixedCapacity(Capacity):
    """Always the same. A plain number or text with a unit means this.

    `rate`: the capacity.
    """

    kind: Literal["fixed"] = "fixed"
    rate: Rate

    @model_serializer
    def _plain(self) -> float:
        return self.rate


class SharedWithOthers(Capacity):
    """Other traffic takes a share of `rate` that changes every `step`: `shares`, over and over."""

    kind: Literal["background"] = "background"
    rate: Rate
    shares: Annotated[tuple[Annotated[float, Field(ge=0, lt=1)], ...], Field(min_length=1)]
    step: PositiveSeconds = 3600.0


class RecordedCapacity(Capacity):
    """A CSV or Parquet `file` with the columns time_s, capacity_bps; with a `period`, it repeats."""

    kind: Literal["trace"] = "trace"
    file: FilePath
    period: PositiveSeconds | None = None


class Capacities(Kinds):
    """Annotation of a field that holds a capacity, or a plain quantity for a fixed one."""

    def resolve(self, value: object, context: object = None) -> Component:
        if isinstance(value, int | float | str):
            return FixedCapacity.model_validate({"rate": value})
        return super().resolve(value, context)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        kinds = super().__get_pydantic_json_schema__(schema, handler)
        return {"anyOf": [json_schema(RATE), *kinds["anyOf"]]}


AnyCapacity = Annotated[Capacity, Capacities(Capacity, FixedCapacity, SharedWithOthers, RecordedCapacity)]


class Topology(Component):
    """How clients and server are connected."""


class Star(Topology):
    """Every client has its own link, and all of them meet in the server's link."""

    kind: Literal["star"] = "star"


class TreeLevel(Section):
    """One level of a tree: `nodes` of them, each with a link of its own towards the server.

    `uplink` carries towards the server, `downlink` towards the clients.

    `name`: of its nodes, before their number. `latency`: of its links, added to the client's.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
    nodes: Annotated[int, Field(ge=1, le=100_000)]
    downlink: AnyCapacity
    uplink: AnyCapacity
    latency: Seconds = 0.0


class Tree(Topology):
    """Clients reach the server through levels of nodes, given from the clients upwards.

    Clients are spread evenly over the first level's nodes, and each level's nodes over the next. A node
    is called by its level's name and its number, such as `edge-3`.

    `levels`: from the clients upwards.
    """

    kind: Literal["tree"] = "tree"
    levels: Annotated[tuple[TreeLevel, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _narrows(self) -> Self:
        names = [level.name for level in self.levels]
        if len(set(names)) < len(names):
            raise misfit(("levels",), names, "two levels have the same name")
        for index in range(1, len(self.levels)):
            below, above = self.levels[index - 1], self.levels[index]
            if above.nodes > below.nodes:
                why = f"'{above.name}' has more nodes than '{below.name}' below it"
                raise misfit(("levels", index, "nodes"), above.nodes, why)
        return self


class Graph(Topology):
    """Any network that networkx reads: .graphml, .json (node-link) or .edgelist.

    Edges carry `capacity` (bit/s, or text with a unit; for each direction) and `latency` (seconds, or
    text). Clients are spread evenly over the nodes of `attach`, or over all nodes with one neighbour
    except the server, and reach the `server` node by the route with the lowest latency.

    `file`: the network.
    """

    kind: Literal["graph"] = "graph"
    file: FilePath
    server: str
    attach: tuple[str, ...] = ()


AnyTopology = Annotated[Topology, Kinds(Topology, Star, Tree, Graph)]


class ServerLink(Section):
    """The server's own link. Without a limit, only the other links count.

    The uplink carries what the server sends (the clients' downloads), the downlink what it receives.

    `downlink`: what it receives in all; none means without a limit. `uplink`: what it sends in all; none
    means without a limit.
    """

    downlink: AnyCapacity | None = None
    uplink: AnyCapacity | None = None


Correlated = Annotated[float, Field(ge=-1, le=1)]


class Correlation(Section):
    """Correlations between a client's draws, of their normal scores (of logarithms, if log-normal).

    `links`: of its downlink with its uplink. `speed`: of its downlink with its compute speed.
    """

    links: Correlated = 0.0
    speed: Correlated = 0.0


class Loss(Section):
    """Attempts that fail: each by itself with `probability`, after all its bytes were sent.

    The sender notices after `timeout` and tries again, up to `retries` times; the timeout grows by the
    factor `backoff` each time. A task that runs out of retries is lost.
    """

    probability: Annotated[float, Field(ge=0, lt=1)]
    retries: Annotated[int, Field(ge=0, le=30)] = 5
    timeout: Seconds = 1.0
    backoff: Annotated[float, Field(ge=1, le=10)] = 2.0


class Network(Section):
    """Links and how transfers share them.

    A client's rates and latency are drawn once; `variation` is the coefficient of variation of a factor
    with mean 1 on its rate, drawn for every transfer. Sharing: `fair` is max-min, re-allocated whenever
    a transfer starts or ends; `fifo` serves one transfer at a time on every shared link; `none` lets
    every transfer have each link for itself. `preset` fills in what is not given.

    `topology`: what is between the clients and the server. `downlink`: a client's own rate towards it.
    `uplink`: a client's own rate from it. `latency`: of each transfer, before its bytes flow.
    `correlation`: between a client's draws. `loss`: attempts that fail; none means that all succeed.
    `server`: the link that all transfers share. `sharing`: how transfers share a link. `variation`: the
    coefficient of variation of a rate from one transfer to the next. `preset`: measured or typical values
    for what is not given.
    """

    preset: Literal["mobile", "sensors", "hospitals", "datacentre"] | None = None
    topology: AnyTopology = Star()
    downlink: VaryingRate = Constant(value=100e6)
    uplink: VaryingRate = Constant(value=100e6)
    latency: VaryingSeconds = Constant(value=0.0)
    variation: Annotated[float, Field(ge=0, le=3)] = 0.0
    correlation: Correlation = Correlation()
    loss: Loss | None = None
    server: ServerLink = ServerLink()
    sharing: Literal["fair", "fifo", "none"] = "fair"

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, value: Any) -> Any:
        return with_preset(value, NETWORKS)
