"""`privacy`: noise that hides clients or their samples, and what it comes to; here the server's noise."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from flsim.component import Component, Section, misfit
from flsim.policy import Sync
from flsim.policy.accountant import Accounting
from flsim.policy.accounting import GaussianLedger, Ledger, SampledLedger, TreeLedger
from flsim.policy.selections.poisson import PoissonSelection
from flsim.policy.targets import calibrated
from flsim.scenario.aggregation import Mean
from flsim.tasks import Task, TaskCosts

if TYPE_CHECKING:
    from flsim.scenario.scenario import Scenario

Positive = Annotated[float, Field(gt=0)]


class AdaptiveClip(Section):
    """A bound that follows the `quantile` of the updates' norms, from `initial` on.

    After every server update it is multiplied with exp(-rate (b - quantile)), where b is the share of the
    updates that were within it, with noise of the deviation `count_noise` on their number; by default a
    twentieth of how many updates there are, but no less than the noise multiplier. Andrew et al.,
    "Differentially Private Learning with Adaptive Clipping", NeurIPS 2021.

    `rate`: how fast the bound moves.
    """

    initial: Positive = 1.0
    quantile: Annotated[float, Field(gt=0, lt=1)] = 0.5
    rate: Positive = 0.2
    count_noise: Positive | None = None

    def count_deviation(self, updates: float, noise_multiplier: float) -> float:
        """Return the deviation of the noise on the number of updates within the bound."""
        return self.count_noise or max(updates / 20, noise_multiplier)


class Target(Section):
    """The least noise with which `releases` stay within `epsilon`.

    They are server updates where those are sampled, and otherwise the tasks of one client; by default as
    many as `stop.updates`.

    `epsilon`: what is spent in all. `releases`: of how many; none means as many as `stop.updates`.
    """

    epsilon: Positive
    releases: Annotated[int, Field(ge=1)] | None = None


class Budget(Section):
    """The run ends before something would take epsilon over this: an update, or where clients add the
    noise, the next tasks.

    `epsilon`: the most that may be spent.
    """

    epsilon: Positive


class Privacy(Component):
    """Differential privacy: neighbouring runs differ in one client's updates, or in one sample.

    Epsilon is given at `delta`. `accounting`: by privacy loss distributions (pld), or by Renyi divergences
    (rdp), which is quicker and says more than is lost. Needs the extra `privacy`.

    `noise_multiplier`: the deviation of the noise over the bound, or what epsilon it is to be calibrated
    to. `budget`: what ends the run; none means that nothing does. `delta`: the probability with which the
    bound on epsilon may fail. `accounting`: pld (privacy loss distributions) is nearly exact; rdp (Renyi
    divergences) is quicker, and an upper bound.
    """

    noise_multiplier: Positive | Target = 1.0
    delta: Annotated[float, Field(gt=0, lt=1)] = 1e-5
    budget: Budget | None = None
    accounting: Accounting = "pld"

    @property
    def multiplier(self) -> float:
        """The noise multiplier. Raises TypeError where it is still to be calibrated."""
        if isinstance(self.noise_multiplier, Target):
            raise TypeError("the noise multiplier is not calibrated yet")
        return self.noise_multiplier

    def check(self, scenario: "Scenario") -> None:
        """Raise a misfit if nobody can tell what such a run reveals."""
        strategy, selection = scenario.strategy, scenario.selection
        if selection.reads_losses or selection.needs_client_tests:
            why = f"{selection.kind} chooses by what the clients' samples give, which has no noise"
            raise misfit(("selection", "kind"), selection.kind, why)
        if strategy.needs_history:
            why = f"{strategy.kind} may go by the clients' losses and reports, which have no noise"
            raise misfit(("strategy", "kind"), strategy.kind, why)
        if scenario.stop.converged is not None:
            why = "when the run ends would tell of the clients' losses, which have no noise"
            raise misfit(("stop", "converged"), scenario.stop.converged, why)

    @abstractmethod
    def ledger(self, scenario: "Scenario", costs: TaskCosts) -> Ledger:
        """Return an empty ledger for such a run. `costs`: those of its tasks, as they are in the run."""

    def calibrated(
        self, scenario: "Scenario", epsilon: float, releases: int, costs: Callable[[], TaskCosts]
    ) -> float:
        """Return the least noise multiplier with which so many releases stay within epsilon.

        `costs`: gives those of the tasks, without masks.
        """
        return calibrated(epsilon, self.delta, releases, self.sampled(scenario), self.accounting)

    def sampled(self, scenario: "Scenario") -> float | None:
        """Return the probability with which a client is part of a release, if that counts."""
        return None

    def told(self, scenario: "Scenario") -> dict[str, object]:
        """Return how it is kept and counted, for people who read a run's summary."""
        return {
            "kind": self.kind,
            "noise_multiplier": self.multiplier,
            "delta": self.delta,
            "accounting": self.accounting,
            "budget": None if self.budget is None else self.budget.epsilon,
        }


