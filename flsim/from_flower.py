"""What flsim takes of Flower: the one module that imports `flwr`.

It is imported where there is a Flower app or strategy, since importing takes a while. Raises ScenarioError
if Flower is not installed, or lacks what is needed.
"""

import logging
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from flsim.errors import ScenarioError

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of what its dependencies do with one another
        from flwr.app import (
            Array,
            ArrayRecord,
            ConfigRecord,
            Context,
            Error,
            Message,
            MessageType,
            MetricRecord,
            RecordDict,
        )
        from flwr.app.message import make_message
        from flwr.app.metadata import Metadata
        from flwr.clientapp import ClientApp
        from flwr.clientapp.client_app import LoadClientAppError
        from flwr.common import Parameters
        from flwr.common.config import flatten_dict, get_project_config
        from flwr.common.constant import SUPERLINK_NODE_ID, ErrorCode
        from flwr.common.serde import message_to_proto, recorddict_to_proto
        from flwr.compat.common.recorddict_compat import parameters_to_arrayrecord
        from flwr.proto.node_pb2 import NodeInfo
        from flwr.server import server as legacy_server
        from flwr.server.client_manager import SimpleClientManager
        from flwr.server.compat import app as legacy_app
        from flwr.server.compat import app_utils as legacy_nodes
        from flwr.server.strategy import Strategy as LegacyStrategy
        from flwr.serverapp import Grid, ServerApp
        from flwr.serverapp.server_app import LoadServerAppError
        from flwr.serverapp.strategy import (
            FedAdagrad,
            FedAdam,
            FedAvg,
            FedAvgM,
            FedYogi,
            Strategy,
            strategy_utils,
        )
        from flwr.supercore.object_ref import load_app
        from flwr.supercore.run import Run
        from flwr.supercore.task_identity import TaskIdentity
except ImportError as error:
    raise ScenarioError(
        f"Flower is needed, and cannot be imported ({error}): pip install 'flsim-des[flower]'"
    ) from error

__all__ = [
    "SUPERLINK_NODE_ID",
    "Array",
    "ArrayRecord",
    "ClientApp",
    "ConfigRecord",
    "Context",
    "Error",
    "ErrorCode",
    "FedAdagrad",
    "FedAdam",
    "FedAvg",
    "FedAvgM",
    "FedYogi",
    "Grid",
    "LegacyStrategy",
    "LoadClientAppError",
    "LoadServerAppError",
    "Message",
    "MessageType",
    "Metadata",
    "MetricRecord",
    "NodeInfo",
    "Parameters",
    "RecordDict",
    "Run",
    "ServerApp",
    "SimpleClientManager",
    "Strategy",
    "WouldSleepError",
    "calling",
    "flatten_dict",
    "get_project_config",
    "identified",
    "legacy_app",
    "legacy_nodes",
    "legacy_server",
    "load_app",
    "make_message",
    "message_to_proto",
    "parameters_to_arrayrecord",
    "recorddict_to_proto",
    "replaced",
    "strategy_utils",
    "unavailable_message",
    "unavailable_node",
]


class WouldSleepError(Exception):
    """A strategy would sleep, as Flower's own do until there are nodes enough."""


@contextmanager
def calling(cls: type[Strategy]) -> Iterator[None]:
    """Call a strategy of a class as in a run of Flower's, but in no time, and without a word in its log.

    Where it would sleep, WouldSleepError is raised. `sleep` is looked for in the modules of its classes;
    other threads may sleep meanwhile.
    """
    real, here, log = time.sleep, threading.get_ident(), logging.getLogger("flwr")

    def sleep(seconds: float) -> None:
        if threading.get_ident() == here:
            raise WouldSleepError
        real(seconds)

    modules = (time, strategy_utils, *(sys.modules[each.__module__] for each in cls.__mro__))
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with ExitStack() as stack:
            stack.enter_context(identified(run_id=1, node_id=1))
            for module in {module.__name__: module for module in modules}.values():
                if getattr(module, "sleep", None) is real:
                    stack.enter_context(replaced(module, "sleep", sleep))
            yield
    finally:
        log.setLevel(level)


def unavailable_message(message_id: str, run_id: int) -> Message:
    """Return what Flower answers for a message that it does not have, or no more."""
    unavailable: Message = _linkstate().create_message_error_unavailable_ins_message(message_id, run_id)
    return unavailable


def unavailable_node(metadata: Metadata) -> Message:
    """Return what Flower answers for a message whose node has gone."""
    unavailable: Message = _linkstate().create_message_error_unavailable_res_message(
        metadata, "node_unavail"
    )
    return unavailable


def _linkstate() -> Any:
    """Return a module that imports a database and a web server, for half a second."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from flwr.server.superlink.linkstate import utils
    return utils


@contextmanager
def identified(*, run_id: int, node_id: int) -> Iterator[None]:
    """Be a task of a run on a node: messages that are made in the block say so."""
    with ExitStack() as stack:
        for name, value in (("_run_id", run_id), ("_task_id", 1), ("_node_id", node_id)):
            stack.enter_context(replaced(TaskIdentity, name, value))
        yield


@contextmanager
def replaced(owner: object, name: str, value: Any) -> Iterator[None]:
    """Put something in the place of an attribute for a while."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
