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
            for name in ("_run_id", "_task_id", "_node_id"):  # which every message is stamped with
                stack.enter_context(_replaced(TaskIdentity, name, 1))
            for module in {module.__name__: module for module in modules}.values():
                if getattr(module, "sleep", None) is real:
                    stack.enter_context(_replaced(module, "sleep", sleep))
            yield
    finally:
        log.setLevel(level)


@contextmanager
def _replaced(owner: object, name: str, value: Any) -> Iterator[None]:
    """Put something in the place of an attribute for a while."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
