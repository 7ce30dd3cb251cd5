"""The learner whose server updates are a strategy of Flower's. Imported only where there is one."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from flsim.draws import Stream
from flsim.errors import RunError
from flsim.from_flower import (
    Array,
    ArrayRecord,
    ConfigRecord,
    FedAdagrad,
    FedAdam,
    FedAvg,
    FedAvgM,
    FedYogi,
    Message,
    MessageType,
    MetricRecord,
    RecordDict,
    Strategy,
    WouldSleepError,
    calling,
)
from flsim.generators import Generators
from flsim.learn.aggregations import Combined, Contribution
from flsim.learn.learner import TorchLearner
from flsim.learn.parts import LearnerParts
from flsim.learn.received import Received
from flsim.learn.state import State
from flsim.plug_ins import error_text
from flsim.policy import FlowerStrategy
from flsim.policy.flower_rounds import NotFollowedError, asked_by
from flsim.scenario import Scenario

_MEANS = [cls.aggregate_train for cls in (FedAvg, FedAvgM, FedAdagrad, FedAdam, FedYogi)]
_RECORDS = {record.__name__: record for record in (MetricRecord, ConfigRecord)}


class FlowerLearner(TorchLearner):
    """One strategy object makes all versions of a run, of replies as Flower's clients send them.

    A reply has the arrays of the model, by their names, as the client has moved them, and the numbers
    `num-examples` and `train_loss`. What the strategy returns is the next version; if that is nothing, the
    model stays as it is.
    """

    def __init__(self, scenario: Scenario, initial: Tensor, parts: LearnerParts) -> None:
        super().__init__(scenario, initial, parts)
        spec = scenario.strategy
        if not isinstance(spec, FlowerStrategy):
            raise TypeError("the scenario's strategy is none of Flower's")
        self._spec = spec
        self._strategy = spec.made()
        self._draws = Stream(scenario.seed, "strategy.flower")
        if scenario.checkpoint is not None:
            remembered(self._strategy, self._spec.made())  # if it cannot be saved, say so before the run

    def _combined(self, valid: Sequence[Contribution], received: Received) -> Combined:
        """Return by how much the strategy moves the model."""
        strategy, server_round = self._strategy, self._current + 1
        name, seed = type(strategy).__name__, self._draws.integer(server_round)
        arrays = self._record(self.weights)
        self._begin(server_round, arrays, seed)
        try:
            with Generators(seed ^ 1).drawn_from(), calling(type(strategy)):
                replies = [self._reply(each) for each in valid]
                counted = _shares(strategy, replies)
                made, _ = strategy.aggregate_train(server_round, replies)
        except WouldSleepError as error:
            raise RunError(f"strategy flower: {name} would sleep in aggregate_train") from error
        except Exception as error:  # a strategy may raise anything
            why = f"strategy flower: {name} raised {error_text(error)} in aggregate_train"
            raise RunError(why) from error
        if made is None:
            return Combined(torch.zeros_like(self.weights), (0.0,) * len(valid))
        return Combined(self._vector(made) - self.weights, counted)

    def _begin(self, server_round: int, arrays: ArrayRecord, seed: int) -> None:
        """Let the strategy see the arrays that the round began with, as it does when it chooses clients.

        Raises RunError if whom it chooses depends on what it has learned: the server, which asked a new one
        of its class, could not know.
        """
        clients = range(self._parts.population.clients)
        try:
            chosen = asked_by(self._strategy, server_round, arrays, clients, seed)
            anew = asked_by(self._spec.made(), server_round, arrays, clients, seed)
        except NotFollowedError as error:
            raise RunError(f"strategy flower: {error}") from error
        if chosen != anew:
            name = type(self._strategy).__name__
            why = "chooses clients by what it remembers of earlier rounds, which the server does not know"
            raise RunError(f"strategy flower: {name} {why}")

    def _reply(self, contribution: Contribution) -> Message:
        task, loss = contribution.task, contribution.loss
        numbers = MetricRecord({"num-examples": task.samples, "train_loss": loss or 0.0})
        arrays = self._record(self.weights + contribution.update)
        content = RecordDict({"arrays": arrays, "metrics": numbers})
        asked = Message(RecordDict(), dst_node_id=task.client, message_type=MessageType.TRAIN)
        return Message(content, reply_to=asked)

    def _record(self, weights: Tensor) -> ArrayRecord:
        views = self._parts.layout.views(weights.detach().cpu())
        return ArrayRecord({name: Array(view.numpy()) for name, view in views.items()})

    def _vector(self, arrays: ArrayRecord) -> Tensor:
        """Return a strategy's arrays as weights [parameters]. Raises RunError if they are other ones."""
        shapes, name = self._parts.layout.shapes, type(self._strategy).__name__
        if set(arrays) != set(shapes):
            raise RunError(f"strategy flower: {name} makes arrays of other names than the model's")
        pieces = []
        for key, shape in shapes.items():
            values = arrays[key].numpy()
            if values.shape != shape:
                why = f"makes {key} of the shape {values.shape}, and the model's has {shape}"
                raise RunError(f"strategy flower: {name} {why}")
            pieces.append(torch.from_numpy(np.array(values, np.float32)).reshape(-1))
        return torch.cat(pieces).to(self.weights.device)

    def state(self) -> State:
        return super().state() | {"flower": remembered(self._strategy, self._spec.made())}

    def restore(self, state: State) -> None:
        super().restore(state)
        self._strategy = self._spec.made()
        remind(self._strategy, state["flower"])


