"""Who runs ClientApps: flsim's own process, worker processes, or actors on a Ray cluster."""

import itertools
import os
import signal
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, suppress
from functools import singledispatch
from typing import Any, NamedTuple, Protocol

import torch

from flsim.flower.answering import Call, Reply, answer
from flsim.flower.app import FlowerApp
from flsim.flower.clock import replaced_time
from flsim.from_flower import ClientApp, Error, ErrorCode, Message
from flsim.learn.executors.children import PROCESSES, starting
from flsim.learn.executors.rays import connect, import_ray
from flsim.scenario.executor import Auto, Executor, Processes, Ray, Serial


class Answering(Protocol):
    """Lets the app answer calls. Which of these does it makes no difference to the answers."""

    why: str
    """Why it is this one."""

    def answers(self, calls: Sequence[Call]) -> list[Reply]:
        """Return what comes of each call. They are of different nodes, and there is one."""

    def close(self) -> None:
        """Let go of everything."""


class InProcess:
    """Calls one after the other, here."""

    why = "ClientApps run one after the other in flsim's own process"

    def __init__(self, app: ClientApp) -> None:
        self._app = app

    def answers(self, calls: Sequence[Call]) -> list[Reply]:
        return [answer(self._app, call) for call in calls]

    def close(self) -> None: ...


class Elsewhere(ABC):
    """Calls in other processes. One that kills its process is tried once more, and then has crashed."""

    def answers(self, calls: Sequence[Call]) -> list[Reply]:
        replies = self._lived(dict(enumerate(calls)))
        for place, call in enumerate(calls):
            if place not in replies:  # by itself, to find out whose answer it is that kills
                replies |= self._lived({place: call}) or {place: _crashed(call)}
        return [replies[place] for place in range(len(calls))]

    @abstractmethod
    def _lived(self, calls: Mapping[int, Call]) -> dict[int, Reply]:
        """Return the replies to these calls that processes have lived to give. There is a call."""


def _crashed(call: Call) -> Reply:
    error = Error(ErrorCode.CLIENT_APP_CRASHED, "the process of the ClientApp died")
    return Reply(Message(error, reply_to=call.message), None, None)


class InProcesses(Elsewhere):
    """Calls in worker processes, one thread each."""

    def __init__(self, app: FlowerApp, workers: int | None) -> None:
        self._app = app
        self._workers = workers or os.cpu_count() or 1
        self._pool: ProcessPoolExecutor | None = None
        self.why = f"the scenario asks for {self._workers} worker processes"

    def _lived(self, calls: Mapping[int, Call]) -> dict[int, Reply]:
        replies: dict[int, Reply] = {}
        try:
            with starting(__name__):
                if self._pool is None:
                    self._pool = ProcessPoolExecutor(self._workers, PROCESSES, _begin, (self._app,))
                futures = {place: self._pool.submit(_answer, call) for place, call in calls.items()}
            for place, future in futures.items():
                replies[place] = future.result()
        except BrokenProcessPool:  # all that it had not done is lost
            self.close()
        return replies

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None


class _Worker(NamedTuple):
    """What a worker process keeps. `around`: what its time is replaced by, for as long as it lives."""

    app: ClientApp
    around: ExitStack


_workers: list[_Worker] = []  # in a worker process, one


def _begin(app: FlowerApp) -> None:
    """Make this process a worker: load the app, whose time may be virtual."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    around = ExitStack()
    around.enter_context(replaced_time())
    _workers.append(_Worker(app.load_client_app(), around))


def _answer(call: Call) -> Reply:
    return answer(_workers[0].app, call)


class _Actor:
    """A worker on a Ray cluster."""

    def __init__(self, app: FlowerApp) -> None:
        _begin(app)

    def answer(self, call: Call) -> Reply:
        return _answer(call)


class OnRay(Elsewhere):
    """Calls in actors on a Ray cluster, which can all read the app's folder."""

    why = "the scenario asks for Ray"

    def __init__(self, app: FlowerApp, spec: Ray) -> None:
        self._ray: Any = import_ray()
        self._app, self._spec = app, spec
        self._actors: list[Any] = []
        self._is_ours = False

    def _lived(self, calls: Mapping[int, Call]) -> dict[int, Reply]:
        if not self._actors:
            self._start()
        actors = itertools.cycle(self._actors)
        asked = {place: next(actors).answer.remote(call) for place, call in calls.items()}
        replies = {}
        for place, reference in asked.items():
            with suppress(self._ray.exceptions.RayActorError):
                replies[place] = self._ray.get(reference)
        if len(replies) < len(calls):
            self._end_actors()
        return replies

    def _start(self) -> None:
        self._is_ours = connect(self._ray, self._spec.address, self._spec.workers) or self._is_ours
        workers = self._spec.workers or max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        actor = self._ray.remote(num_cpus=1)(_Actor)
        self._actors = [actor.remote(self._app) for _ in range(workers)]

    def _end_actors(self) -> None:
        for actor in self._actors:
            self._ray.kill(actor)
        self._actors = []

    def close(self) -> None:
        if self._ray.is_initialized():
            self._end_actors()
            if self._is_ours:
                self._ray.shutdown()


@singledispatch
def build_answering(spec: Executor, app: FlowerApp) -> Answering:
    """Return who runs the ClientApps of an app. Raises ScenarioError if there is no ClientApp to load."""
    raise TypeError(f"no executor for ClientApps: {type(spec).__name__}")


@build_answering.register(Auto)
@build_answering.register(Serial)
def _(spec: Executor, app: FlowerApp) -> Answering:
    return InProcess(app.load_client_app())


@build_answering.register
def _(spec: Processes, app: FlowerApp) -> Answering:
    app.load_client_app()  # an error here says more than that of a worker which does not start
    return InProcesses(app, spec.workers)


@build_answering.register
def _(spec: Ray, app: FlowerApp) -> Answering:
    app.load_client_app()
    return OnRay(app, spec)
