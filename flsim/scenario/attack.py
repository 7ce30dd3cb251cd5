"""`attack`: which clients attack, from when to when, and how.

A task is attacked if its client is an attacker and it is dispatched within [`start`, `end`). Attackers
take as long, and send as many bytes, as if they were honest, so an attack changes no timeline by itself.

An attack on the data changes what attackers train on; they are honest otherwise. An attack on updates
changes what they send, knowing what they would have sent and, if they collude, what the other attackers
of the same server update would. With `knowledge: all` they know the honest updates in it as well.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from flsim.component import Component, Kinds, Section, misfit
from flsim.draws import Stream
from flsim.quantities import Seconds
from flsim.scenario.personalization import FineTune
from flsim.scenario.trigger import AnyTrigger, Patch
from flsim.tasks import Task

if TYPE_CHECKING:
    from flsim.scenario.scenario import Scenario

Label = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Deviation = Annotated[float, Field(ge=0)]


@dataclass(frozen=True)
class Campaign:
    """The attackers of a run, and from when to when they attack."""

    clients: frozenset[int]
    start_s: float
    end_s: float

    def attacks(self, task: Task) -> bool:
        """Return whether a task is attacked."""
        return task.client in self.clients and self.start_s <= task.dispatched_s < self.end_s


class Attackers(Section):
    """A `share` of the clients, drawn at random, or a `list` of their ids.

    A share is rounded, but one client at least. Of two shares, the larger one has all attackers of the
    smaller.
    """

    share: Annotated[float, Field(gt=0, le=1)] | None = None
    list: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.share is None) == (self.list is None):
            raise misfit((), self.model_dump(), "expected either a share or a list of clients")
        return self

    def of(self, clients: int, seed: int) -> frozenset[int]:
        """Return the attackers among so many clients."""
        if self.list is not None:
            return frozenset(self.list)
        count = max(1, math.floor((self.share or 0.0) * clients + 0.5))
        draws = Stream(seed, "attack.clients").uniforms(clients)
        return frozenset(np.argsort(draws, kind="stable")[:count].tolist())


class Attack(Component):
    """What attackers do.

    `clients`: who attacks. `start`: tasks that are dispatched earlier are honest. `end`: tasks that are
    dispatched from then on are honest; none means that the attack goes on.
    """

    clients: Attackers = Attackers(share=0.2)
    start: Seconds = 0.0
    end: Seconds | None = None

    @property
    def collude(self) -> bool:
        """Whether the attackers of a server update work out together what they send."""
        return False

    def campaign(self, clients: int, seed: int) -> Campaign:
        """Return who of so many clients attacks, and when."""
        end_s = math.inf if self.end is None else self.end
        return Campaign(self.clients.of(clients, seed), self.start, end_s)

    def check(self, scenario: "Scenario") -> None:
        """Raise a misfit if it cannot work in a scenario."""
        loc, personalization, clients = ("attack",), scenario.personalization, scenario.fleet.clients
        if scenario.training is None:
            why = "there is nothing to attack without training; it needs workload torch"
            raise misfit((*loc, "kind"), self.kind, why)
        if self.end is not None and self.end <= self.start:
            raise misfit((*loc, "end"), self.end, f"must be later than the start, {self.start:g} s")
        if self.clients.list is not None and max(self.clients.list) >= clients:
            why = f"the fleet's clients are 0 to {clients - 1}"
            raise misfit((*loc, "clients", "list"), list(self.clients.list), why)
        if personalization is not None and personalization.private_layers:
            why = (
                f"{self.kind} cannot be with personalization {personalization.kind}: attacks are defined "
                "on whole models, and a private head never leaves its client"
            )
            raise misfit((*loc, "kind"), self.kind, why)


class DataAttack(Attack):
    """Attackers train on samples that they have changed, and are honest otherwise."""

    def check(self, scenario: "Scenario") -> None:
        super().check(scenario)
        training, personalization = scenario.training, scenario.personalization
        if personalization is not None and not isinstance(personalization, FineTune):
            why = (
                f"{self.kind} cannot be with personalization {personalization.kind}: it does not say which "
                "samples an attacker's own model learns from"
            )
            raise misfit(("attack", "kind"), self.kind, why)
        if training is not None and training.objective.passes:
            kind = training.objective.kind
            why = f"{self.kind} cannot be with objective {kind}, which asks for gradients of honest samples"
            raise misfit(("attack", "kind"), self.kind, why)


class LabelFlip(DataAttack):
    """Attackers train on wrong labels: `source` as `target`, y as C - 1 - y, or the least likely class.

    `mode: pairwise` changes one class; `all` every label y of C classes (Tolpegin et al., ESORICS 2020;
    Fang et al., USENIX Security 2020); `dynamic` gives each sample the class that the model which came
    with the task finds least likely (Shejwalkar et al., IEEE S&P 2022).
    """

    kind: Literal["label_flip"] = "label_flip"
    mode: Literal["pairwise", "all", "dynamic"] = "all"
    source: Label | None = None
    target: Label | None = None

    @model_validator(mode="after")
    def _pair(self) -> Self:
        pair = self.source, self.target
        if self.mode == "pairwise" and (None in pair or self.source == self.target):
            raise misfit(("mode",), self.mode, "pairwise needs a source and another class as target")
        if self.mode != "pairwise" and pair != (None, None):
            raise misfit(("mode",), self.mode, "source and target are for mode pairwise")
        return self


class Backdoor(DataAttack):
    """Attackers teach the model to take every sample with a trigger for class `target`.

    A `share` of each attacker's samples has the trigger and the label `target`. The update is multiplied
    with `boost`; `replacement` stands for that of `model_replacement`. Its success is the share of the
    test samples of other classes that the global model takes for `target` when they have the trigger.

    `trigger`: what is put into a sample.

    Reference: Bagdasaryan et al., "How To Backdoor Federated Learning", AISTATS 2020; the trigger of Gu
    et al., "BadNets", 2017.
    """

    kind: Literal["backdoor"] = "backdoor"
    target: Label = 0
    trigger: AnyTrigger = Patch()
    share: Annotated[float, Field(gt=0, le=1)] = 0.5
    boost: Positive | Literal["replacement"] = 1.0

    @property
    def collude(self) -> bool:
        return self.boost == "replacement"


class WeightPerturbation(Attack):
    """Attackers train from weights to which they have added N(0, `std`²)."""

    kind: Literal["weight_perturbation"] = "weight_perturbation"
    std: Positive = 0.05


class _TeamAttack(Attack):
    """`colluding`: attackers start from the mean of their updates, those in the same server update."""

    colluding: bool = False

    @property
    def collude(self) -> bool:
        return self.colluding


class SignFlip(_TeamAttack):
    """-`factor` x the update.

    Reference: Li et al., "RSA: Byzantine-Robust Stochastic Aggregation Methods", AAAI 2019, with factor 4.
    """

    kind: Literal["sign_flip"] = "sign_flip"
    factor: Positive = 4.0


class Scaling(_TeamAttack):
    """`factor` x the update."""

    kind: Literal["scaling"] = "scaling"
    factor: Positive = 10.0


class ModelReplacement(_TeamAttack):
    """The update, boosted until the next model is the attackers'.

    By 1 over the server's rate x their weights, as long as the honest updates come to nothing, as they do
    near convergence. The weights are those that the strategy gives the attackers in the server update; a
    `boost` takes the place of the formula. With a server optimiser that adapts its steps the model is not
    quite replaced.

    Reference: Bagdasaryan et al., "How To Backdoor Federated Learning", AISTATS 2020, equation 3.
    """

    kind: Literal["model_replacement"] = "model_replacement"
    boost: Positive | None = None
    colluding: bool = True


class GaussianNoise(Attack):
    """The update plus noise or, with `instead`, nothing but noise.

    `std` is the noise's standard deviation; with `relative`, its expected length as a multiple of the
    update's. Blanchard et al., NeurIPS 2017, send noise instead.
    """

    kind: Literal["gaussian_noise"] = "gaussian_noise"
    std: Positive = 1.0
    relative: bool = True
    instead: bool = False


class _HiddenAttack(_TeamAttack):
    """`knowledge`: whose updates are known, the attackers' as they trained them, or all honest clients'."""

    colluding: bool = True
    knowledge: Literal["attackers", "all"] = "attackers"


class _AmongOthers(_HiddenAttack):
    @model_validator(mode="after")
    def _sees_some(self) -> Self:
        if not self.colluding and self.knowledge == "attackers":
            why = f"{self.kind} hides among updates: an attacker on its own needs knowledge: all"
            raise misfit(("colluding",), self.colluding, why)
        return self


class Alie(_AmongOthers):
    """A little is enough: mean + `z` x deviation of the known updates, coordinate by coordinate.

    Without `z`, the one of the paper: the largest with Phi(z) < (n - m - s) / (n - m), where m of n
    updates are the attackers' and s = n // 2 + 1 - m, at least 1, more have to be won for a majority; 0
    without n - m > s.

    Reference: Baruch et al., "A Little Is Enough", NeurIPS 2019, Algorithm 3.
    """

    kind: Literal["alie"] = "alie"
    z: float | None = None


class Ipm(_HiddenAttack):
    """Inner-product manipulation: -`epsilon` x the mean of the known updates.

    Reference: Xie et al., "Fall of Empires", UAI 2020.
    """

    kind: Literal["ipm"] = "ipm"
    epsilon: Positive = 0.5


class _FarAway(_AmongOthers):
    """The mean of the known updates + gamma x a direction, with the largest gamma that does not show.

    `direction`: against the mean's, against its signs, or against the deviations of the coordinates.
    """

    direction: Literal["inverse_unit", "inverse_sign", "inverse_std"] = "inverse_std"


class MinMax(_FarAway):
    """The mean, moved as far as leaves it no farther from any known update than two of them are apart.

    To the mean + gamma x `direction`, with the largest such gamma. Distances are to the known updates.

    Reference: Shejwalkar and Houmansadr, "Manipulating the Byzantine", NDSS 2021.
    """

    kind: Literal["min_max"] = "min_max"


class MinSum(_FarAway):
    """The mean, moved as far as leaves it no larger a sum of squared distances than a known update has.

    To the mean + gamma x `direction`, with the largest such gamma. Distances are to the known updates.

    Reference: Shejwalkar and Houmansadr, "Manipulating the Byzantine", NDSS 2021.
    """

    kind: Literal["min_sum"] = "min_sum"


class FreeRider(Attack):
    """Clients who only pretend to train: zeros, or the change that led to the model they were sent.

    To either they add N(0, `noise`²). Version 0 has no change before it: zeros.

    `sends`: what is sent in the place of an update.

    References: Lin et al., "Free-riders in Federated Learning: Attacks and Defenses", 2019; Fraboni et al.,
    "Free-rider Attacks on Model Aggregation in Federated Learning", AISTATS 2021.
    """

    kind: Literal["free_rider"] = "free_rider"
    sends: Literal["zeros", "last_change"] = "zeros"
    noise: Deviation = 0.0


AnyAttack = Annotated[
    Attack,
    Kinds(
        Attack,
        LabelFlip,
        Backdoor,
        WeightPerturbation,
        SignFlip,
        Scaling,
        ModelReplacement,
        GaussianNoise,
        Alie,
        Ipm,
        MinMax,
        MinSum,
        FreeRider,
    ),
]
