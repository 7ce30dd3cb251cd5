"""Answers of a learner are the same when they are given again, and each belongs to its call."""

import json
import math
from collections.abc import Callable

import numpy as np
import pytest

from flsim.durable.answers import CLIENT_TESTS, EVALUATION, NUMBER, TEXT, UPDATE, Answers, Form
from flsim.errors import RunError
from flsim.records import ClientEvaluations
from flsim.tasks import Evaluation, TrainingFacts, UpdateResult

RESULT = UpdateResult(
    "ab" * 32,
    {7: TrainingFacts((0.5, 0.1 + 0.2), 3.25), 3: TrainingFacts(())},
    frozenset({9, 3}),
    {7: 1 / 3, 3: 0.0},
    clip=0.1,
    clipped=2,
    trust={7: 0.8},
)
EVALUATED = Evaluation(None, math.pi, 0.25, {"f1": None, "r2": -1e-300})


def through_json(form: Form, answer: object) -> object:
    return form.read(json.loads(json.dumps(form.written(answer))))


@pytest.mark.parametrize(
    ("form", "answer"),
    [(UPDATE, RESULT), (EVALUATION, EVALUATED), (NUMBER, 12), (NUMBER, None), (TEXT, "ab"), (TEXT, None)],
)
def test_an_answer_is_read_as_it_was_written(form, answer):
    assert through_json(form, answer) == answer


def test_the_order_of_an_update_stays():
    found = through_json(UPDATE, RESULT)
    assert isinstance(found, UpdateResult)
    assert list(found.trained) == list(RESULT.trained)
    assert list(found.weights) == list(RESULT.weights)


def test_clients_tests_are_read_as_they_were_written():
    tests = ClientEvaluations(
        np.array([2, 2]),
        np.array([0, 5]),
        np.array([10, 3]),
        np.array([0.5, math.nan]),
        np.array([1 / 3, 2.0]),
        {"f1": np.array([math.nan, 0.1])},
    )
    found = through_json(CLIENT_TESTS, tests)
    assert isinstance(found, ClientEvaluations)
    for name in ("version", "client", "samples", "accuracy", "loss"):
        one, other = getattr(found, name), getattr(tests, name)
        assert one.dtype == other.dtype
        assert one.tobytes() == other.tobytes()
    assert found.metrics["f1"].tobytes() == tests.metrics["f1"].tobytes()
    assert through_json(CLIENT_TESTS, None) is None


def never() -> int:
    raise AssertionError("nobody is to be asked")


def asked(answers: Answers, ask: Callable[[], int]) -> list[object]:
    """Ask in a way in which answers come in another order than questions."""
    first = answers.to(ask, NUMBER)
    early = answers.later(lambda: ask, NUMBER)
    nothing = answers.later(lambda: None, NUMBER)
    last = answers.to(ask, NUMBER)
    assert early is not None
    return [first, nothing, last, early(), early()]


def test_answers_of_before_are_given_to_the_same_questions():
    kept: list[list[object]] = []
    numbers = iter(range(100, 200))
    said = asked(Answers(kept.append, {}, 0), lambda: next(numbers))
    assert said == [100, None, 101, 102, 102]  # the one that was waited for came last
    assert kept == [[0, 100], [2, None], [3, 101], [1, 102]]
    again: list[list[object]] = []
    answers = Answers(again.append, dict(kept), 4)
    assert answers.retraces
    assert asked(answers, never) == said
    assert again == kept
    assert not answers.retraces
    assert answers.to(lambda: 5, NUMBER) == 5


def test_settling_waits_for_what_is_under_way_once():
    kept: list[object] = []
    answers = Answers(kept.append, {}, 0)
    later = answers.later(lambda: lambda: 7, NUMBER)
    assert kept == []
    answers.settle()
    answers.settle()
    assert later is not None
    assert later() == 7
    assert kept == [[0, 7]]


def test_a_missing_answer_is_named():
    with pytest.raises(RunError, match="lacks the learner's answer 1"):
        Answers(lambda _: None, {}, 1).to(never, NUMBER)
