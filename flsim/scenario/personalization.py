"""`personalization`: what makes a client's model its own, beside what all clients share."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from flsim.component import Component, Kinds, misfit
from flsim.scenario.training import Training

if TYPE_CHECKING:
    from flsim.scenario.scenario import Scenario

Part = Literal["all", "head", "body"]
Layers = Annotated[int, Field(ge=1)]
Epochs = Annotated[int, Field(ge=1)]


class Personalization(Component):
    """How a client comes to a model of its own. `evaluation.clients` tests those."""

    @property
    def private_layers(self) -> int:
        """How many layers, the last ones, are the client's own."""
        return 0

    def passes(self, training: Training) -> Sequence[tuple[int, Part]]:
        """Return how many passes over the client's samples a task makes, and what of the model they train.

        Those that an objective makes beside its epochs are not among them.
        """
        return [(training.epochs, "all")]

    def check(self, scenario: "Scenario") -> None:
        """Raise a misfit if it cannot work in a scenario."""
        if scenario.training is None:
            why = "there is nothing to personalise without training; it needs workload torch"
            raise misfit(("personalization",), self.kind, why)


class FineTune(Personalization):
    """A client is tested with the global model after `epochs` more on its own samples, then forgotten.

    At the optimizer's learning rate, without schedule and objective, and in no virtual time. The global
    model stays as it is.

    Reference: Wang et al., "Federated Evaluation of On-device Personalization", 2019.
    """

    kind: Literal["fine_tune"] = "fine_tune"
    epochs: Epochs = 1

    def check(self, scenario: "Scenario") -> None:
        super().check(scenario)
        if scenario.evaluation.clients is None:
            why = "fine_tune happens when clients are tested: it needs evaluation.clients"
            raise misfit(("personalization", "kind"), self.kind, why)


class _PrivateHead(Personalization):
    """The model without its last layers is shared; these are trained by, and stay with, each client.

    `head_layers`: how many of the last layers with parameters are a client's own.
    """

    head_layers: Layers = 1

    @property
    def private_layers(self) -> int:
        return self.head_layers

    def check(self, scenario: "Scenario") -> None:
        super().check(scenario)
        objective = scenario.training.objective if scenario.training else None
        if objective and (objective.scale != 1 or objective.passes):
            why = (
                f"{self.kind} cannot be with objective {objective.kind}: what the server remembers of "
                "gradients makes no part of a step of a head, which it does not know"
            )
            raise misfit(("personalization", "kind"), self.kind, why)
        if scenario.aggregation.server_samples:
            why = "the server trains a whole model, and knows no head to compare its clients' bodies by"
            raise misfit(("aggregation", "kind"), scenario.aggregation.kind, why)


class FedPer(_PrivateHead):
    """The last `head_layers` layers are the client's own; a task trains both, and sends the rest.

    A client begins with the head of the first model that it is sent.

    Reference: Arivazhagan et al., "Federated Learning with Personalization Layers", 2019.
    """

    kind: Literal["fedper"] = "fedper"


class FedRep(_PrivateHead):
    """As `fedper`, but a task trains the head for `head_epochs` first, and then the body alone.

    The head is fitted to the loss, without the objective.

    Reference: Collins et al., "Exploiting Shared Representations for Personalized Federated Learning",
    ICML 2021.
    """

    kind: Literal["fedrep"] = "fedrep"
    head_epochs: Epochs = 1

    def passes(self, training: Training) -> Sequence[tuple[int, Part]]:
        return [(self.head_epochs, "head"), (training.epochs, "body")]


class Ditto(Personalization):
    """A task also trains a model v of the client's own, along the gradient + `pull` (v - the global model).

    For `epochs`, with the same optimizer from anew, and without the objective. A client's v begins as
    version 0; before it has one, the client has the global model.

    Reference: Li et al., "Ditto: Fair and Robust Federated Learning Through Personalization", ICML 2021.
    """

    kind: Literal["ditto"] = "ditto"
    pull: Annotated[float, Field(ge=0)] = 0.1
    epochs: Epochs = 1

    def passes(self, training: Training) -> Sequence[tuple[int, Part]]:
        return [(training.epochs, "all"), (self.epochs, "all")]


AnyPersonalization = Annotated[Personalization, Kinds(Personalization, FineTune, FedPer, FedRep, Ditto)]
