"""Local training: tasks to updates, with what objective and personalisation remember of every client."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from flsim.learn.adapters import Adapters
from flsim.learn.compression import Downlink
from flsim.learn.executors import Executor, Job, Trained
from flsim.learn.memory import Memory
from flsim.learn.objectives import Learned, Rule
from flsim.learn.outgoing import Departure, Outgoing
from flsim.learn.personalization import Personalizer
from flsim.learn.state import State
from flsim.learn.weights import is_finite
from flsim.scenario.training import Training
from flsim.tasks import Task


@dataclass(frozen=True)
class Version:
    """What goes out with a task: the model's weights [parameters], and the objective's memory of them."""

    weights: Tensor
    memory: Memory


@dataclass(frozen=True)
class Local:
    """What comes back: the update [parameters], every epoch's mean loss, what the objective adds.

    The update is the one that arrives, after whatever the client does to it. `own`: what the client's
    personalisation remembers after it. `size_bytes`: what it takes on the wire, if the update decides that.
    """

    update: Tensor
    losses: tuple[float, ...]
    vector: Tensor | None
    is_finite: bool
    own: Memory | None = None
    size_bytes: int | None = None

    def state(self) -> State:
        """Return all of it as data."""
        return [self.update, self.losses, self.vector, self.is_finite, self.own, self.size_bytes]

    @classmethod
    def of(cls, state: State) -> "Local":
        """Return what this is the state of."""
        update, losses, vector, finite, own, size_bytes = state
        return cls(update, tuple(losses), vector, finite, own, size_bytes)

    @property
    def loss(self) -> float | None:
        """The last epoch's loss, None for a client without samples."""
        return self.losses[-1] if self.losses else None


