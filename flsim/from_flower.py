"""What flsim takes of Flower: the one module that imports `flwr`.

It is imported where there is a Flower app or strategy, since importing takes a while. Raises ScenarioError
if Flower is not installed, or lacks what is needed.
"""

import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

from flsim.errors import ScenarioError

try:
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
    from flwr.clientapp import ClientApp
    from flwr.serverapp import Grid, ServerApp
    from flwr.serverapp.strategy import (
        FedAdagrad,
        FedAdam,
        FedAvg,
        FedAvgM,
        FedYogi,
        Strategy,
        strategy_utils,
    )
    from flwr.supercore.task_identity import TaskIdentity
except ImportError as error:
    raise ScenarioError(
        f"Flower is needed, and cannot be imported ({error}): pip install 'flsim-des[flower]'"
    ) from error

__all__ = [
    "Array",
    "ArrayRecord",
    "ClientApp",
    "ConfigRecord",
    "Context",
    "Error",
    "FedAdagrad",
    "FedAdam",
    "FedAvg",
    "FedAvgM",
    "FedYogi",
    "Grid",
    "Message",
    "MessageType",
    "MetricRecord",
    "RecordDict",
    "ServerApp",
    "Strategy",
    "WouldSleepError",
    "calling",
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
            stack.enter_context(patch.multiple(TaskIdentity, _run_id=1, _task_id=1, _node_id=1))
            for module in {module.__name__: module for module in modules}.values():
                if getattr(module, "sleep", None) is real:
                    stack.enter_context(patch.object(module, "sleep", sleep))
            yield
    finally:
        log.setLevel(level)
