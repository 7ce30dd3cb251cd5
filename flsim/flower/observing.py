"""What a Flower app's strategy makes of answers: seen from outside, whatever class it is.

While an app runs, the methods of all strategy classes are wrapped, and only the outermost call of a chain
of `super()` calls, or of strategies within strategies, tells.
"""

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

from flsim.from_flower import (
    ArrayRecord,
    LegacyStrategy,
    Message,
    Parameters,
    Strategy,
    parameters_to_arrayrecord,
    replaced,
)

Numbers = Mapping[str, Any]
Method = Callable[..., Any]
Telling = Callable[..., Any]
"""Calls a method in its place, and tells an observer what came of it."""


class Observer(Protocol):
    """Hears of what a strategy does, in order."""

    def began(self, arrays: ArrayRecord) -> None:
        """A strategy begins with these arrays."""

    def aggregated(
        self, server_round: int, replies: Sequence[Message] | None, result: Any, weighted_by: str | None
    ) -> None:
        """Training replies were aggregated. `replies`: None for all since the last time.

        `result`: arrays and metrics, None for what there is not. `weighted_by`: the metric that says what
        each reply counts for.
        """

    def evaluated(self, metrics: Numbers | None, server_round: int, *, by_server: bool) -> None:
        """The current arrays were evaluated: by the server itself, or by clients and aggregated."""

    def excluded(self, reply: Message, error: BaseException) -> Message:
        """A reply that the strategy cannot aggregate; return the error reply in its place."""


@contextmanager
def observed(observer: Observer) -> Iterator[None]:
    """Tell `observer` what strategies do."""
    telling: dict[type, dict[str, Telling]] = {
        Strategy: {"aggregate_train": _aggregate_train, "aggregate_evaluate": _aggregate_evaluate},
        LegacyStrategy: {
            "aggregate_fit": _aggregate_fit,
            "aggregate_evaluate": _aggregate_evaluate_legacy,
            "evaluate": _evaluate_legacy,
        },
    }
    depth = [0]
    with ExitStack() as stack:
        for base, tells in telling.items():
            for cls in _with_subclasses(base):
                for name, tell in tells.items():
                    if inspect.isfunction(method := vars(cls).get(name)):
                        told = _outermost(method, functools.partial(tell, observer), depth)
                        stack.enter_context(replaced(cls, name, told))
        for cls in _with_subclasses(Strategy):
            if inspect.isfunction(method := vars(cls).get("start")):
                stack.enter_context(replaced(cls, "start", _started(method, observer)))
        yield


def _with_subclasses(base: type) -> dict[type, None]:
    found: dict[type, None] = {base: None}
    cls: type
    for cls in type.__subclasses__(base):
        found |= _with_subclasses(cls)
    return found


def _outermost(
    method: Callable[..., Any], tell: Callable[..., Any], depth: list[int]
) -> Callable[..., Any]:
    """Return what lets `tell` call a method, unless it is called within another one that tells."""

    @functools.wraps(method)
    def called(*args: Any, **kwargs: Any) -> Any:
        if depth[0]:
            return method(*args, **kwargs)
        depth[0] += 1
        try:
            return tell(method, *args, **kwargs)
        finally:
            depth[0] -= 1

    return called


def _aggregate_train(
    observer: Observer, method: Method, strategy: Any, server_round: int, replies: Iterable[Message]
) -> Any:
    given = list(replies)
    try:
        result = method(strategy, server_round, given)
    except Exception as error:
        given = _without_odd_ones(given, error, observer)
        result = method(strategy, server_round, given)
    observer.aggregated(server_round, given, result, getattr(strategy, "weighted_by_key", None))
    return result


def _aggregate_evaluate(
    observer: Observer, method: Method, strategy: Any, server_round: int, replies: Iterable[Message]
) -> Any:
    given = list(replies)
    try:
        metrics = method(strategy, server_round, given)
    except Exception as error:
        metrics = method(strategy, server_round, _without_odd_ones(given, error, observer))
    observer.evaluated(metrics, server_round, by_server=False)
    return metrics


