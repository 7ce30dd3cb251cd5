"""Noise of a binary tree, for prefix sums of updates: DP-FTRL.

Reference: Kairouz et al., "Practical and Private (Deep) Learning Without Sampling or Shuffling", ICML 2021.
"""

from collections.abc import Sequence

from torch import Tensor

from flsim.draws import Stream
from flsim.learn.privacy.guard import bounded, guard_of, normal
from flsim.learn.state import State
from flsim.policy.accounting import tree_level
from flsim.scenario import Scenario
from flsim.scenario.privacy import TreePrivacy
from flsim.tasks import Task


class TreeGuard:
    """Implements `Guard`. The noise of an update is what the noise of the sum of all so far changes by.

    It is drawn anew whenever it is needed: a node's noise is keyed by its level and its number.
    """

    def __init__(self, spec: TreePrivacy, scenario: Scenario) -> None:
        self.clip = spec.clip
        self._deviation = spec.multiplier * spec.clip * spec.full_weight(scenario)
        self._draws = Stream(scenario.seed, "privacy.tree")

    def bounded(self, update: Tensor) -> tuple[Tensor, bool]:
        return bounded(update, self.clip)

    def noise(
        self, tasks: Sequence[Task], weights: Sequence[float], longer: int, version: int, like: Tensor
    ) -> Tensor:
        level = tree_level(version)
        noise = self._node(level, version, like)
        for below in range(level):  # the nodes that the new one stands for, from now on
            noise -= self._node(below, version - 2**below, like)
        return noise.mul_(self._deviation)

    def state(self) -> State:
        return {}

    def restore(self, state: State) -> None: ...

    def _node(self, level: int, last: int, like: Tensor) -> Tensor:
        """Return the noise of the node of the 2 ** level updates up to `last`, in standard deviations."""
        return normal(self._draws, level, last, like)


@guard_of.register
def _(spec: TreePrivacy, scenario: Scenario) -> TreeGuard:
    return TreeGuard(spec, scenario)
