"""`workload.training.objective`: what a client minimises, as the difference it makes to the gradient.

With the gradient g of the loss at the weights w, and the weights w0 that the task started from, a step
goes along `scale` g + `pull` (w - w0) + a shift, which is constant during the task and where an objective
keeps what it remembers; `flsim.learn.objectives` has the shifts.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from flsim.component import Component, Kinds


class Objective(Component):
    """What a client's training minimises."""

    shifts: ClassVar[bool] = False
    """Whether a task has a shift of its own."""
    vectors: ClassVar[tuple[int, int]] = (1, 1)
    """How many vectors as long as the weights go down and up, the weights and the update included."""
    passes: ClassVar[int] = 0
    """How many passes over the client's samples a task makes beside its epochs."""
    only_plain_descent: ClassVar[bool] = False
    """Whether it is defined for gradient descent without momentum and weight decay only."""
    corrects_model: ClassVar[bool] = False
    """Whether the server takes something of its own from what the updates come to."""

    @property
    def scale(self) -> float:
        """What the gradient of the loss is multiplied with."""
        return 1.0

    @property
    def pull(self) -> float:
        """How strongly weights are drawn back to those that the task started from."""
        return 0.0


class Loss(Objective):
    """The mean loss over the client's own samples, and nothing else: federated averaging."""

    kind: Literal["loss"] = "loss"


class FedProx(Objective):
    """The loss plus mu / 2 |w - w0|^2, which keeps a client near the model it was sent.

    `mu`: how strongly a client is held back.

    Reference: Li et al., "Federated Optimization in Heterogeneous Networks", MLSys 2020.
    """

    kind: Literal["fedprox"] = "fedprox"
    mu: Annotated[float, Field(ge=0)] = 0.1

    @property
    def pull(self) -> float:
        return self.mu


class Scaffold(Objective):
    """Control variates: every step is corrected by how the client's gradients differ from all clients'.

    The server's control goes down with the model, and the change of the client's comes up with the update.

    Reference: Karimireddy et al., "SCAFFOLD: Stochastic Controlled Averaging", ICML 2020, option II.
    """

    kind: Literal["scaffold"] = "scaffold"
    shifts: ClassVar[bool] = True
    vectors: ClassVar[tuple[int, int]] = (2, 2)
    only_plain_descent: ClassVar[bool] = True


class FedDyn(Objective):
    """Dynamic regularisation: local optima are made to agree with the global one.

    `alpha`: the strength of the regularisation.

    Reference: Acar et al., "Federated Learning Based on Dynamic Regularization", ICLR 2021.
    """

    kind: Literal["feddyn"] = "feddyn"
    shifts: ClassVar[bool] = True
    corrects_model: ClassVar[bool] = True
    alpha: Annotated[float, Field(gt=0)] = 0.1

    @property
    def pull(self) -> float:
        return self.alpha


class MimeLite(Objective):
    """The server's momentum, from full gradients, is applied unchanged in every local step.

    A step goes along (1 - beta) g + beta m. The momentum goes down with the model, and the gradient over
    all of the client's samples, at the weights it was sent, comes up with the update.

    `beta`: of the momentum.

    Reference: Karimireddy et al., "Breaking the centralized barrier for cross-device federated
    learning", NeurIPS 2021.
    """

    kind: Literal["mime_lite"] = "mime_lite"
    shifts: ClassVar[bool] = True
    vectors: ClassVar[tuple[int, int]] = (2, 2)
    passes: ClassVar[int] = 1
    only_plain_descent: ClassVar[bool] = True
    beta: Annotated[float, Field(ge=0, lt=1)] = 0.9

    @property
    def scale(self) -> float:
        return 1.0 - self.beta


AnyObjective = Annotated[Objective, Kinds(Objective, Loss, FedProx, Scaffold, FedDyn, MimeLite)]
