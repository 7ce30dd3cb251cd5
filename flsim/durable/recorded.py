"""A learner whose answers are written down, so that the world can run again without it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from flsim.durable.answers import CLIENT_TESTS, EVALUATION, NUMBER, TEXT, UPDATE, Answers
from flsim.protocols import Branch, BufferUnmasker, Learner, Trunk, Unmasker
from flsim.records import ClientEvaluations
from flsim.tasks import (
    Anchor,
    Evaluation,
    Recovered,
    SecureSession,
    Task,
    TrainingReport,
    UpdateResult,
)


@runtime_checkable
class Resumable(Learner, Protocol):
    """A learner that can be saved, and that goes on from there as if nothing had happened."""

    def save(self, path: Path) -> None:
        """Write all that the rest of the run depends on to a file. The same state gives the same bytes."""

    def load(self, path: Path) -> None:
        """Go on from what `save` has written. Raises RunError if that is not possible here."""

    def write_models(self, folder: Path) -> None:
        """Write the models that the scenario asks for into the run's folder."""


class RecordedLearner:
    """Implements `Learner` by another one, which is not told anything while its answers are known."""

    def __init__(self, learner: Learner, answers: Answers) -> None:
        self._learner = learner
        self._answers = answers

    def submit(self, task: Task) -> None:
        if not self._answers.retraces:
            self._learner.submit(task)

    def forget(self, task: Task, *, computed: bool) -> None:
        if not self._answers.retraces:
            self._learner.forget(task, computed=computed)

    def not_received(self, task: Task) -> None:
        if not self._answers.retraces:
            self._learner.not_received(task)

    def upload_bytes(self, task: Task) -> int | None:
        return self._answers.to(lambda: self._learner.upload_bytes(task), NUMBER)

    def aggregate(
        self, tasks: Sequence[Task], weights: Sequence[float], anchor: Anchor, group: int = 0
    ) -> UpdateResult:
        return self._answers.to(lambda: self._learner.aggregate(tasks, weights, anchor, group), UPDATE)

    def evaluate(self) -> Callable[[], Evaluation] | None:
        return self._answers.later(self._learner.evaluate, EVALUATION)

    def client_tests(self) -> ClientEvaluations | None:
        return self._answers.to(self._learner.client_tests, CLIENT_TESTS)

    def model_sha256(self) -> str | None:
        return self._answers.to(self._learner.model_sha256, TEXT)

    def finish(self) -> None:
        self._learner.finish()

    def close(self) -> TrainingReport | None:
        return self._learner.close()


class RecordedBranch(RecordedLearner):
    """Implements `Branch`."""

    def __init__(self, learner: Branch, answers: Answers) -> None:
        super().__init__(learner, answers)
        self._branch = learner

    def adopt(self, task: Task) -> None:
        if not self._answers.retraces:
            self._branch.adopt(task)

    def hand_up(self, task: Task) -> None:
        if not self._answers.retraces:
            self._branch.hand_up(task)


class RecordedRoot(RecordedLearner):
    """The learner of the server that makes versions: a `Trunk` or an unmasker if the other one is."""

    def __init__(self, learner: Learner, answers: Answers, made: Callable[[], None]) -> None:
        """`made`: told of each version that has been made, and of nothing that comes after."""
        super().__init__(learner, answers)
        self._made = made

    def aggregate(
        self, tasks: Sequence[Task], weights: Sequence[float], anchor: Anchor, group: int = 0
    ) -> UpdateResult:
        result = super().aggregate(tasks, weights, anchor, group)
        self._made()
        return result

    def branch(self, edge: int) -> RecordedBranch:
        assert isinstance(self._learner, Trunk)  # noqa: S101 - the scenario has edges
        return RecordedBranch(self._learner.branch(edge), self._answers)

    def unmask(self, session: SecureSession) -> None:
        if isinstance(self._learner, Unmasker) and not self._answers.retraces:
            self._learner.unmask(session)

    def recover(self, buffer: Recovered) -> None:
        if isinstance(self._learner, BufferUnmasker) and not self._answers.retraces:
            self._learner.recover(buffer)
