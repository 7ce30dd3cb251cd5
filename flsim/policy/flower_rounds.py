"""How a strategy of Flower's is asked whom it sends messages to. Imported only where there is one."""

import inspect
from collections.abc import Iterable, Sequence
from copy import deepcopy
from importlib import import_module
from typing import Any, NoReturn

from flsim.component import misfit
from flsim.errors import nearest
from flsim.from_flower import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Grid,
    Message,
    MessageType,
    RecordDict,
    Strategy,
    WouldSleepError,
    calling,
)
from flsim.generators import Generators
from flsim.plug_ins import error_text

_FOLLOWED = "server-round"  # what a strategy may tell clients beside the arrays
_REPORTED = ("num-examples", "train_loss")  # what flsim's clients tell of their training
_WAYS = {
    "proximal-mu": "workload.training.objective: {kind: fedprox, mu: …}, with Flower's FedAvg",
    "clipping_norm": "privacy, with a strategy of flsim's own",
}
_MOST_NODES = 2**20


class NotFollowedError(Exception):
    """A strategy of Flower's raised an error, or wants something that flsim does not do."""


class IdleNodes(Grid):
    """A grid that says who is there, and nothing else: a node is a client that is idle."""

    def __init__(self, nodes: Sequence[int]) -> None:
        self._nodes = nodes

    def get_node_ids(self) -> list[int]:
        return list(self._nodes)

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        return Message(content, dst_node_id, message_type, group_id=group_id, ttl=ttl)

    @property
    def run(self) -> NoReturn:
        raise NotFollowedError("it asks for Flower's run, which there is none of")

    def set_run(self, run: object) -> None:
        raise NotFollowedError("it sets Flower's run, which there is none of")

    def push_messages(self, messages: Iterable[Message]) -> NoReturn:
        raise NotFollowedError("it sends messages by itself; flsim sends those that it returns")

    def pull_messages(self, message_ids: Iterable[str]) -> NoReturn:
        raise NotFollowedError("it fetches replies by itself; flsim gives them to aggregate_train")

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> NoReturn:
        raise NotFollowedError("it sends messages by itself; flsim sends those that it returns")


def strategy_class(path: str) -> type[Strategy]:
    """Return the class that an import path names. Raises a misfit if it names no strategy of Flower's."""
    module_name, _, class_name = path.partition(":")
    try:
        module = import_module(module_name)
    except (Exception, SystemExit) as error:  # the module may raise anything
        raise misfit(("class",), path, f"cannot be imported: {error}") from error
    found: object = getattr(module, class_name, None)
    if found is None:
        names = [name for name, value in vars(module).items() if _is_strategy(value)]
        why = f"{module_name} has no such class; accepted: {', '.join(names)}{nearest(class_name, names)}"
        raise misfit(("class",), path, why)
    if not (isinstance(found, type) and issubclass(found, Strategy)):
        raise misfit(("class",), path, "not a subclass of flwr.serverapp.strategy.Strategy")
    if inspect.isabstract(found):
        missing = ", ".join(sorted(found.__abstractmethods__))
        raise misfit(("class",), path, f"an abstract class; it lacks {missing}")
    return found


def made(cls: type[Strategy], arguments: dict[str, Any]) -> Strategy:
    """Return a strategy as it is before its first round. Raises a misfit if the class refuses."""
    takes = inspect.signature(cls).parameters
    if not any(each.kind is each.VAR_KEYWORD for each in takes.values()):
        for name, value in arguments.items():
            if name not in takes:
                why = f"{cls.__name__} takes none; accepted: {', '.join(takes)}{nearest(name, takes)}"
                raise misfit(("arguments", name), value, why)
    lacking = [name for name, each in takes.items() if _is_required(each) and name not in arguments]
    if lacking:
        raise misfit(("arguments",), arguments, f"{cls.__name__} needs {', '.join(lacking)}")
    try:
        with calling(cls):
            strategy = cls(**deepcopy(arguments))
    except Exception as error:  # the class may raise anything
        raise misfit(("arguments",), arguments, f"{cls.__name__} raised {error_text(error)}") from error
    for key in ("weighted_by_key", "train_loss_key"):
        if (named := getattr(strategy, key, _REPORTED[0])) not in _REPORTED:
            why = f"flsim's clients report no such number; accepted: {', '.join(_REPORTED)}"
            raise misfit(("arguments", key), named, why)
    return strategy


def asked_by(
    strategy: Strategy, server_round: int, arrays: ArrayRecord, nodes: Sequence[int], seed: int
) -> tuple[int, ...] | None:
    """Return whom a strategy asks of the nodes that are there; None if it waits for more of them.

    It draws by a `seed` of 64 bits. Raises NotFollowedError.
    """
    name = type(strategy).__name__
    try:
        with Generators(seed).drawn_from(), calling(type(strategy)):
            grid = IdleNodes(nodes)
            messages = list(strategy.configure_train(server_round, arrays, ConfigRecord(), grid))
    except WouldSleepError:
        return None
    except NotFollowedError as error:
        raise NotFollowedError(f"{name}: {error}") from error
    except Exception as error:  # a strategy may raise anything
        raise NotFollowedError(f"{name} raised {error_text(error)} in configure_train") from error
    asked = tuple(_recipient(message, arrays, name) for message in messages)
    if len(set(asked)) < len(asked) or not set(asked) <= set(nodes):
        raise NotFollowedError(f"{name} sends two messages to a node, or one to a node that is not there")
    if not asked:
        raise NotFollowedError(f"{name} asks nobody in round {server_round}; flsim's rounds have clients")
    return asked


def fewest_nodes(cls: type[Strategy], arguments: dict[str, Any]) -> int:
    """Return with how many nodes a strategy begins its first round. Raises NotFollowedError."""

    def begins(count: int) -> bool:
        return asked_by(made(cls, arguments), 1, ArrayRecord(), range(count), 0) is not None

    enough = 1
    while not begins(enough):
        enough *= 2
        if enough > _MOST_NODES:
            raise NotFollowedError(f"{cls.__name__} does not begin with {_MOST_NODES} nodes, and sleeps")
    too_few = enough // 2
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        too_few, enough = (too_few, middle) if begins(middle) else (middle, enough)
    return enough


def _recipient(message: object, arrays: ArrayRecord, name: str) -> int:
    """Return whom a message is for, if it asks for nothing but training from the arrays."""
    if not isinstance(message, Message):
        raise NotFollowedError(f"{name} returns {message!r:.80}, which is no message")
    if message.metadata.message_type != MessageType.TRAIN:
        kind = message.metadata.message_type
        raise NotFollowedError(f"{name} sends messages of the type {kind!r}; flsim's clients do: train")
    for record in message.content.array_records.values():
        if record is not arrays and _values(record) != _values(arrays):
            raise NotFollowedError(f"{name} sends other arrays than the model; flsim sends the model")
    content = message.content
    told = [key for record in content.config_records.values() for key in record if key != _FOLLOWED]
    told += [key for record in content.metric_records.values() for key in record]
    for key in told:
        way = _WAYS.get(key, "workload.training, which has schedules as well")
        raise NotFollowedError(f"{name} tells clients {key}, which flsim's do not read; give {way}")
    return message.metadata.dst_node_id


def _values(arrays: ArrayRecord) -> dict[str, Array]:
    return dict(arrays.items())


def _is_required(parameter: inspect.Parameter) -> bool:
    variable = (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    return parameter.default is parameter.empty and parameter.kind not in variable


def _is_strategy(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Strategy) and not inspect.isabstract(value)
