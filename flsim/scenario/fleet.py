"""`fleet`: the clients, how fast they are, when they are there, and how they fail."""

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from flsim.component import Component, Kinds, Section, misfit
from flsim.scenario.distributions import (
    VaryingPositiveSeconds,
    VaryingSeconds,
    VaryingSpeed,
)

Probability = Annotated[float, Field(ge=0, le=1)]


class Compute(Component):
    """How long a device takes for a task."""


class Speed(Compute):
    """Work divided by speed. A device's speed is drawn once.

    `jitter` is the deviation of the logarithm of a factor with median 1, drawn for every task.
    """

    kind: Literal["speed"] = "speed"
    flops: VaryingSpeed
    jitter: Annotated[float, Field(ge=0, le=5)] = 0.0


class Duration(Compute):
    """A duration drawn for every task, whatever its work."""

    kind: Literal["duration"] = "duration"
    task: VaryingSeconds


AnyCompute = Annotated[Compute, Kinds(Compute, Speed, Duration)]


class DeviceClass(Section):
    """A named share of the fleet with a compute of its own."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.-]{0,63}$")]
    share: Annotated[float, Field(gt=0, le=1)]
    compute: AnyCompute


class Availability(Component):
    """When clients can be asked. A client that leaves during a task drops it."""


class Always(Availability):
    """Clients are always there."""

    kind: Literal["always"] = "always"


class Sessions(Availability):
    """Clients come and go: alternating times there (`on`) and away (`off`), drawn anew each time.

    The run starts with every client at a random moment of its own: there with probability
    mean(on) / (mean(on) + mean(off)), in the middle of a session or a pause.
    """

    kind: Literal["sessions"] = "sessions"
    on: VaryingPositiveSeconds
    off: VaryingPositiveSeconds

    @model_validator(mode="after")
    def _means_exist(self) -> Self:
        for name, time in (("on", self.on), ("off", self.off)):
            if not math.isfinite(time.expectation):
                raise misfit((name,), time, "its mean is infinite, so the share of clients there has none")
        return self


AnyAvailability = Annotated[Availability, Kinds(Availability, Always, Sessions)]


class Failure(Section):
    """How tasks and clients fail.

    `dropout`: the probability that a task dies, at a uniform moment of its uncontended duration.
    `lifetime`: the time after which a client leaves and never returns; none means that all stay.
    """

    dropout: Probability = 0.0
    lifetime: VaryingSeconds | None = None


class Fleet(Section):
    """The clients. Give either `compute` for all of them, or `classes` whose shares sum to 1."""

    clients: Annotated[int, Field(ge=1, le=10_000_000)]
    compute: AnyCompute | None = None
    classes: tuple[DeviceClass, ...] = ()
    availability: AnyAvailability = Always()
    failure: Failure = Failure()

    @model_validator(mode="after")
    def _classes_fit(self) -> Self:
        if (self.compute is None) == (not self.classes):
            raise misfit((), self, "give either compute or classes")
        if not self.classes:
            return self
        names = [device_class.name for device_class in self.classes]
        if len(set(names)) < len(names):
            raise misfit((), self, "two device classes have the same name")
        total = sum(device_class.share for device_class in self.classes)
        if abs(total - 1) > 1e-6:
            raise misfit(("classes",), total, "the shares of the device classes must sum to 1")
        return self
