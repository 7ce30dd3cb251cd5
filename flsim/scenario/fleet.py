"""`fleet`: the clients, how fast they are, when they are there, and how they fail."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from flsim.component import Component, Kinds, Section, misfit
from flsim.quantities import Power
from flsim.scenario.availability import Always, AnyAvailability
from flsim.scenario.distributions import VaryingSeconds, VaryingSpeed
from flsim.scenario.failure import Failure
from flsim.scenario.presets import FLEETS, with_preset


class Compute(Component):
    """How long a device takes for a task."""


class Speed(Compute):
    """Work divided by speed. A device's speed is drawn once.

    `jitter` is the deviation of the logarithm of a factor with median 1, drawn for every task.

    `flops`: the speed of a device. `jitter`: the deviation of the logarithm of a factor on each task's
    duration; 0 means none.
    """

    kind: Literal["speed"] = "speed"
    flops: VaryingSpeed
    jitter: Annotated[float, Field(ge=0, le=5)] = 0.0


class Duration(Compute):
    """A duration drawn for every task, whatever its work.

    `task`: how long a task computes.
    """

    kind: Literal["duration"] = "duration"
    task: VaryingSeconds


AnyCompute = Annotated[Compute, Kinds(Compute, Speed, Duration)]


class PowerModel(Section):
    """What a device draws, above what it draws idle: while it computes, sends and receives.

    `compute`: watts while it trains. `transmit`: watts while it sends. `receive`: watts while it receives.
    """

    compute: Power
    transmit: Power
    receive: Power


class DeviceClass(Section):
    """A named share of the fleet with a compute, and perhaps a power model, of its own.

    `name`: what tables and plots call it. `share`: of the clients. `compute`: how long its devices take for
    a task. `power`: what its devices draw; none means the fleet's model.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.-]{0,63}$")]
    share: Annotated[float, Field(gt=0, le=1)]
    compute: AnyCompute
    power: PowerModel | None = None


class Fleet(Section):
    """The clients. Give either `compute` for all of them, or `classes` whose shares sum to 1.

    Classes are dealt out to clients at random, or, with `class_order: listed`, in the order of their ids.
    `preset` fills in what is not given. `join`: when each client joins; none means from the start.
    `power`: the power model of classes that have none of their own; none means that energy is not kept.

    `clients`: how many there are. `class_order`: whether classes are dealt out at random or in the order
    they are listed in. `availability`: when clients are there. `failure`: how tasks and clients fail.
    `compute`: how long a device takes for a task; give this or classes. `classes`: kinds of devices, each a
    share of the clients. `preset`: measured or typical values for what is not given.
    """

    preset: Literal["phones", "sensors", "hospitals", "datacentre"] | None = None
    clients: Annotated[int, Field(ge=1, le=10_000_000)]
    compute: AnyCompute | None = None
    classes: tuple[DeviceClass, ...] = ()
    class_order: Literal["random", "listed"] = "random"
    power: PowerModel | None = None
    join: VaryingSeconds | None = None
    availability: AnyAvailability = Always()
    failure: Failure = Failure()

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, value: Any) -> Any:
        return with_preset(value, FLEETS, either=("compute", "classes"))

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
