"""`aggregation`: rules that some of the updates, whatever they are, cannot lead astray.

f counts updates, not clients: in a buffer, an attacker may have more than one. All rules leave out what is
not finite. The strategy's weights sum to W, which is 1 in a round: a rule returns W times its estimate of
one update. A rule that does not say otherwise counts updates alike, since a client that could raise
its weight, by the number of samples that it claims, could raise its influence.
"""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from flsim.component import misfit
from flsim.scenario.aggregation import Aggregation

Attackers = Annotated[int, Field(ge=0)]


class Robust(Aggregation):
    """A rule that tolerates f arbitrary updates among n, if n is large enough.

    Where fewer are left than it needs, because others were not finite or were sorted out, it is the
    coordinate-wise median, which tolerates those of the f that can still be there; and where more than f
    are missing, the model stays as it is.
    """

    slope: ClassVar[int] = 2
    offset: ClassVar[int] = 1
    """It needs n >= slope x f + offset."""

    @property
    def tolerated(self) -> int:
        """How many arbitrary updates it is sure to withstand, of the fewest that it works on."""
        return 1

    @property
    def updates_needed(self) -> int:
        """The fewest updates that it works on."""
        return self.slope * self.tolerated + self.offset

    @property
    def arithmetic(self) -> str:
        """Why it needs so many."""
        f, least = self.tolerated, self.updates_needed
        attackers = f"f = {f} attacker{'' if f == 1 else 's'}"
        return f"tolerates {attackers} among n >= {self.slope}f + {self.offset} = {least} updates"

    def check_updates(self, fewest: int, supply: str, at: tuple[str, ...]) -> None:
        if fewest < self.updates_needed:
            raise misfit((*at, "kind"), self.kind, f"{self.kind} {self.arithmetic}; {supply}")


class _OfAttackers(Robust):
    """A rule for a stated number of attackers.

    `f`: how many of the updates may be anything.
    """

    f: Attackers = 1

    @property
    def tolerated(self) -> int:
        return self.f


class Krum(_OfAttackers):
    """The update with the least sum of squared distances to its n - f - 2 nearest ones.

    Blanchard et al., "Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent", NeurIPS
    2017.
    """

    kind: Literal["krum"] = "krum"
    slope: ClassVar[int] = 2
    offset: ClassVar[int] = 3


class MultiKrum(_OfAttackers):
    """The mean of the `m` updates that `krum` prefers; by default of n - f - 2.

    Blanchard et al., "Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent", NeurIPS
    2017.
    """

    kind: Literal["multi_krum"] = "multi_krum"
    slope: ClassVar[int] = 2
    offset: ClassVar[int] = 3
    m: Annotated[int, Field(ge=1)] | None = None

    def check_updates(self, fewest: int, supply: str, at: tuple[str, ...]) -> None:
        super().check_updates(fewest, supply, at)
        most = fewest - self.f - 2
        if self.m is not None and self.m > most:
            why = f"the mean is of m <= n - f - 2 = {fewest} - {self.f} - 2 = {most} updates; {supply}"
            raise misfit((*at, "m"), self.m, why)


class Median(Robust):
    """The median of every coordinate: it tolerates fewer than half, f attackers among n >= 2f + 1 updates.

    Of an even number, the mean of the two in the middle. Yin et al., "Byzantine-Robust Distributed
    Learning: Towards Optimal Statistical Rates", ICML 2018.
    """

    kind: Literal["median"] = "median"