class Trainer:
    """Carries tasks out. Owns the executors, and every client's memory."""

    def __init__(
        self,
        training: Training,
        rule: Rule,
        executor: Executor,
        gradients: Executor | None,
        personalizer: Personalizer | None = None,
        outgoing: Sequence[Outgoing] = (),
        downlink: Downlink | None = None,
        adapters: Adapters | None = None,
    ) -> None:
        """`gradients`: goes one step of size 1 on all of a client's samples, if the rule wants that.

        `personalizer`: trains in the place of `executor`, if clients have models of their own.
        `outgoing`: what clients do to their updates before they go up, in this order.
        `downlink`: what clients hold, if versions go down as differences; the learner tells it of tasks.
        `adapters`: of which clients may have but a part.
        """
        self._training = training
        self._rule = rule
        self._executor = executor
        self._gradients = gradients
        self._personalizer = personalizer
        self._departure = Departure(outgoing) if outgoing else None
        self.downlink = downlink
        self._adapters = adapters
        self._clients: dict[int, Memory] = {}  # what the objective remembers of each
        self._own: dict[int, Memory] = {}  # what the personalisation does
        self._settled: dict[int, tuple[int, Memory]] = {}  # and did, after the task of that id
        self.clients_remember = (
            rule.clients_remember
            or (personalizer is not None and personalizer.clients_remember)
            or (self._departure is not None and self._departure.clients_remember)
        )
        """Whether a client's next task follows from its last one."""

    def train(self, tasks: Sequence[Task], versions: Mapping[int, Version]) -> list[Local]:
        """Train each task from its base version. What a client remembers passes from task to task."""
        if not self.clients_remember:
            return self._wave(tasks, versions)
        done: dict[int, Local] = {}
        for wave in _waves(tasks):
            done.update(zip((task.id for task in wave), self._wave(wave, versions), strict=True))
        return [done[task.id] for task in tasks]

    def _wave(self, tasks: Sequence[Task], versions: Mapping[int, Version]) -> list[Local]:
        """Train tasks at once."""
        jobs = [self._job(task, versions[task.base_version]) for task in tasks]
        own = self._personalizer
        trained = self._executor.train(jobs) if own is None else self._train_own(own, jobs)
        gradients = self._full_gradients(jobs)
        rows = zip(tasks, trained, gradients, strict=True)
        return [
            self._local(task, versions[task.base_version], one, gradient) for task, one, gradient in rows
        ]

    def base(self, task: Task, version: Version) -> Tensor:
        """Return the weights [parameters] that an open task starts from. `version`: its base version."""
        return self.held(task, version.weights if self.downlink is None else self.downlink.base(task))

    def held(self, task: Task, flat: Tensor) -> Tensor:
        """Return what a task's client has of weights or an update [parameters], and zeros elsewhere."""
        return flat if self._adapters is None else self._adapters.held(task.client, flat)

    def settle(self, task: Task, local: Local) -> None:
        """The server has dealt with a task: what its client kept of it counts as the client's state."""
        if local.own is not None and self._settled.get(task.client, (-1, {}))[0] < task.id:
            self._settled[task.client] = task.id, local.own

    def models(self, weights: Tensor, version: int, clients: Sequence[int]) -> list[Tensor] | None:
        """Return the clients' own models [parameters], as far as tasks are settled.

        None if they have none: then `weights`, the version's, are everybody's.
        """
        if self._personalizer is None:
            return None
        memories = [self._settled.get(client, (-1, {}))[1] for client in clients]
        return self._personalizer.models(weights, version, clients, memories)

    def close(self) -> None:
        """Give back what the executors hold."""
        self._executor.close()
        if self._gradients is not None:
            self._gradients.close()
        if self._personalizer is not None:
            self._personalizer.close()

    def state(self) -> State:
        return {
            "clients": self._clients,
            "own": self._own,
            "settled": self._settled,
            "departure": None if self._departure is None else self._departure.state(),
            "downlink": None if self.downlink is None else self.downlink.state(),
        }

    def restore(self, state: State) -> None:
        self._clients, self._own = state["clients"], state["own"]
        self._settled = {client: (task, memory) for client, (task, memory) in state["settled"].items()}
        if self._departure is not None:
            self._departure.restore(state["departure"])
        if self.downlink is not None:
            self.downlink.restore(state["downlink"])

    def _train_own(self, personalizer: Personalizer, jobs: Sequence[Job]) -> list[Trained]:
        """Train also what is the clients' own. What is not finite is not worth remembering."""
        clients = [job.task.client for job in jobs]
        trained = personalizer.train(jobs, [self._own.get(client, {}) for client in clients])
        for client, one in zip(clients, trained, strict=True):
            if one.memory and all(map(is_finite, one.memory.values())):
                self._own[client] = one.memory
        return [one.trained for one in trained]

    def _job(self, task: Task, version: Version) -> Job:
        client, base = self._clients.get(task.client, {}), self.base(task, version)
        return Job(task, base, self._rule.shift(base, version.memory, client))

    def _full_gradients(self, jobs: Sequence[Job]) -> Sequence[Tensor | None]:
        """Return the gradient over all of each client's samples, at the weights of its job."""
        if self._gradients is None:
            return [None] * len(jobs)
        return [-one.update for one in self._gradients.train([Job(job.task, job.base) for job in jobs])]

    def _local(self, task: Task, version: Version, trained: Trained, gradient: Tensor | None) -> Local:
        """Let the client remember what it learned, and send what becomes of its update.

        What is not finite is not worth remembering, and is sent as it is, unless that would tell of it.
        """
        own, update, losses = self._own.get(task.client), trained.update, trained.losses
        if not is_finite(update):
            if self._departure is None or not self._departure.sends_anyway:
                return Local(update, losses, None, is_finite=False, own=own)
            update = torch.zeros_like(update)
        rate = self._training.optimizer.lr * self._training.rate_factor(task)
        learned = Learned(update, rate * self._training.steps(task.samples), gradient)
        client, vector = self._rule.learned(learned, version.memory, self._clients.get(task.client, {}))
        if client:
            self._clients[task.client] = client
        if self._departure is None:
            return Local(update, losses, vector, is_finite=True, own=own)
        sent = self._departure.send(task, update)
        finite = is_finite(sent.update)
        return Local(sent.update, losses, vector, is_finite=finite, own=own, size_bytes=sent.size_bytes)


def _waves(tasks: Sequence[Task]) -> list[list[Task]]:
    """Return the tasks in their order, cut so that no client has two at once."""
    waves: list[list[Task]] = []
    had: Counter[int] = Counter()
    for task in sorted(tasks):
        if had[task.client] == len(waves):
            waves.append([])
        waves[had[task.client]].append(task)
        had[task.client] += 1
    return waves
