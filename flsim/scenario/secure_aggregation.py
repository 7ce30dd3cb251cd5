"""`secure_aggregation`: the server learns sums of updates, and no update. Here, of a cohort's."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from flsim.component import Component, Section, misfit
from flsim.draws import Stream
from flsim.policy import Sync
from flsim.quantities import PositiveSeconds
from flsim.scenario.aggregation import Mean
from flsim.scenario.codec import numbers_in
from flsim.scenario.distributed_privacy import DistributedPrivacy
from flsim.scenario.workload import TorchWorkload
from flsim.secagg import sizes
from flsim.secagg.fixed_point import MOST_BITS, FixedPoint
from flsim.secagg.graph import Neighbours, complete, sparse

if TYPE_CHECKING:
    from flsim.scenario.scenario import Scenario

Mode = Literal["protocol", "fast"]


class Timeouts(Section):
    """How long each phase waits for those who have not delivered; by default for as long as it takes.

    `keys`: for public keys. `shares`: for shares of secrets. `masked_input`: for updates, which takes in
    the download and the training. `unmasking`: for what takes the masks off.
    """

    keys: PositiveSeconds | None = None
    shares: PositiveSeconds | None = None
    masked_input: PositiveSeconds | None = None
    unmasking: PositiveSeconds | None = None


class SecureAggregation(Component):
    """The server has sums of updates, and no update.

    Updates are numbers of `precision` bits after the point, and what is beyond `limit` becomes the limit.

    `mode`: with real keys, masks and shares, or with their costs alone.
    """

    limit: Annotated[float, Field(gt=0, le=2**20)] = 4.0
    precision: Annotated[int, Field(ge=1, le=32)] = 16
    mode: Mode = "protocol"

    @abstractmethod
    def bits(self, scenario: "Scenario") -> int:
        """Return what a number of a masked update takes."""

    @abstractmethod
    def upload_bytes(self, scenario: "Scenario", plain_bytes: int) -> int:
        """Return what goes up with a task whose update would be so many bytes of float32."""

    def beside_model_bytes(self) -> int:
        """Return what comes down with a task, beside the model."""
        return 0

    def share_length(self, plain_bytes: int) -> int:
        """Return how many numbers a coded share of such an update's mask has; 0: there are none."""
        return 0

    def told(self, scenario: "Scenario", share_length: int) -> dict[str, object]:
        """Return what the summary says of it beside its sessions."""
        return {}

    @abstractmethod
    def check(self, scenario: "Scenario") -> None:
        """Raise a misfit if the scenario has anything that needs more than sums."""