class TrimmedMean(Robust):
    """The mean of every coordinate without its f largest and its f smallest values.

    f is given, or a `share` of the updates, rounded down. Yin et al., "Byzantine-Robust Distributed
    Learning: Towards Optimal Statistical Rates", ICML 2018.

    `f`: how many values go on each side; give this or the share.
    """

    kind: Literal["trimmed_mean"] = "trimmed_mean"
    f: Attackers | None = None
    share: Annotated[float, Field(ge=0.001, lt=0.5)] | None = None

    @model_validator(mode="after")
    def _one_measure(self) -> Self:
        if (self.f is None) == (self.share is None):
            raise misfit((), self, "give either f or share")
        return self

    def cut(self, updates: int) -> int:
        """Return how many of so many values are cut on each side.

        >>> TrimmedMean(share=0.1).cut(30)
        3
        """
        if self.share is None:
            return self.f or 0
        return int(round(self.share * updates, 9))

    @property
    def tolerated(self) -> int:
        return self.cut(self.updates_needed) if self.f is None else self.f

    @property
    def updates_needed(self) -> int:
        if self.share is None:
            return 2 * (self.f or 0) + 1
        least = int(1 / self.share)
        return least if self.cut(least) else least + 1

    @property
    def arithmetic(self) -> str:
        if self.share is None:
            return super().arithmetic
        return (
            f"cuts a share of {self.share:g} on each side, which is a whole update of {self.updates_needed}"
        )


class GeometricMedian(Robust):
    """The point with the least weighted sum of distances to the updates, by smoothed Weiszfeld steps.

    It starts at the coordinate-wise median, takes at most `iterations` steps, and treats distances below
    `smoothing` as that. It tolerates attackers with less than half of the weight, which is the strategy's.
    Pillutla, Kakade, Harchaoui, "Robust Aggregation for Federated Learning" (RFA), IEEE TSP 2022.
    """

    kind: Literal["geometric_median"] = "geometric_median"
    iterations: Annotated[int, Field(ge=1)] = 10
    smoothing: Annotated[float, Field(gt=0)] = 1e-6


class CenteredClipping(Aggregation):
    """v + the weighted mean of the differences D - v, each clipped to the length `tau`.

    v is the last aggregate, at first zero, and is taken again for each of `iterations`. No update moves it
    by more than its weight x tau x iterations; so it works on single updates, too. Clients keep no momentum
    here. Karimireddy, He, Jaggi, "Learning from History for Byzantine Robust Optimization", ICML 2021.
    """

    kind: Literal["centered_clipping"] = "centered_clipping"
    tau: Annotated[float, Field(gt=0)] = 1.0
    iterations: Annotated[int, Field(ge=1)] = 1


class NormBound(Aggregation):
    """The weighted sum of the updates, each clipped to the length `bound`.

    Sun et al., "Can You Really Backdoor Federated Learning?", 2019.
    """

    kind: Literal["norm_bound"] = "norm_bound"
    bound: Annotated[float, Field(gt=0)] = 1.0


class Bulyan(_OfAttackers):
    """Of n - 2f updates that `krum` chooses, the mean of the n - 4f nearest to each coordinate's median.

    El Mhamdi, Guerraoui, Rouault, "The Hidden Vulnerability of Distributed Learning in Byzantium", ICML
    2018.
    """

    kind: Literal["bulyan"] = "bulyan"
    slope: ClassVar[int] = 4
    offset: ClassVar[int] = 3


class FLTrust(Aggregation):
    """The mean of the updates, made as long as the server's own one, weighted by the cosine to it, or zero.

    The server has `root_samples` training samples, as many of each class as can be, which no client holds;
    at each server update it trains the current version on them as a client would, for the loss alone and in
    no virtual time. Cao et al., "FLTrust: Byzantine-robust Federated Learning via Trust Bootstrapping",
    NDSS 2021.
    """

    kind: Literal["fltrust"] = "fltrust"
    root_samples: Annotated[int, Field(ge=1)] = 100

    @property
    def server_samples(self) -> int:
        return self.root_samples


class DnC(_OfAttackers):
    """The mean without the `remove` x f updates that lie furthest along the direction of most variance.

    On `coordinates` of them, drawn at random; in each of `iterations`. Those are kept that most iterations
    keep. One is removed at a time, and the direction is that of those that are left; or all of them
    `at_once`, along one direction, as published: then attackers of different lengths hide behind the
    longest. Shejwalkar and Houmansadr, "Manipulating the Byzantine" (divide and conquer), NDSS 2021.
    """

    kind: Literal["dnc"] = "dnc"
    remove: Annotated[float, Field(ge=1, le=2)] = 1.0
    coordinates: Annotated[int, Field(ge=1)] = 10_000
    iterations: Annotated[int, Field(ge=1)] = 1
    at_once: bool = False
