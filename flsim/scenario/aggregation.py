"""`aggregation`: how the updates of a server update become one.

D_i is the update of client i, h_i the last one that is remembered of it (zero before there is one), N the
number of clients, K the number of updates at hand, alpha the strategy's staleness factors.
"""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from flsim.component import Component, misfit
from flsim.policy import FedAT, Strategy
from flsim.policy.staleness import AnyStaleness, ConstantStaleness, UniformStaleness
from flsim.policy.weighting import Weighting
from flsim.scenario.participation import AnyParticipation, Uniform
from flsim.scenario.server_optimizer import ServerSgd
from flsim.scenario.training import Sgd

if TYPE_CHECKING:
    from flsim.scenario.scenario import Scenario
from flsim.tasks import Anchor


class Aggregation(Component):
    """How updates become one."""

    anchor: ClassVar[Anchor | None] = None
    """What it needs updates to be measured against, whatever the strategy says; None if it takes either."""

    def check(self, scenario: "Scenario") -> None:
        """Raise a misfit if the rule cannot work in a scenario."""
        strategy = scenario.strategy
        self.check_updates(strategy.fewest_updates, supplied_by(strategy), ("aggregation",))

    def check_updates(self, fewest: int, supply: str, at: tuple[str, ...]) -> None:
        """Raise a misfit, at the rule's place in the scenario, if `fewest` updates do not do for it.

        `supply`: who hands over so few, in words.
        """

    @property
    def server_samples(self) -> int:
        """How many training samples the server keeps for itself, to train on."""
        return 0

    @property
    def reads_losses(self) -> bool:
        """Whether what it makes of the updates depends on the clients' training losses."""
        return False


def supplied_by(strategy: Strategy) -> str:
    """Return in words how few updates a strategy may aggregate, and which key says so.

    >>> from flsim.policy import Sync
    >>> supplied_by(Sync(quorum=5))
    'sync with quorum 5 may aggregate 5'
    """
    fewest = strategy.fewest_updates
    key = next((key for key in ("quorum", "buffer_size") if getattr(strategy, key, None) == fewest), None)
    return f"{strategy.kind}{f' with {key} {fewest}' if key else ''} may aggregate {fewest}"


class Mean(Aggregation):
    """The weighted sum of the updates, with the strategy's weights."""

    kind: Literal["mean"] = "mean"


class QFedAvg(Aggregation):
    """The weighted sum, with the strategy's weights times loss ** q, scaled to the same sum.

    The loss is a client's mean training loss over its last epoch; a client without one counts nothing.
    With q = 0 the strategy's weights stay as they are. After Li et al., "Fair Resource Allocation in
    Federated Learning", ICLR 2020.

    `q`: how much more clients with a high loss count; 0 means not at all.
    """

    kind: Literal["qfedavg"] = "qfedavg"
    q: Annotated[float, Field(ge=0)] = 1.0

    @property
    def reads_losses(self) -> bool:
        return True


class FedATModels(Aggregation):
    """The mean of the tiers' models, that of tier m with weight T_(M+1-m) / T.

    T_m of all T updates were tier m's, this one included, of M tiers from the fastest to the slowest: slow
    tiers count as often as the fast ones are updated. The model of a tier is the weighted mean of its
    clients' models in its last round, and version 0 before the first. As published, a tier counts nothing
    while its mirror image M + 1 - m has had no round: so the model stands still at first. With
    `tier_weights: equal` every tier counts 1 / M. It needs the strategy `fedat`, and a server that takes
    the mean as it is: plain `sgd` with `lr: 1`. Chai et al., "FedAT: A High-Performance and
    Communication-Efficient Federated Learning System with Asynchronous Tiers", SC 2021.

    `tier_weights`: mirrored, as published, or the same for every tier that has had a round.
    """

    kind: Literal["fedat"] = "fedat"
    tier_weights: Literal["mirrored", "equal"] = "mirrored"
    anchor: ClassVar[Anchor | None] = Anchor.CURRENT

    def check(self, scenario: "Scenario") -> None:
        strategy, training = scenario.strategy, scenario.training
        if not isinstance(strategy, FedAT) and strategy.groups == 1:
            why = "aggregation fedat keeps a model for each tier of clients: it needs the strategy fedat"
            raise misfit(("strategy", "kind"), strategy.kind, why)
        if scenario.server_optimizer != ServerSgd():
            why = "aggregation fedat takes the mean of the tiers' models as it is; accepted: sgd with lr: 1"
            raise misfit(("server_optimizer",), scenario.server_optimizer.kind, why)
        if training is not None and training.objective.corrects_model:
            why = "takes something from the model, which the tiers' models of aggregation fedat do not have"
            raise misfit(("workload", "training", "objective", "kind"), training.objective.kind, why)


