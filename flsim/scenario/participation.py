"""`participation`: how likely a client is to take part in a server update, as far as can be told."""

from typing import Annotated, Literal

from pydantic import Field

from flsim.component import Component, Kinds

Probability = Annotated[float, Field(gt=0, le=1)]


class Participation(Component):
    """An estimate p in (0, 1] for every client that takes part in a server update."""

    @property
    def clients_named(self) -> int | None:
        """How many clients it speaks of; None if it fits any number."""
        return None


class Maximum(Participation):
    """p = 1: whoever takes part counts as if it always did."""

    kind: Literal["maximum"] = "maximum"


class Scalar(Participation):
    """p = `value`, for every client."""

    kind: Literal["scalar"] = "scalar"
    value: Probability


class Uniform(Participation):
    """p = K / N, for every client: the mean number of clients in a server update so far, over all clients.

    The update at hand is counted, so there is an estimate from the first one on.
    """

    kind: Literal["uniform"] = "uniform"


class Lookup(Participation):
    """p as listed in `probabilities`, one for each client in the order of their ids."""

    kind: Literal["lookup"] = "lookup"
    probabilities: Annotated[tuple[Probability, ...], Field(min_length=1)]

    @property
    def clients_named(self) -> int | None:
        return len(self.probabilities)


class Group(Participation):
    """p = the mean participation so far of the client's group; `sizes` deals the ids out in order.

    The update at hand is counted, so there is an estimate whenever a client of the group takes part.
    """

    kind: Literal["group"] = "group"
    sizes: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)]

    @property
    def clients_named(self) -> int | None:
        return sum(self.sizes)


class FedAU(Participation):
    """1 / p = the client's mean interval between participations, an interval ending at `cutoff` anyhow.

    Only what was before the update at hand is counted; p = 1 until a first interval has ended. The
    cut-off bounds p from below by 1 / cutoff; a small p is overestimated, as p / (1 - (1 - p) ** cutoff).
    Wang and Ji, "A Lightweight Method for Tackling Unknown Participation Statistics in Federated
    Averaging", ICLR 2024.
    """

    kind: Literal["fedau"] = "fedau"
    cutoff: Annotated[int, Field(ge=1)] = 10


class Smoothing(Participation):
    """p = the exponentially smoothed participation of the client, but never below `floor`.

    Only what was before the update at hand is counted: p starts at 1, and after every update
    p <- (1 - rate) p + rate x (1 if the client took part, else 0).

    `rate`: how much the last update counts.
    """

    kind: Literal["smoothing"] = "smoothing"
    rate: Annotated[float, Field(gt=0, lt=1)] = 0.1
    floor: Probability = 0.01


AnyParticipation = Annotated[
    Participation, Kinds(Participation, Maximum, Scalar, Uniform, Lookup, Group, FedAU, Smoothing)
]
