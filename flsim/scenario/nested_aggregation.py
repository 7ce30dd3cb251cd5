"""`aggregation`: every kind of it, and those that look for outliers and then leave the rest to another."""

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from flsim.component import Kinds, misfit
from flsim.scenario.aggregation import (
    Ace,
    Afl,
    Aggregation,
    Ca2fl,
    FedATModels,
    FedNova,
    FedStale,
    FedStaleAsync,
    Mean,
    QFedAvg,
    Unbiased,
    UnbiasedCa2fl,
)
from flsim.scenario.lora_aggregation import FlexLora
from flsim.scenario.outliers import AnyOutliers, Mad
from flsim.scenario.robust_aggregation import (
    Bulyan,
    CenteredClipping,
    DnC,
    FLTrust,
    GeometricMedian,
    Krum,
    Median,
    MultiKrum,
    NormBound,
    TrimmedMean,
)

if TYPE_CHECKING:
    from flsim.scenario.scenario import Scenario


class _Screening(Aggregation):
    """Looks for outliers, and leaves the rest to other rules.

    `suspects`: what an outlier is.
    """

    suspects: AnyOutliers = Mad()

    @property
    @abstractmethod
    def rules(self) -> dict[str, Aggregation]:
        """The rules that it leaves the rest to, by key."""

    def left(self, updates: int) -> int:
        """Return how many of so many updates the other rules are given at least."""
        return self.suspects.left(updates)

    @property
    def server_samples(self) -> int:
        return max(rule.server_samples for rule in self.rules.values())

    @property
    def reads_losses(self) -> bool:
        return any(rule.reads_losses for rule in self.rules.values())

    def check(self, scenario: "Scenario") -> None:
        super().check(scenario)
        for rule in self.rules.values():
            if rule.anchor is not None:
                why = f"{rule.kind} measures updates in a way of its own, and cannot follow another rule"
                raise misfit(("aggregation", "kind"), rule.kind, why)
            rule.check(scenario)

    def check_updates(self, fewest: int, supply: str, at: tuple[str, ...]) -> None:
        self.suspects.check(fewest, supply, (*at, "suspects"))
        left = self.left(fewest)
        less = supply if left == fewest else f"{supply}, of which {self.kind} may leave {left}"
        for key, rule in self.rules.items():
            rule.check_updates(left, less, (*at, key))


class Filter(_Screening):
    """Leaves outliers out, and the others to the rule `then`, with the same sum of weights.

    Unless the outliers have a window, at least half of the updates are left.
    """

    kind: Literal["filter"] = "filter"
    then: "AnyAggregation" = Mean()

    @property
    def rules(self) -> dict[str, Aggregation]:
        return {"then": self.then}


class Trust(_Screening):
    """Every client has a trust, at first 1, which its weight is multiplied with.

    A client that sends an outlier, which is left out, has its trust multiplied by `decay`, and is banned
    when that has happened `ban_after` times: none of its updates counts from then on. After `forgive`
    updates in a row without one, a time is forgiven, and the trust goes up again. What is left is the rule
    `then`'s, with the same sum of weights. Clients that are banned are asked all the same: the selection
    knows nothing of it.
    """

    kind: Literal["trust"] = "trust"
    decay: Annotated[float, Field(gt=0, le=1)] = 0.8
    ban_after: Annotated[int, Field(ge=1)] = 3
    forgive: Annotated[int, Field(ge=1)] | None = 5
    then: "AnyAggregation" = Mean()

    @property
    def rules(self) -> dict[str, Aggregation]:
        return {"then": self.then}


class Adaptive(_Screening):
    """The rule `calm` as long as no update is an outlier; otherwise `alert`, and for `hold` updates after.

    Either is given all of the updates, the outliers as well. So an undisturbed run learns as fast as `calm`
    lets it, and one under attack is as safe as `alert` is.
    """

    kind: Literal["adaptive"] = "adaptive"
    hold: Annotated[int, Field(ge=0)] = 0
    calm: "AnyAggregation" = Mean()
    alert: "AnyAggregation" = Median()

    @property
    def rules(self) -> dict[str, Aggregation]:
        return {"calm": self.calm, "alert": self.alert}

    def left(self, updates: int) -> int:
        return updates

    def check(self, scenario: "Scenario") -> None:
        super().check(scenario)
        if self.calm == self.alert:
            why = f"calm and alert are the same rule, {self.calm.kind}: there is nothing to choose"
            raise misfit(("aggregation", "alert"), self.alert.kind, why)


AnyAggregation = Annotated[
    Aggregation,
    Kinds(
        Aggregation,
        Mean,
        QFedAvg,
        Afl,
        FedNova,
        Unbiased,
        Ca2fl,
        UnbiasedCa2fl,
        FedStale,
        FedStaleAsync,
        Ace,
        FedATModels,
        Krum,
        MultiKrum,
        Median,
        TrimmedMean,
        GeometricMedian,
        CenteredClipping,
        NormBound,
        Bulyan,
        FLTrust,
        DnC,
        FlexLora,
        Filter,
        Trust,
        Adaptive,
    ),
]

for _screening in (Filter, Trust, Adaptive):  # whose fields name the union that they are part of
    _screening.model_rebuild()
