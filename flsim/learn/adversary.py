"""The adversary: makes up what attackers send, once the updates of a server update are at hand."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from flsim.learn.attacks import Scene, craft
from flsim.learn.attacks.noise import Noise
from flsim.learn.compression import Coder
from flsim.learn.state import State
from flsim.learn.trainer import Local, Version
from flsim.learn.weights import is_finite
from flsim.scenario import Scenario
from flsim.scenario.attack import Attack, FreeRider
from flsim.tasks import Task


class Adversary:
    """Puts what attackers send in the place of what they trained. Owns what they remember.

    They know what is in the same server update, also where updates arrive one by one: attackers who
    collude with nobody in it are on their own. What a client remembers for its objective, and its loss,
    stay those of what it trained. An attacker's update that is not finite before it is attacked stays as
    it is. Where updates are compressed, what is made up has to fit the wire as well.
    """

    def __init__(self, scenario: Scenario, attack: Attack, wire: Coder | None = None) -> None:
        """`wire`: what becomes of a vector that is sent; None: it arrives as it is."""
        self._attack = attack
        self._wire = wire
        self._campaign = attack.campaign(scenario.fleet.clients, scenario.seed)
        self._server_rate: float = getattr(scenario.server_optimizer, "lr", 1.0)
        self._noise = Noise(scenario.seed, "attack.updates")
        self._remembers = isinstance(attack, FreeRider) and attack.sends == "last_change"
        self._previous: Tensor | None = None  # the weights of the version before
        self._changes: dict[int, Tensor] = {}  # what led to each version that a task may still be from

    def sent(
        self,
        tasks: Sequence[Task],
        local: Sequence[Local],
        weights: Sequence[float],
        versions: Mapping[int, Version],
        current: int,
    ) -> list[Local]:
        """Return what the server gets for tasks that were trained to `local`.

        `versions`: those that open tasks are from, and the current one. To be called at every server
        update.
        """
        if self._remembers:
            self._remember(versions, current)
        valid = [place for place, one in enumerate(local) if one.is_finite]
        attackers = [place for place in valid if self._campaign.attacks(tasks[place])]
        honest = [local[place].update for place in valid if not self._campaign.attacks(tasks[place])]
        sent = list(local)
        for team in [attackers] if self._attack.collude else [[place] for place in attackers]:
            if not team:
                continue
            own = [local[place].update for place in team]
            scene = Scene(
                tasks=[tasks[place] for place in team],
                own=own,
                weights=[weights[place] for place in team],
                honest=honest,
                updates=len(valid),
                server_rate=self._server_rate,
                change=lambda task, like=own[0]: self._change(task, like),  # type: ignore[misc]
                noise=lambda task, like=own[0]: self._noise(task, like),  # type: ignore[misc]
            )
            for place, update in zip(team, craft(self._attack, scene), strict=True):
                arrived = self._over_the_wire(tasks[place], local[place].update, update)
                sent[place] = replace(local[place], update=arrived, is_finite=is_finite(arrived))
        return sent

    def state(self) -> State:
        return {"previous": self._previous, "changes": self._changes}

    def restore(self, state: State) -> None:
        self._previous, self._changes = state["previous"], state["changes"]

    def _over_the_wire(self, task: Task, trained: Tensor, made_up: Tensor) -> Tensor:
        """Return what arrives. What was trained has come over the wire before, and does so once only.

        There is no error feedback and no memory: an attacker has nothing to make up for.
        """
        if self._wire is None or made_up is trained or not is_finite(made_up):
            return made_up
        return self._wire.message(task, made_up, {}).vector

    def _remember(self, versions: Mapping[int, Version], current: int) -> None:
        """Note what led to the current version, and forget versions that nobody comes from any more."""
        weights = versions[current].weights
        if self._previous is not None:
            self._changes[current] = weights - self._previous
        self._previous = weights
        self._changes = {number: each for number, each in self._changes.items() if number in versions}

    def _change(self, task: Task, like: Tensor) -> Tensor:
        change = self._changes.get(task.base_version)
        return torch.zeros_like(like) if change is None else change
