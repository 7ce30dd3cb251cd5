"""`leakage`: attacks on what the server and the world get to see, which measure what that gives away."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from flsim.component import Component, Kinds, Section, misfit

if TYPE_CHECKING:
    from flsim.scenario.scenario import Scenario


class Inversion(Component):
    """How samples are reconstructed from what training with them has moved.

    `pictures`: how many reconstructions of each observation are kept, the best ones.
    """

    first_layer_is_linear: ClassVar[bool] = False
    """Whether the attack works only on models whose inputs go into a linear layer first."""

    pictures: Annotated[int, Field(ge=0)] = 6


class Analytic(Inversion):
    """Divide what each neuron of a linear first layer moved by what its bias did.

    The quotient is a weighted mean of the inputs that the neuron saw, and an input itself if that was the
    only one. Phong et al., "Privacy-Preserving Deep Learning via Additively Homomorphic Encryption", IEEE
    TIFS 2018; Geiping et al., NeurIPS 2020, proposition 3.1.
    """

    kind: Literal["analytic"] = "analytic"
    first_layer_is_linear: ClassVar[bool] = True


class GradientMatching(Inversion):
    """Search samples whose gradient points where the update does.

    `samples` of them at most, in so many `steps` of Adam on signs with the rate `lr`; `smoothness` weighs
    the total variation of images. Adversaries are taken to know the labels. Geiping et al., "Inverting
    Gradients", NeurIPS 2020; Zhu et al., "Deep Leakage from Gradients", NeurIPS 2019.
    """

    kind: Literal["gradient_matching"] = "gradient_matching"
    samples: Annotated[int, Field(ge=1)] = 8
    steps: Annotated[int, Field(ge=1)] = 500
    lr: Annotated[float, Field(gt=0)] = 0.1
    smoothness: Annotated[float, Field(ge=0)] = 0.001


AnyInversion = Annotated[Inversion, Kinds(Inversion, Analytic, GradientMatching)]


class Leakage(Section):
    """Attack the server update that leads to version 1, and every so many further ones.

    `clients`: the updates of how many are attacked, as the server receives them, besides the model that is
    released. `samples`: how many members are compared with as many others, at most.

    `every`: how many server updates lie between two that are attacked. `membership`: whether samples are
    told apart from others. `inversion`: how samples are reconstructed; null means not at all.
    """

    clients: Annotated[int, Field(ge=1)] = 3
    every: Annotated[int, Field(ge=1)] = 10
    samples: Annotated[int, Field(ge=2)] = 200
    membership: bool = True
    inversion: AnyInversion | None = Analytic()

    def check(self, scenario: "Scenario") -> None:
        """Raise a misfit where there is nothing to attack, or nobody can tell what an update is made of."""
        personalization = scenario.personalization
        if scenario.training is None:
            raise misfit(("leakage",), None, "nothing is trained in a synthetic workload: no update leaks")
        if scenario.hierarchy is not None:
            why = "the server of a hierarchy sees what edges have made, and the updates of no client"
            raise misfit(("leakage",), None, why)
        if personalization is not None and personalization.private_layers:
            kind = personalization.kind
            why = (
                f"with {kind} nobody but the client knows a whole model, whose gradients could be compared"
            )
            raise misfit(("leakage",), None, why)
        if not self.membership and self.inversion is None:
            why = "neither membership inference nor an inversion is left to measure with"
            raise misfit(("leakage", "membership"), False, why)

    def is_due(self, version: int) -> bool:
        """Return whether the update that leads to a version, from 1 on, is attacked."""
        return (version - 1) % self.every == 0
