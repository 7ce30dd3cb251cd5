"""`fleet.availability`: when clients can be asked."""

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from flsim.component import Component, Kinds, Section, misfit
from flsim.quantities import PositiveSeconds
from flsim.scenario.distributions import Distribution, VaryingPositiveSeconds
from flsim.scenario.files import FilePath

_HOURS = 24
# Phones lie idle, charging and on Wi-Fi at night: most begin a session in the late evening.
_NIGHTLY = (3, 2, 1.5, 1, 0.7, 0.5, 0.4, 0.3, 0.3, 0.3, 0.3, 0.3)
_DAILY_PROFILE = (*_NIGHTLY, 0.4, 0.4, 0.4, 0.4, 0.5, 0.6, 0.8, 1, 1.5, 2, 3, 3.5)


class Availability(Component):
    """When clients can be asked.

    `on_leave` says what happens to the task of a client that leaves: `abort` drops it; with `pause`
    computing continues and a broken-off transfer starts again when the client is back.
    """

    on_leave: Literal["abort", "pause"] = "abort"


class Always(Availability):
    """Clients are always there."""

    kind: Literal["always"] = "always"


class OnOff(Section):
    """Alternating times there (`on`) and away (`off`), drawn anew each time."""

    on: VaryingPositiveSeconds
    off: VaryingPositiveSeconds

    @model_validator(mode="after")
    def _means_exist(self) -> Self:
        _check_mean("on", self.on)
        _check_mean("off", self.off)
        return self


class Sessions(OnOff, Availability):
    """Clients come and go: alternating times there (`on`) and away (`off`), drawn anew each time.

    The run starts with every client at a random moment of its own: there with probability
    mean(on) / (mean(on) + mean(off)), in the middle of a session or a pause.
    """

    kind: Literal["sessions"] = "sessions"


class Conditions(Availability):
    """A client is there while it meets both conditions: it is charging, and it is on Wi-Fi.

    Each condition comes and goes by itself, like `sessions`.

    `charging`: how long a client is charging, and how long it is not. `wifi`: the same of being on Wi-Fi.
    """

    kind: Literal["conditions"] = "conditions"
    charging: OnOff
    wifi: OnOff


class Diurnal(Availability):
    """Sessions that follow the time of day.

    While a client is away, its next session begins at a rate of `profile[h]` in hour h of its local day,
    scaled so that it is away for `off` on average at the profile's mean. The length of a session is
    drawn from `on`. `zones`: the hours by which local time is ahead; each client is in one of them.
    """

    kind: Literal["diurnal"] = "diurnal"
    on: VaryingPositiveSeconds
    off: PositiveSeconds
    profile: tuple[Annotated[float, Field(ge=0)], ...] = _DAILY_PROFILE
    zones: Annotated[tuple[Annotated[float, Field(ge=-24, le=24)], ...], Field(min_length=1)] = (0.0,)

    @model_validator(mode="after")
    def _profile_fits(self) -> Self:
        _check_mean("on", self.on)
        if len(self.profile) != _HOURS:
            raise misfit(("profile",), len(self.profile), "must have 24 numbers, one for each hour")
        if not any(self.profile):
            raise misfit(("profile",), self.profile, "must have an hour in which clients come")
        return self


class Trace(Availability):
    """Recorded intervals: a CSV or Parquet `file` with the columns client, on_s, off_s.

    Fleet client i follows the trace's client number i modulo the number of clients in the trace, in the
    order of their ids. With a `period`, the trace repeats.
    """

    kind: Literal["trace"] = "trace"
    file: FilePath
    period: PositiveSeconds | None = None


AnyAvailability = Annotated[Availability, Kinds(Availability, Always, Sessions, Conditions, Diurnal, Trace)]


def _check_mean(name: str, time: Distribution) -> None:
    if not math.isfinite(time.expectation):
        raise misfit((name,), time, "its mean is infinite, so the share of clients there has none")