class FedNova(Aggregation):
    """tau_eff x the weighted sum of D_i / a_i: updates are compared by the step, whatever their number.

    a_i is what a client's gradients count for in its update: its steps, or more with momentum; tau_eff is
    the weighted mean of a_i. Clients that take no step are left out. Wang et al., "Tackling the Objective
    Inconsistency Problem in Heterogeneous Federated Optimization", NeurIPS 2020.
    """

    kind: Literal["fednova"] = "fednova"

    def check(self, scenario: "Scenario") -> None:
        training = scenario.training
        if training is None:
            return
        optimizer, objective, loc = training.optimizer, training.objective, ("workload", "training")
        if type(optimizer) is not Sgd:  # a class that derives from it may step otherwise
            why = "fednova knows what a step counts for with sgd only, with momentum or without"
            raise misfit((*loc, "optimizer", "kind"), optimizer.kind, why)
        if optimizer.weight_decay:
            why = "fednova cannot tell what a step counts for with weight decay; accepted: 0"
            raise misfit((*loc, "optimizer", "weight_decay"), optimizer.weight_decay, why)
        if objective.pull:
            why = "fednova cannot tell what a step counts for where weights are drawn back to the old ones"
            raise misfit((*loc, "objective", "kind"), objective.kind, why)


class ByClient(Aggregation):
    """A rule that weights the clients itself, and takes nothing from the strategy but staleness factors."""

    takes_factors: ClassVar[bool] = True

    def check(self, scenario: "Scenario") -> None:
        strategy = scenario.strategy
        weighting = getattr(strategy, "weighting", None)
        if weighting != "equal":
            key = "kind" if weighting is None else "weighting"
            why = f"{self.kind} weights the clients itself: it needs sync or fedbuff with weighting: equal"
            raise misfit(("strategy", key), weighting or strategy.kind, why)
        staleness = getattr(strategy, "staleness", UniformStaleness())
        if not (self.takes_factors or isinstance(staleness, UniformStaleness)):
            why = f"{self.kind} counts every update fully; accepted: uniform"
            raise misfit(("strategy", "staleness", "kind"), staleness.kind, why)


class Afl(ByClient):
    """The sum of lambda_i alpha_i D_i over the sum of lambda_i, with lambda raised where losses are high.

    After every update lambda <- lambda + lr x losses of the clients at hand, projected on the simplex of
    all clients; it starts at 1/N each. The loss is the mean training loss over the last epoch, and zero for
    a client without one. Mohri, Sivek, Suresh, "Agnostic Federated Learning", ICML 2019.

    `lr`: how fast lambda moves towards clients with a high loss.
    """

    kind: Literal["afl"] = "afl"
    lr: Annotated[float, Field(gt=0)] = 0.01

    @property
    def reads_losses(self) -> bool:
        return True


class Ca2fl(ByClient):
    """The mean of h over all clients + the mean of alpha_i (D_i - h_i) over the buffer; then h_i <- D_i.

    Keeps one update for each client that has sent one. Wang et al., "Tackling the Data Heterogeneity in
    Asynchronous Federated Learning with Cached Update Calibration", ICLR 2024.
    """

    kind: Literal["ca2fl"] = "ca2fl"