class Released(Privacy):
    """The server adds the noise: it sees the updates, and nobody else does."""

    def weights(self, scenario: "Scenario", weights: Sequence[float]) -> tuple[float, ...]:
        """Return what updates count for, where the strategy gives them these weights."""
        return tuple(weights)

    @abstractmethod
    def ratios(
        self, scenario: "Scenario", tasks: Sequence[Task], weights: Sequence[float]
    ) -> dict[int, float]:
        """Return, by client, how far its updates can move what is released, in standard deviations."""

    def check(self, scenario: "Scenario") -> None:
        super().check(scenario)
        strategy, aggregation, training = scenario.strategy, scenario.aggregation, scenario.training
        if type(aggregation) is not Mean:
            why = f"privacy {self.kind} knows how far one client moves a mean; accepted: mean"
            raise misfit(("aggregation", "kind"), aggregation.kind, why)
        if getattr(strategy, "weighting", "equal") != "equal":
            why = "a client's number of samples would show in everybody's weight; accepted: equal"
            raise misfit(("strategy", "weighting"), "samples", why)
        if training is not None and training.objective.vectors[1] > 1:
            kind = training.objective.kind
            why = f"{kind} sends a second vector beside the update, which would have no noise"
            raise misfit(("workload", "training", "objective", "kind"), kind, why)
        if training is not None and training.objective.corrects_model:
            kind = training.objective.kind
            why = f"with {kind}, the server also goes by what the updates were before the noise"
            raise misfit(("workload", "training", "objective", "kind"), kind, why)


class CentralPrivacy(Released):
    """The server clips every update to the norm `clip`, and adds Gaussian noise to their weighted sum.

    The noise has the deviation `noise_multiplier` x clip x the largest weight of a client. Where cohorts
    are Poisson samples, every update counts 1 / (q N), and sampling makes the noise count for more.
    McMahan et al., "Learning Differentially Private Recurrent Language Models", ICLR 2018.
    """

    kind: Literal["central"] = "central"
    clip: Positive | AdaptiveClip = 1.0

    def sampled(self, scenario: "Scenario") -> float | None:
        return sampling(scenario)

    def weights(self, scenario: "Scenario", weights: Sequence[float]) -> tuple[float, ...]:
        q = sampling(scenario)
        return tuple(weights) if q is None else (1 / (q * scenario.fleet.clients),) * len(weights)

    def told(self, scenario: "Scenario") -> dict[str, object]:
        q = sampling(scenario)
        counted = "each client's participations" if q is None else f"Poisson samples with probability {q:g}"
        return super().told(scenario) | {"counted_by": counted}

    def ledger(self, scenario: "Scenario", costs: TaskCosts) -> Ledger:
        q = sampling(scenario)
        if q is None:
            return GaussianLedger(self.delta, self.accounting)
        return SampledLedger(q, self.multiplier, self.delta, self.accounting)

    def ratios(
        self, scenario: "Scenario", tasks: Sequence[Task], weights: Sequence[float]
    ) -> dict[int, float]:
        moved = moved_by(tasks, weights)
        largest = max(moved.values(), default=1.0)
        if not isinstance(self.clip, AdaptiveClip):
            return {client: weight / (self.multiplier * largest) for client, weight in moved.items()}
        deviation = self.clip.count_deviation(len(tasks), self.multiplier)
        sums = self.sum_multiplier(len(tasks)) * largest
        counted = moved_by(tasks, [0.5] * len(tasks))
        return {
            client: ((weight / sums) ** 2 + (counted[client] / deviation) ** 2) ** 0.5
            for client, weight in moved.items()
        }

    def sum_multiplier(self, updates: float) -> float:
        """Return the noise multiplier of the sum alone: the rest of the noise is on the clip's count."""
        if not isinstance(self.clip, AdaptiveClip):
            return self.multiplier
        deviation = self.clip.count_deviation(updates, self.multiplier)
        return float((self.multiplier**-2 - (2 * deviation) ** -2) ** -0.5)


