"""Central differential privacy: fresh noise on every server update, and a bound that may follow updates.

References: McMahan et al., "Learning Differentially Private Recurrent Language Models", ICLR 2018; Andrew
et al., "Differentially Private Learning with Adaptive Clipping", NeurIPS 2021.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist

from torch import Tensor

from flsim.draws import Stream
from flsim.learn.privacy.guard import bounded, guard_of, normal
from flsim.learn.state import State
from flsim.scenario import Scenario
from flsim.scenario.privacy import AdaptiveClip, CentralPrivacy, moved_by, sampling
from flsim.tasks import Task


class CentralGuard:
    """Implements `Guard`. Owns the bound."""

    def __init__(self, spec: CentralPrivacy, scenario: Scenario) -> None:
        self._spec = spec
        self._adaptive = spec.clip if isinstance(spec.clip, AdaptiveClip) else None
        self.clip = spec.clip.initial if isinstance(spec.clip, AdaptiveClip) else spec.clip
        q = sampling(scenario)
        # How many take part is a secret where they are sampled: then their expected number counts.
        self._expected = None if q is None else q * scenario.fleet.clients
        self._noise = Stream(scenario.seed, "privacy.noise")
        self._count_noise = Stream(scenario.seed, "privacy.count")

    def bounded(self, update: Tensor) -> tuple[Tensor, bool]:
        return bounded(update, self.clip)

    def noise(
        self, tasks: Sequence[Task], weights: Sequence[float], longer: int, version: int, like: Tensor
    ) -> Tensor:
        updates = self._expected or len(tasks)
        largest = 1 / updates if self._expected else max(moved_by(tasks, weights).values())
        deviation = self._spec.sum_multiplier(updates) * self.clip * largest
        if self._adaptive is not None:
            self._follow(self._adaptive, updates, len(tasks) - longer, len(tasks), version)
        return normal(self._noise, version, 0, like).mul_(deviation)

    def state(self) -> State:
        return {"clip": self.clip}

    def restore(self, state: State) -> None:
        self.clip = state["clip"]

    def _follow(
        self, adaptive: AdaptiveClip, updates: float, within: int, tasks: int, version: int
    ) -> None:
        """Move the bound towards the quantile. A client counts 1/2 or -1/2, which needs least noise."""
        deviation = adaptive.count_deviation(updates, self._spec.multiplier)
        noise = deviation * NormalDist().inv_cdf(self._count_noise.uniform(version))
        share = 0.5 + (within - 0.5 * tasks + noise) / updates
        self.clip *= math.exp(-adaptive.rate * (share - adaptive.quantile))


@guard_of.register
def _(spec: CentralPrivacy, scenario: Scenario) -> CentralGuard:
    return CentralGuard(spec, scenario)