class PairwiseMasking(SecureAggregation):
    """A session of four phases for every cohort, after which the server has the sum of its updates.

    `threshold`: how many of those who hold shares of a secret are needed, or which share of them; more
    than half, so that the server cannot have both of a client's secrets.

    `timeout`: how long each phase waits.
    """

    threshold: Annotated[int, Field(ge=2)] | Annotated[float, Field(gt=0.5, le=1)] = 0.67
    timeout: Timeouts = Timeouts()

    @abstractmethod
    def holders(self, clients: int) -> int:
        """Return how many hold shares of a client's secrets, itself included, in a session of so many."""

    @abstractmethod
    def graph(self, clients: Sequence[int], seed: int, session: int) -> Neighbours:
        """Return who shares with whom, of those who have advertised keys."""

    def needed(self, clients: int) -> int:
        """Return the threshold of a session of so many clients.

        >>> SecAgg(threshold=0.67).needed(10), SecAgg(threshold=8).needed(10)
        (7, 8)
        """
        if isinstance(self.threshold, int):
            return self.threshold
        return max(2, math.ceil(round(self.threshold * self.holders(clients), 9)))

    def fewest(self, clients: int) -> int:
        """Return how many of a session of so many are as large a share as the threshold is of the holders.

        With privacy in the sum, fewer inputs make none. Where everybody is everybody's neighbour, the
        threshold sees to it; where not, the server has to.

        >>> SecAgg(threshold=7).fewest(10), SecAggPlus(neighbours=20, threshold=14).fewest(100)
        (7, 67)
        """
        return -(-clients * self.needed(clients) // self.holders(clients))

    def code(self, scenario: "Scenario") -> FixedPoint:
        """Return the numbers that updates are sent as: as many as can come are sure to have a sum."""
        strategy, clients = scenario.strategy, scenario.fleet.clients
        most = strategy.cohort if isinstance(strategy, Sync) and strategy.cohort != "all" else clients
        plain = FixedPoint(self.limit, self.precision, most)
        privacy = scenario.privacy
        return privacy.code(plain, self.fewest) if isinstance(privacy, DistributedPrivacy) else plain

    def bits(self, scenario: "Scenario") -> int:
        return self.code(scenario).bits

    def upload_bytes(self, scenario: "Scenario", plain_bytes: int) -> int:
        return sizes.masked_up(numbers_in(plain_bytes), self.code(scenario).bits)

    def multiplier(self, scenario: "Scenario", samples: int, most: int) -> float:
        """Return what a client multiplies its update with: at most 1. `most`: the samples of any in it.

        Weights are known when all is over, but they have the proportions of what is known before.
        """
        by_samples = isinstance(scenario.strategy, Sync) and scenario.strategy.weighting == "samples"
        return samples / most if by_samples and most else 1.0

    def check(self, scenario: "Scenario") -> None:
        check_what_sees_updates(scenario)
        strategy = scenario.strategy
        if not isinstance(strategy, Sync):
            why = (
                f"{strategy.kind} takes updates as they come; sums are of clients who start together. "
                f"Accepted with {self.kind}: sync; for a buffer, see secure_aggregation lightsecagg"
            )
            raise misfit(("strategy", "kind"), strategy.kind, why)
        for key in ("deadline", "over_selection", "quorum"):
            if (given := getattr(strategy, key)) != Sync.model_fields[key].default:
                why = "who is late drops out of the sum; see threshold and timeout of secure_aggregation"
                raise misfit(("strategy", key), given, why)
        clients = scenario.fleet.clients if strategy.cohort == "all" else strategy.cohort
        holders, fewest = self.holders(clients), self.needed(2)
        if clients < 2:
            raise misfit(("strategy", "cohort"), clients, "the sum of one update is that update")
        if strategy.cohort == "all" and strategy.min_available < fewest:
            why = f"a session of fewer than {fewest} clients would fail at once; accepted: {fewest} or more"
            raise misfit(("strategy", "min_available"), strategy.min_available, why)
        if not holders < 2 * self.needed(clients) <= 2 * holders:
            why = f"{holders} clients hold shares of a secret; accepted: {holders // 2 + 1} to {holders}"
            raise misfit(("secure_aggregation", "threshold"), self.threshold, why)
        if isinstance(scenario.privacy, DistributedPrivacy):
            return  # which looks after its own noise, too
        if (bits := self.code(scenario).bits) > MOST_BITS:
            why = f"a sum of {clients} such numbers takes {bits} bits; at most {MOST_BITS} are possible"
            raise misfit(("secure_aggregation", "precision"), self.precision, why)


class SecAgg(PairwiseMasking):
    """Everybody shares secrets with everybody, and has a mask with each.

    Bonawitz et al., "Practical Secure Aggregation for Privacy-Preserving Machine Learning", CCS 2017.
    """

    kind: Literal["secagg"] = "secagg"

    def holders(self, clients: int) -> int:
        return clients

    def graph(self, clients: Sequence[int], seed: int, session: int) -> Neighbours:
        return complete(clients)


class SecAggPlus(PairwiseMasking):
    """Everybody shares secrets, and has masks, with `neighbours` others: a graph drawn for every session.

    The threshold is of the neighbours and the client itself. Bell et al., "Secure Single-Server
    Aggregation with (Poly)Logarithmic Overhead", CCS 2020.
    """

    kind: Literal["secagg_plus"] = "secagg_plus"
    neighbours: Annotated[int, Field(ge=2, multiple_of=2)] = 20

    def holders(self, clients: int) -> int:
        return min(self.neighbours, clients - 1) + 1

    def graph(self, clients: Sequence[int], seed: int, session: int) -> Neighbours:
        return sparse(clients, self.neighbours, Stream(seed, "secagg.graph").generator(session))

    @model_validator(mode="after")
    def _threshold_fits(self) -> "SecAggPlus":
        if isinstance(self.threshold, int) and self.threshold > self.neighbours + 1:
            why = f"a client and its {self.neighbours} neighbours hold shares of its secrets"
            raise misfit(("threshold",), self.threshold, why)
        return self


def check_what_sees_updates(scenario: "Scenario") -> None:
    """Refuse what goes by a single client's update, or by what else it would say of itself."""
    aggregation, selection, workload = scenario.aggregation, scenario.selection, scenario.workload
    if type(aggregation) is not Mean:
        why = f"{aggregation.kind} looks at single updates, and the server learns their sum; accepted: mean"
        raise misfit(("aggregation", "kind"), aggregation.kind, why)
    if selection.reads_losses or selection.needs_client_tests:
        why = f"{selection.kind} chooses by what single clients report; the server learns nothing but sums"
        raise misfit(("selection", "kind"), selection.kind, why)
    if scenario.stop.converged is not None:
        why = "who has converged is told by single clients; the server learns nothing but sums"
        raise misfit(("stop", "converged"), scenario.stop.converged, why)
    if scenario.hierarchy is not None:
        why = "sessions are with one server; with a hierarchy, accepted: none"
        raise misfit(("secure_aggregation",), None, why)
    if scenario.compression is not None:
        why = "under its masks every number of an update counts, and looks random; accepted: none"
        raise misfit(("compression",), None, why)
    if scenario.privacy is not None and not isinstance(scenario.privacy, DistributedPrivacy):
        why = (
            "the server learns sums of fixed-point numbers, and this noise is of real ones; "
            "accepted: distributed"
        )
        raise misfit(("privacy", "kind"), scenario.privacy.kind, why)
    if scenario.personalization is not None and scenario.personalization.private_layers:
        why = "sums are of whole models, and clients keep a part of theirs; accepted: fine_tune, ditto"
        raise misfit(("personalization", "kind"), scenario.personalization.kind, why)
    if isinstance(workload, TorchWorkload):
        if workload.metadata is not None:
            why = "what single clients report is not under the masks; accepted: none"
            raise misfit(("workload", "metadata"), workload.metadata.kind, why)
        objective = workload.training.objective
        if objective.vectors[1] > 1:
            why = f"{objective.kind} sends a second vector beside the update, which no mask would hide"
            raise misfit(("workload", "training", "objective", "kind"), objective.kind, why)
