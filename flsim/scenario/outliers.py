"""`suspects`: which updates of a server update are taken for outliers."""

from abc import abstractmethod
from math import floor
from typing import Annotated, Literal

from pydantic import Field

from flsim.component import Component, Kinds, misfit


class Outliers(Component):
    """An update is an outlier if a number that it is measured by lies above a fence, which the kind sets.

    It is measured `of: distance`, its distance to the coordinate-wise median of the updates at hand, or
    `of: norm`, its length. With `of: norm`, the fence is set from as many as `window` earlier updates that
    passed as well, which gives a single update something to be compared with. What is at most 1 + `slack`
    times the median of the numbers always passes: honest clients' updates differ, the more so when the
    model fits most of them and not the samples of some. What is not finite never passes.

    `of`: whether it is measured by its distance or its norm.
    """

    of: Literal["distance", "norm"] = "distance"
    window: Annotated[int, Field(ge=0)] = 0
    slack: Annotated[float, Field(ge=0)] = 2.0

    @property
    @abstractmethod
    def values_needed(self) -> int:
        """How many numbers it takes until one can lie above the fence that they set."""

    def left(self, updates: int) -> int:
        """Return how many of so many updates pass at least. Half of what sets the fence is below it."""
        return 0 if self.window else (updates + 1) // 2

    def check(self, fewest: int, supply: str, at: tuple[str, ...]) -> None:
        """Raise a misfit, at a place in the scenario, if `fewest` updates do not do, which `supply` has."""
        if self.window and self.of == "distance":
            why = "distances are to the median of one server update; a window goes with of: norm only"
            raise misfit((*at, "window"), self.window, why)
        if fewest + self.window < self.values_needed:
            known = f"{supply}, and the window is {self.window}"
            why = (
                f"{self.kind} cannot find an outlier among fewer than {self.values_needed} values; {known}"
            )
            raise misfit((*at, "kind"), self.kind, why)


class Mad(Outliers):
    """Above the median by `threshold` median absolute deviations, in standard deviations of a normal law.

    Iglewicz and Hoaglin, "How to Detect and Handle Outliers", 1993, who recommend 3.5.
    """

    kind: Literal["mad"] = "mad"
    threshold: Annotated[float, Field(gt=0)] = 3.5

    @property
    def values_needed(self) -> int:
        return 3


class Iqr(Outliers):
    """Above the upper quartile by `threshold` times the distance between the quartiles.

    Fewer than a quarter of the values can be found. Tukey, "Exploratory Data Analysis", 1977.
    """

    kind: Literal["iqr"] = "iqr"
    threshold: Annotated[float, Field(gt=0)] = 1.5

    @property
    def values_needed(self) -> int:
        # Of 3 or 4 values, 1/2 or 1/4 of the way from the last but one to the last belongs to the quartile.
        return 3 if 1 + self.threshold < 2 else 4 if 1 + self.threshold < 4 else 5


class Z(Outliers):
    """Above the mean by `threshold` standard deviations.

    Outliers raise both: no more than one in 1 + threshold ** 2 values can be found.
    """

    kind: Literal["z"] = "z"
    threshold: Annotated[float, Field(ge=1, le=1000)] = 2.0

    @property
    def values_needed(self) -> int:
        return floor(1 + self.threshold**2) + 1


AnyOutliers = Annotated[Outliers, Kinds(Outliers, Mad, Iqr, Z)]
