"""A worker process that runs ClientApps."""

import gc
import signal
from collections.abc import Sequence
from contextlib import ExitStack
from typing import NamedTuple

import torch

from flsim.flower.answering import Call, Reply, answer
from flsim.flower.clock import replaced_time
from flsim.flower.generators import seed_generators
from flsim.flower.loading import Source
from flsim.from_flower import ClientApp


class _Worker(NamedTuple):
    """What a worker process keeps. `around`: what its time is replaced by, for as long as it lives."""

    app: ClientApp
    around: ExitStack


_workers: list[_Worker] = []  # in a worker process, one


def begin(source: Source) -> None:
    """Make this process a worker: load the ClientApp, whose time may be virtual."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()  # what the fork server has imported stays as it is, in memory that all workers share
    gc.enable()
    torch.set_num_threads(1)
    seed_generators(0)  # modules may draw when they are imported
    around = ExitStack()
    around.enter_context(replaced_time())
    _workers.append(_Worker(source.load_client_app(), around))


def answer_all(calls: Sequence[Call]) -> list[Reply]:
    """Let this worker's ClientApp answer these calls, one after the other."""
    return [answer(_workers[0].app, call) for call in calls]