class TreePrivacy(Released):
    """As central, with noise that is shared between server updates: DP-FTRL.

    The noise of the sum of all updates so far is that of the nodes of a binary tree, which grows with the
    logarithm of their number. No update counts more than the strategy gives one of a full server update.
    It needs no sampling. Kairouz et al., "Practical and Private (Deep) Learning Without Sampling or
    Shuffling", ICML 2021.

    `clip`: the largest norm of an update.
    """

    kind: Literal["tree"] = "tree"
    clip: Positive = 1.0

    def weights(self, scenario: "Scenario", weights: Sequence[float]) -> tuple[float, ...]:
        return tuple(min(weight, self.full_weight(scenario)) for weight in weights)

    def ledger(self, scenario: "Scenario", costs: TaskCosts) -> Ledger:
        return TreeLedger(self.delta, self.accounting)

    def ratios(
        self, scenario: "Scenario", tasks: Sequence[Task], weights: Sequence[float]
    ) -> dict[int, float]:
        unit = self.multiplier * self.full_weight(scenario)
        return {client: weight / unit for client, weight in moved_by(tasks, weights).items()}

    def told(self, scenario: "Scenario") -> dict[str, object]:
        return super().told(scenario) | {"counted_by": "each client's part in the tree's nodes"}

    @staticmethod
    def full_weight(scenario: "Scenario") -> float:
        """Return what one update counts for at most."""
        assert scenario.strategy.full_weight is not None  # noqa: S101
        return scenario.strategy.full_weight

    def check(self, scenario: "Scenario") -> None:
        super().check(scenario)
        strategy = scenario.strategy
        if strategy.full_weight is None:
            why = (
                "tree needs to know beforehand how many updates a server update has; give a number of them"
            )
            raise misfit(("strategy",), strategy.kind, why)
        if isinstance(self.noise_multiplier, Target):
            why = "what tree noise comes to depends on when clients take part; give the multiplier itself"
            raise misfit(("privacy", "noise_multiplier"), self.noise_multiplier.epsilon, why)


def sampling(scenario: "Scenario") -> float | None:
    """Return the probability with which every client is part of a server update, by itself; None if not so.

    It takes Poisson samples that are not drawn again if nobody is in them, all of whom are waited for, and
    a server update whoever has answered.
    """
    strategy, selection = scenario.strategy, scenario.selection
    waits = isinstance(strategy, Sync) and strategy.cohort == "all" and strategy.quorum == 1
    sampled = isinstance(selection, PoissonSelection) and selection.draws_rounds
    return selection.q if isinstance(selection, PoissonSelection) and sampled and waits else None


def moved_by(tasks: Sequence[Task], weights: Sequence[float]) -> dict[int, float]:
    """Return, by client, the sum of the weights of its tasks."""
    moved: dict[int, float] = {}
    for task, weight in zip(tasks, weights, strict=True):
        moved[task.client] = moved.get(task.client, 0.0) + abs(weight)
    return moved