def remembered(strategy: Strategy, fresh: Strategy) -> State:
    """Return what a strategy remembers, beside what a fresh one of its class and arguments has anyhow.

    Raises RunError if that is something that cannot be saved.
    """
    had, state = vars(fresh), {}
    for name, value in vars(strategy).items():
        try:
            state[name] = _packed(value, had.get(name))
        except TypeError as error:
            if name in had and value is had[name]:  # a function, a module
                continue
            why = f"{type(strategy).__name__} remembers {name}, {error}, which no checkpoint can hold"
            raise RunError(f"strategy flower: {why}; leave out checkpoint") from error
    return state


def remind(strategy: Strategy, state: Mapping[str, Any]) -> None:
    """Give a fresh strategy what another one has remembered."""
    for name, packed in state.items():
        if packed[0] == "strategy":
            remind(getattr(strategy, name), packed[1])
        else:
            setattr(strategy, name, _unpacked(packed))


def _packed(value: object, fresh: object) -> State:
    """Return a value as plain data, after a word that says what it is. Raises TypeError if it is none."""
    if value is None or isinstance(value, bool | int | float | str):
        return ["plain", value]
    if isinstance(value, np.generic):
        return ["number", np.asarray(value)]
    if isinstance(value, np.ndarray):
        return ["array", value]
    if isinstance(value, ArrayRecord):
        return ["arrays", [[name, array.numpy()] for name, array in value.items()]]
    if isinstance(value, MetricRecord | ConfigRecord):
        return [type(value).__name__, [[name, _packed(item, None)] for name, item in value.items()]]
    if isinstance(value, dict):
        return ["dict", [[_packed(key, None), _packed(item, None)] for key, item in value.items()]]
    if isinstance(value, list | tuple | set):
        return [type(value).__name__, [_packed(item, None) for item in value]]
    if isinstance(value, Strategy) and type(fresh) is type(value):
        return ["strategy", remembered(value, fresh)]
    raise TypeError(f"a {type(value).__name__}")


def _unpacked(packed: State) -> Any:
    kind, value = packed
    if kind in ("plain", "array"):
        return value
    if kind == "number":
        return value[()]
    if kind == "arrays":
        return ArrayRecord({name: Array(array) for name, array in value})
    if kind in _RECORDS:
        return _RECORDS[kind]({name: _unpacked(item) for name, item in value})
    if kind == "dict":
        return {_unpacked(key): _unpacked(item) for key, item in value}
    made = {"list": list, "tuple": tuple, "set": set}[kind]
    return made(map(_unpacked, value))


def _shares(strategy: Strategy, replies: Sequence[Message]) -> tuple[float, ...]:
    """Return what replies count for in a mean, where the strategy has one; else the same for all."""
    weights = [1.0] * len(replies)
    if isinstance(strategy, FedAvg) and type(strategy).aggregate_train in _MEANS:
        weights = [_number(reply, strategy.weighted_by_key) for reply in replies]
    total = sum(weights)
    return tuple(weight / total if total else 0.0 for weight in weights)


def _number(reply: Message, key: str) -> float:
    [numbers] = reply.content.metric_records.values()
    number = numbers[key]
    assert isinstance(number, int | float)  # noqa: S101 - it was made here
    return float(number)