class Ace(ByClient):
    """The mean of h over all clients, after h_i <- D_i: everybody's latest update, whoever has sent it.

    ACE has a buffer of one: `fedbuff` with `buffer_size: 1`. A larger one makes it buffered ACE. Keeps one
    update for each client that has sent one. Chang et al., "Mitigating Participation Imbalance Bias in
    Asynchronous Federated Learning", arXiv:2511.19066, 2025.
    """

    kind: Literal["ace"] = "ace"
    takes_factors: ClassVar[bool] = False


class ByParticipation(ByClient):
    """A rule that counts a client the more, the rarer it takes part.

    `weighting` gives the weights w_i of the clients, which sum to 1 over all: by samples, or 1/N each. An
    update of a client that takes part with probability p_i counts w_i / p_i. A client that is in a buffer
    more than once counts once, with the mean of its updates.

    `participation`: the estimate of p_i.
    """

    weighting: Weighting = "samples"
    participation: AnyParticipation = Uniform()

    def check(self, scenario: "Scenario") -> None:
        super().check(scenario)
        named, clients = self.participation.clients_named, scenario.served
        if named is not None and named != clients:
            why = f"speaks of {named} clients, but the fleet has {clients}"
            raise misfit(("aggregation", "participation"), self.participation.kind, why)


class Unbiased(ByParticipation):
    """The sum of w_i alpha_i D_i / p_i over the buffer: in expectation that of all clients.

    Unbiased FedAvg with `sync`, unbiased FedBuff with `fedbuff`. Horvitz and Thompson's estimator; for
    federated averaging see Wang and Ji, "A Lightweight Method for Tackling Unknown Participation
    Statistics in Federated Averaging", ICLR 2024.
    """

    kind: Literal["unbiased"] = "unbiased"


class FedStale(ByParticipation):
    """beta x the sum of w_i h_i over all clients + the sum of w_i (alpha_i D_i - beta h_i) / p_i.

    Then h_i <- D_i: one update is kept for each client that has sent one. With `sync` it is FedStale: Rodio
    and Neglia, "FedStale: leveraging stale client updates in federated learning", ECAI 2024.

    `beta`: how much what is remembered counts; with 0 it is `unbiased`.
    """

    kind: Literal["fedstale"] = "fedstale"
    beta: Annotated[float, Field(ge=0, le=1)] = 0.5


class UnbiasedCa2fl(ByParticipation):
    """The sum of w_i h_i over all clients + the sum of w_i (D_i - h_i) / p_i; then h_i <- D_i.

    It is `fedstale_async` with alpha = beta = 1. Keeps one update for each client that has sent one. The
    calibration is that of Wang et al., "Tackling the Data Heterogeneity in Asynchronous Federated Learning
    with Cached Update Calibration", ICLR 2024; the correction for participation that of FedStale (Rodio
    and Neglia, ECAI 2024).
    """

    kind: Literal["unbiased_ca2fl"] = "unbiased_ca2fl"
    takes_factors: ClassVar[bool] = False


class FedStaleAsync(ByParticipation):
    """As `fedstale`, with a beta for every client that depends on the age s of what is remembered of it.

    beta(s) = `scale` x the factor of `beta`, where s is the server's version minus the one that h_i was
    trained from. What is taken off when a client takes part is beta(s) h_i / p_i with `discount: current`,
    and b h_i / p_i with `discount: average`, where b is the mean of beta over the updates since h_i came.
    Unless beta is constant, an update costs a pass over all that is remembered. After Rodio and Neglia,
    "FedStale: leveraging stale client updates in federated learning", ECAI 2024.
    """

    kind: Literal["fedstale_async"] = "fedstale_async"
    beta: AnyStaleness = UniformStaleness()
    scale: Annotated[float, Field(ge=0, le=1)] = 1.0
    discount: Literal["current", "average"] = "current"

    def beta_at(self, age: int) -> float:
        """Return beta for something remembered of that age, in versions."""
        return self.scale * self.beta.factor(age)

    @property
    def constant_beta(self) -> float | None:
        """The one value of beta; None if it depends on the age."""
        constant = isinstance(self.beta, UniformStaleness | ConstantStaleness)
        return self.beta_at(0) if constant or self.scale == 0 else None
