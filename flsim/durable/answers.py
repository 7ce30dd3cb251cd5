"""What the learner tells the world, as data and back: all of the training that a timeline may depend on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from flsim.errors import RunError
from flsim.records import ClientEvaluations
from flsim.tasks import Evaluation, TrainingFacts, UpdateResult

T = TypeVar("T")


@dataclass(frozen=True)
class Form(Generic[T]):
    """How answers of one kind are written, and read again."""

    written: Callable[[T], Any]
    read: Callable[[Any], T]


class Answers:
    """Owns the numbers of the calls: an answer belongs to the call of the same number.

    While answers of before are known, calls are answered with those. Every answer is handed on, known or
    new, in the order in which they become known.
    """

    def __init__(self, keep: Callable[[object], None], known: Mapping[int, Any], until: int) -> None:
        """`keep`: takes answers. `known`: those of before, to calls with numbers below `until`."""
        self._keep = keep
        self._known = known
        self._until = until
        self._pending: list[_Later[Any]] = []
        self.calls = 0

    @property
    def retraces(self) -> bool:
        """Whether the next call is one that was answered before."""
        return self.calls < self._until

    def to(self, call: Callable[[], T], form: Form[T]) -> T:
        """Return the answer to a call."""
        number, retraces = self._next()
        if retraces:
            data = self._of_before(number)
            answer = form.read(data)
        else:
            answer = call()
            data = form.written(answer)
        self._keep([number, data])
        return answer

    def later(self, call: Callable[[], Callable[[], T] | None], form: Form[T]) -> Callable[[], T] | None:
        """Return what gives the answer to a call when it is asked for; None if there will be none."""
        number, retraces = self._next()
        begun = self._begun_before(number, form) if retraces else call()
        if begun is None:
            self._keep([number, None])
            return None
        later = _Later(number, begun, form, self._keep)
        self._pending.append(later)
        return later

    def settle(self) -> None:
        """Wait for the answers that have not come yet."""
        pending, self._pending = self._pending, []
        for later in pending:
            later()

    def _next(self) -> tuple[int, bool]:
        number, retraces = self.calls, self.retraces
        self.calls += 1
        self._pending = [later for later in self._pending if not later.is_there]
        return number, retraces

    def _begun_before(self, number: int, form: Form[T]) -> Callable[[], T] | None:
        data = self._of_before(number)
        return None if data is None else lambda: form.read(data)

    def _of_before(self, number: int) -> Any:
        if number not in self._known:
            raise RunError(f"the journal lacks the learner's answer {number + 1}")
        return self._known[number]


class _Later(Generic[T]):
    """An answer that is waited for once, by whoever asks first."""

    def __init__(
        self, number: int, wait: Callable[[], T], form: Form[T], keep: Callable[[object], None]
    ) -> None:
        self._number = number
        self._wait = wait
        self._form = form
        self._keep = keep
        self._answer: T
        self.is_there = False

    def __call__(self) -> T:
        if not self.is_there:
            self._answer = self._wait()
            self.is_there = True
            self._keep([self._number, self._form.written(self._answer)])
        return self._answer


def _update_written(result: UpdateResult) -> Any:
    return {
        "model": result.model_sha256,
        "trained": [
            [task, list(facts.losses), facts.update_norm] for task, facts in result.trained.items()
        ],
        "rejected": sorted(result.rejected),
        "weights": list(map(list, result.weights.items())),
        "clip": [result.clip, result.clipped],
        "trust": list(map(list, result.trust.items())),
    }


def _update_read(data: Any) -> UpdateResult:
    return UpdateResult(
        model_sha256=data["model"],
        trained={task: TrainingFacts(tuple(losses), norm) for task, losses, norm in data["trained"]},
        rejected=frozenset(data["rejected"]),
        weights=dict(data["weights"]),
        clip=data["clip"][0],
        clipped=data["clip"][1],
        trust=dict(data["trust"]),
    )


def _evaluation_written(evaluation: Evaluation) -> Any:
    return [evaluation.accuracy, evaluation.loss, evaluation.attack_success, dict(evaluation.metrics)]


def _evaluation_read(data: Any) -> Evaluation:
    accuracy, loss, attack_success, metrics = data
    return Evaluation(accuracy, loss, attack_success, metrics)


def _tests_written(tests: ClientEvaluations | None) -> Any:
    if tests is None:
        return None
    columns = (tests.version, tests.client, tests.samples, tests.accuracy, tests.loss)
    metrics = {name: column.tolist() for name, column in tests.metrics.items()}
    return [[column.tolist() for column in columns], metrics]


def _tests_read(data: Any) -> ClientEvaluations | None:
    if data is None:
        return None
    (version, client, samples, accuracy, loss), metrics = data
    return ClientEvaluations(
        np.array(version, np.int64),
        np.array(client, np.int64),
        np.array(samples, np.int64),
        np.array(accuracy, np.float64),
        np.array(loss, np.float64),
        {name: np.array(column, np.float64) for name, column in metrics.items()},
    )


UPDATE = Form(_update_written, _update_read)
EVALUATION = Form(_evaluation_written, _evaluation_read)
CLIENT_TESTS = Form(_tests_written, _tests_read)
NUMBER: Form[int | None] = Form(lambda number: number, lambda number: number)
TEXT: Form[str | None] = Form(lambda text: text, lambda text: text)
