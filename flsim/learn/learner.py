"""The learner: versions of the model, deferred training, and server updates."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import starmap
from pathlib import Path

import torch
from torch import Tensor

from flsim.errors import RunError
from flsim.learn.aggregations import Combined, Contribution, Population, combine
from flsim.learn.certainty import every_update_is_used
from flsim.learn.client_test import ClientTest
from flsim.learn.export import BestModel, write_model
from flsim.learn.memory import Memory
from flsim.learn.objectives import rule_of
from flsim.learn.observations import Observations
from flsim.learn.parts import LearnerParts
from flsim.learn.privacy import guard_of
from flsim.learn.received import Received
from flsim.learn.server_optimizers import move
from flsim.learn.state import State, Stateful, read_state, write_state
from flsim.learn.trainer import Local, Version
from flsim.records import ClientEvaluations
from flsim.scenario import Scenario
from flsim.scenario.workload import TorchWorkload
from flsim.tasks import Anchor, Evaluation, Task, TrainingFacts, TrainingReport, UpdateResult

_AHEAD_BYTES = 256 * 2**20  # of updates that are trained before they are asked for


class TorchLearner:
    """Implements `Learner`. Owns every version of the model that a task may still need.

    Training starts when an update is first needed, for all tasks whose updates are certain to be needed:
    those at hand, and, where nothing can come in between, those still under way. A version is kept while
    a task that started from it is open, so memory is O(versions in flight).

    Where an objective or a personalisation remembers something of its clients, a client's next task
    follows from its last one: those that it computed are trained in their order, whether or not their
    updates came to anything.
    """

    def __init__(self, scenario: Scenario, initial: Tensor, parts: LearnerParts) -> None:
        """`initial`: the weights of version 0, [parameters]."""
        objective = parts.population.training.objective
        self._scenario = scenario
        self._parts = parts
        self._objective = rule_of(objective)
        self._trainer = parts.trainer
        self._downlink = parts.trainer.downlink
        self._client_test = parts.client_test
        self._observations = Observations(scenario, parts.meter)
        self._current = 0
        self._versions: dict[int, Version] = {0: Version(initial, {})}
        self._dispatched_s = 0.0  # when the last of the tasks that went into a version was
        self._open: Counter[int] = Counter()  # open tasks by base version
        self._rule_memory: Memory = {}
        self._optimizer_memory: Memory = {}
        self._guard = None if scenario.privacy is None else guard_of(scenario.privacy, scenario)
        self._untrained: dict[int, Task] = {}  # open tasks by id, in order of dispatch
        self._owed: dict[int, Task] = {}  # untrained, waited for by nobody; but their clients remember them
        self._trained: dict[int, Local] = {}  # open tasks that are trained
        vectors = objective.vectors[1] + (scenario.personalization is not None)  # beside what clients keep
        room = _AHEAD_BYTES // (parts.layout.size_bytes * vectors)
        self._ahead = room if every_update_is_used(scenario) else 0
        workload = scenario.workload
        self._measures = isinstance(workload, TorchWorkload) and workload.metadata is not None
        self._best = BestModel() if scenario.checkpoint is not None and scenario.checkpoint.best else None
        self._tasks = self._batches = self._used = 0
        self._lost: dict[int, float] = {}  # what a version lacks of the update that led to it

    @property
    def weights(self) -> Tensor:
        """The current version's weights, [parameters]. Not to be changed."""
        return self._versions[self._current].weights

    def submit(self, task: Task) -> None:
        self._open[task.base_version] += 1
        self._untrained[task.id] = task
        if self._downlink is not None:
            self._downlink.dispatch(task, self.weights)

    def not_received(self, task: Task) -> None:
        if self._downlink is not None:
            self._downlink.not_received(task)

    def forget(self, task: Task, *, computed: bool) -> None:
        waiting = self._untrained.pop(task.id, None)
        self._trained.pop(task.id, None)
        if computed and waiting is not None and self._trainer.clients_remember:
            self._owed[task.id] = task
        else:
            self._close(task)

    def upload_bytes(self, task: Task) -> int | None:
        if task.id not in self._trained:
            self._train([task])
        return self._trained[task.id].size_bytes

    def aggregate(
        self, tasks: Sequence[Task], weights: Sequence[float], anchor: Anchor, group: int = 0
    ) -> UpdateResult:
        if self._client_test is not None and self._client_test.is_due(self._current):
            self._test_clients(self._client_test)
        trained = self._trained_by(tasks)
        sent = self._sent(tasks, trained, weights)
        self._observations.received(self._current + 1, tasks, sent, self._base)
        received = self._bounded(Received(tasks, weights, sent, anchor, group))
        valid = self._contributions(received)
        combined = self._combined(valid, received) if valid else None
        if combined is not None and combined.lost is not None:
            self._lost[self._current + 1] = combined.lost
        noised = self._noised(None if combined is None else combined.update, received)
        version = self._moved(noised, received)
        self._observe(received, valid, version.weights)
        self._advance(version, tasks)
        return self._result(received, valid, combined)

    def evaluate(self) -> Callable[[], Evaluation] | None:
        version, weights = self._current, self.weights
        result = self._parts.test.begin(weights)

        def noted() -> Evaluation:
            evaluation = result()
            if self._best is not None:
                self._best.tested(version, weights, evaluation)
            self._observations.tested(version, evaluation.metrics)
            return evaluation

        return noted

    def client_tests(self) -> ClientEvaluations | None:
        if self._client_test is None or not self._client_test.is_due(self._current):
            return None
        self._test_clients(self._client_test)
        return self._client_test.latest()

    def model_sha256(self) -> str | None:
        return self._parts.layout.sha256(self.weights)

    def finish(self) -> None:
        if self._client_test is not None:
            self._test_clients(self._client_test)

    def close(self) -> TrainingReport:
        self._trainer.close()
        self._parts.test.close()
        clients = None
        if self._client_test is not None:
            clients = self._client_test.evaluations()
            self._client_test.close()
        return self._report(clients)

    def save(self, path: Path) -> None:
        """Write all that the rest of the run depends on to a file, and how weights lie in a vector."""
        module = {"shapes": self._parts.layout.shapes, "entries": self._parts.entries}
        write_state(path, {"module": module, **self.state()})

    def load(self, path: Path) -> None:
        """Go on from what `save` has written."""
        self.restore(read_state(path))

    def write_models(self, folder: Path) -> None:
        """Write the models that the scenario asks for."""
        if self._scenario.output.model:
            write_model(folder, "model", self._entries(self.weights))
        if self._best is not None and self._best.weights is not None:
            write_model(folder, "best_model", self._entries(self._best.weights))

    def _entries(self, weights: Tensor) -> dict[str, Tensor]:
        return {**self._parts.layout.views(weights), **self._parts.entries}

    def state(self) -> State:
        return {
            "executor": self._parts.chosen.kind,
            "current": self._current,
            "versions": {number: [one.weights, one.memory] for number, one in self._versions.items()},
            "dispatched_s": self._dispatched_s,
            "open": dict(self._open),
            "rule": self._rule_memory,
            "optimizer": self._optimizer_memory,
            "guard": None if self._guard is None else self._guard.state(),
            "untrained": list(self._untrained.values()),
            "owed": list(self._owed.values()),
            "trained": {task: local.state() for task, local in self._trained.items()},
            "counts": [self._tasks, self._batches, self._used],
            "lost": self._lost,
            "best": None if self._best is None else self._best.state(),
            "trainer": self._trainer.state(),
            "observations": self._observations.state(),
            "client_test": None if self._client_test is None else self._client_test.state(),
            "adversary": None if self._parts.adversary is None else self._parts.adversary.state(),
        }

    def restore(self, state: State) -> None:
        if state["executor"] != self._parts.chosen.kind:
            before, now = state["executor"], self._parts.chosen.kind
            raise RunError(
                f"the run was trained by executor {before}, and here it would go on with {now}, which "
                "rounds otherwise; a run is resumed where it was begun"
            )
        self._current = state["current"]
        self._versions = {number: Version(*one) for number, one in state["versions"].items()}
        self._dispatched_s = state["dispatched_s"]
        self._open = Counter(state["open"])
        self._rule_memory, self._optimizer_memory = state["rule"], state["optimizer"]
        self._untrained = {task.id: task for task in starmap(Task, state["untrained"])}
        self._owed = {task.id: task for task in starmap(Task, state["owed"])}
        self._trained = {task: Local.of(local) for task, local in state["trained"].items()}
        self._tasks, self._batches, self._used = state["counts"]
        self._lost = state["lost"]
        parts: Iterable[tuple[Stateful | None, str]] = (
            (self._guard, "guard"),
            (self._best, "best"),
            (self._trainer, "trainer"),
            (self._observations, "observations"),
            (self._client_test, "client_test"),
            (self._parts.adversary, "adversary"),
        )
        for part, name in parts:
            if part is not None and state[name] is not None:
                part.restore(state[name])

    def _report(self, clients: ClientEvaluations | None) -> TrainingReport:
        """Return how training went, with what the clients' own tests gave."""
        unused = self._tasks - self._used
        chosen = self._parts.chosen
        return TrainingReport(
            chosen.kind,
            chosen.why,
            self._tasks,
            unused,
            self._batches,
            clients,
            self._observations.leakage,
            self._observations.metrics,
            self._lost,
        )

    def _test_clients(self, test: ClientTest) -> None:
        """Test the current version with the clients, before any of them learns what leads to the next."""
        test.begin(self._current, self.weights, self._trainer.models, self._dispatched_s)

    def _trained_by(self, tasks: Sequence[Task]) -> list[Local]:
        """Return what the tasks of a server update were trained to, which is no longer held here."""
        self._train([task for task in tasks if task.id not in self._trained])
        trained = [self._trained.pop(task.id) for task in tasks]
        self._used += len(tasks)
        if self._client_test is not None:
            for each in zip(tasks, trained, strict=True):
                self._trainer.settle(*each)
        return trained

    def _train(self, needed: Sequence[Task]) -> None:
        """Train tasks, and with them those that are as good as needed."""
        if not needed and not self._owed:
            return
        batch = {task.id: task for task in needed}
        room = self._ahead - len(self._trained)
        for task in self._untrained.values():
            if len(batch) >= room:
                break
            batch[task.id] = task
        if self._trainer.clients_remember:
            batch |= self._owed
            batch |= self._earlier(batch.values())
        trained = self._trainer.train(list(batch.values()), self._versions)
        self._tasks += len(batch)
        self._batches += 1
        for task, local in zip(batch.values(), trained, strict=True):
            if self._untrained.pop(task.id, None) is not None:
                self._trained[task.id] = local
            else:
                del self._owed[task.id]
                self._trainer.settle(task, local)
                self._close(task)

    def _earlier(self, tasks: Iterable[Task]) -> dict[int, Task]:
        """Return the untrained tasks that the same clients had before these, by id."""
        latest = {task.client: task.id for task in sorted(tasks)}
        return {key: task for key, task in self._untrained.items() if key < latest.get(task.client, -1)}

    def _sent(
        self, tasks: Sequence[Task], trained: Sequence[Local], weights: Sequence[float]
    ) -> Sequence[Local]:
        """Return what the server gets: what was trained, or what attackers send in its place."""
        if (adversary := self._parts.adversary) is None:
            return trained
        return adversary.sent(tasks, trained, weights, self._versions, self._current)

    def _bounded(self, received: Received) -> Received:
        """Let no update be longer than privacy allows.

        One that is not finite is rejected later: it has no part in the sum, as if it were zero.
        """
        if (guard := self._guard) is None:
            return received
        local, longer = [], 0
        for one in received.local:
            if one.is_finite:
                update, was_longer = guard.bounded(one.update)
                one = replace(one, update=update)
                longer += was_longer
            local.append(one)
        return replace(received, local=local, clip=guard.clip, longer=longer)

    def _observe(self, received: Received, valid: Sequence[Contribution], weights: Tensor) -> None:
        """Show what led to the next version, with these weights, to those who only look."""
        version, before = self._current + 1, self.weights
        self._observations.released(version, [each.task for each in valid], before, weights)
        finite = zip(received.tasks, received.local, strict=True)
        updates = {task: one.update for task, one in finite if one.is_finite}
        self._observations.diverged(version, updates, self._base, before, weights)

    def _base(self, task: Task) -> Tensor:
        """Return the weights that a task's training started from."""
        return self._trainer.base(task, self._versions[task.base_version])

    def _contributions(self, received: Received) -> list[Contribution]:
        """Return the updates that are finite, as measured by the aggregation's anchor or the strategy's."""
        return [
            self._contribution(task, local, weight, received)
            for task, local, weight in zip(received.tasks, received.local, received.weights, strict=True)
            if local.is_finite
        ]

    def _contribution(self, task: Task, local: Local, weight: float, received: Received) -> Contribution:
        update = local.update
        if (self._scenario.aggregation.anchor or received.anchor) is Anchor.CURRENT:
            update = self._trainer.held(task, self._base(task) + update - self.weights)
        steps = self._parts.population.training.steps(task.samples)
        stale = self._current - task.base_version
        return Contribution(task, update, weight, stale, steps, local.loss, received.group)

    def _combined(self, valid: Sequence[Contribution], received: Received) -> Combined:
        """Return what the updates that are finite come to. They are `valid`, of all that were received."""
        kept = valid if self._guard is not None else _rescaled(valid, math.fsum(received.weights))
        rule = self._scenario.aggregation
        combined = combine(rule, kept, self._rule_memory, self._known(received.tasks))
        if not isinstance(combined, Combined):
            raise RunError(f"aggregation ({rule.kind}) gives {combined!r:.80}, which is no Combined")
        return combined

    def _noised(self, update: Tensor | None, received: Received) -> Tensor | None:
        """Return a combined update with privacy's noise, which is there also where no update is."""
        if self._guard is None:
            return update
        version = self._current + 1
        noise = self._guard.noise(received.tasks, received.weights, received.longer, version, self.weights)
        return noise if update is None else update + noise

    def _known(self, tasks: Sequence[Task]) -> Population:
        """Return what the rule may know in this server update."""
        population, root = replace(self._parts.population, current=self.weights), self._parts.root_training
        if root is None:
            return population
        now_s = max(task.dispatched_s for task in tasks)  # as late as can be told without a clock
        server_update = partial(root.update, self.weights, self._current, now_s)
        return replace(population, server_update=server_update)

    def _moved(self, update: Tensor | None, received: Received) -> Version:
        """Return the version that an update leads to: the current one's again without an update."""
        version = self._versions[self._current]
        if update is None:
            return version
        clients = self._parts.population.clients
        update, memory = self._objective.received(update, received.vectors, version.memory, clients)
        optimizer = self._scenario.server_optimizer
        return Version(move(optimizer, version.weights, update, self._optimizer_memory), memory)

    def _advance(self, version: Version, tasks: Sequence[Task]) -> None:
        """Make this the current version, and close the tasks that went into it."""
        previous = self._current
        self._current += 1
        self._versions[self._current] = version
        for task in tasks:
            self._dispatched_s = max(self._dispatched_s, task.dispatched_s)
            self._close(task)
        self._release(previous)

    def _result(
        self, received: Received, valid: Sequence[Contribution], combined: Combined | None
    ) -> UpdateResult:
        """Return what the world may know of the server update that led to the current version."""
        tasks, clip = received.tasks, received.clip
        counted = dict.fromkeys((task.id for task in tasks), 0.0)
        trust: Mapping[int, float] = {}
        if combined is not None:
            counted |= {each.task.id: w for each, w in zip(valid, combined.weights, strict=True)}
            trust = combined.trust
        return UpdateResult(
            model_sha256=self.model_sha256(),
            trained={task.id: self._facts(one) for task, one in zip(tasks, received.local, strict=True)},
            rejected=frozenset(counted) - {each.task.id for each in valid},
            weights=counted,
            clip=clip,
            clipped=None if clip is None else received.longer,
            trust=trust,
        )

    def _facts(self, local: Local) -> TrainingFacts:
        """Return what the world may know of a task's training."""
        if not self._measures:
            return TrainingFacts(local.losses)
        # In float64: a square of a large float32 is none.
        return TrainingFacts(
            local.losses, float(torch.linalg.vector_norm(local.update, dtype=torch.float64))
        )

    def _close(self, task: Task) -> None:
        """Nothing of a task is needed any more."""
        if self._downlink is not None:
            self._downlink.close(task)
        self._open[task.base_version] -= 1
        self._release(task.base_version)

    def _release(self, version: int) -> None:
        if version != self._current and self._open[version] == 0:
            self._versions.pop(version, None)
            del self._open[version]


def _rescaled(valid: Sequence[Contribution], total: float) -> Sequence[Contribution]:
    """Return the contributions with weights that sum to what all of them had, if theirs have a sum."""
    own = math.fsum(each.weight for each in valid)
    if own == total or own <= 0:
        return valid
    return [replace(each, weight=each.weight * total / own) for each in valid]