def _started(method: Method, observer: Observer) -> Method:
    """Return what starts a strategy, whose own evaluation tells. One that is passed on tells once."""

    @functools.wraps(method)
    def start(*args: Any, **kwargs: Any) -> Any:
        try:
            bound = inspect.signature(method).bind(*args, **kwargs)
        except TypeError:
            return method(*args, **kwargs)  # which says what is wrong
        if isinstance(arrays := bound.arguments.get("initial_arrays"), ArrayRecord):
            observer.began(arrays)
        evaluate = bound.arguments.get("evaluate_fn")
        if evaluate is not None and not hasattr(evaluate, "is_observed"):
            bound.arguments["evaluate_fn"] = _evaluated_by_server(evaluate, observer)
        return method(*bound.args, **bound.kwargs)

    return start


def _evaluated_by_server(evaluate: Callable[..., Any], observer: Observer) -> Callable[..., Any]:
    @functools.wraps(evaluate)
    def called(server_round: int, *args: Any, **kwargs: Any) -> Any:
        metrics = evaluate(server_round, *args, **kwargs)
        observer.evaluated(metrics, server_round, by_server=True)
        return metrics

    called.is_observed = True  # type: ignore[attr-defined]
    return called


def _aggregate_fit(
    observer: Observer, method: Method, strategy: Any, server_round: int, results: Any, failures: Any
) -> Any:
    parameters, metrics = result = method(strategy, server_round, results, failures)
    arrays = None
    if isinstance(parameters, Parameters):
        arrays = parameters_to_arrayrecord(parameters, keep_input=True)
    observer.aggregated(server_round, None, (arrays, metrics), None)
    return result


def _aggregate_evaluate_legacy(
    observer: Observer, method: Method, strategy: Any, server_round: int, results: Any, failures: Any
) -> Any:
    loss, metrics = result = method(strategy, server_round, results, failures)
    _tell_legacy(observer, loss, metrics, server_round, by_server=False)
    return result


def _evaluate_legacy(
    observer: Observer, method: Method, strategy: Any, server_round: int, parameters: Any
) -> Any:
    result = method(strategy, server_round, parameters)
    if result is not None:
        _tell_legacy(observer, result[0], result[1], server_round, by_server=True)
    return result


def _tell_legacy(
    observer: Observer, loss: float | None, metrics: Numbers | None, server_round: int, *, by_server: bool
) -> None:
    numbers = dict(metrics or {})
    if loss is not None:
        numbers = {"loss": loss} | numbers
    observer.evaluated(numbers, server_round, by_server=by_server)


def _without_odd_ones(replies: list[Message], error: Exception, observer: Observer) -> list[Message]:
    """Return the replies with errors in the place of those whose records differ from most others'.

    Flower ends an app whose clients' replies do not fit together. Here whoever does not fit in is excluded,
    and the round goes on. Raises what the strategy raised if there is nobody to exclude.
    """
    shapes = [None if reply.has_error() else _shape(reply) for reply in replies]
    known = [shape for shape in shapes if shape is not None]
    usual = max(known, key=lambda shape: (known.count(shape), -known.index(shape)), default=None)
    if usual is None or all(shape == usual for shape in known):
        raise error
    return [
        reply if shape in (None, usual) else observer.excluded(reply, error)
        for reply, shape in zip(replies, shapes, strict=True)
    ]


def _shape(reply: Message) -> tuple[object, ...]:
    """Return what a strategy expects to be the same in all replies."""
    content = reply.content
    arrays = [
        (name, [(key, array.dtype, tuple(array.shape)) for key, array in record.items()])
        for name, record in content.array_records.items()
    ]
    metrics = [
        (name, sorted((key, isinstance(value, list)) for key, value in record.items()))
        for name, record in content.metric_records.items()
    ]
    return tuple(map(str, (arrays, metrics)))
