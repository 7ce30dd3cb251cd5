"""Who runs ClientApps: flsim's own process, worker processes, or actors on a Ray cluster."""

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import singledispatch
from multiprocessing import get_context
from typing import Any, Protocol

from flsim.errors import RunError
from flsim.flower.answering import Call, Reply, answer
from flsim.flower.app import FlowerApp
from flsim.flower.clock import replaced_time
from flsim.from_flower import ClientApp, Error, ErrorCode, Message, TaskIdentity
from flsim.learn.executors.rays import connect, import_ray
from flsim.scenario.executor import Auto, Executor, Processes, Ray, Serial

_TRIES = 2


class Answering(Protocol):
    """Lets the app answer calls. Which of these does it makes no difference to the answers."""

    why: str
    """Why it is this one."""

    def answers(self, calls: Sequence[Call]) -> list[Reply]:
        """Return what comes of each call. They are of different nodes."""

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


class InProcesses:
    """Calls in worker processes, one thread each. A worker that dies takes its app for crashed."""

    def __init__(self, app: FlowerApp, workers: int | None, run_id: int) -> None:
        self._app, self._run_id = app, run_id
        self._workers = workers or os.cpu_count() or 1
        self._pool: ProcessPoolExecutor | None = None
        self.why = f"the scenario asks for {self._workers} worker processes"

    def answers(self, calls: Sequence[Call]) -> list[Reply]:
        replies: dict[int, Reply] = {}
        left = dict(enumerate(calls))
        for last in (False, True):
            replies |= self._try(left)
            left = {place: call for place, call in left.items() if place not in replies}
            if last:  # one by one, to find out whose answers kill the worker
                for place, call in left.items():
                    replies |= self._try({place: call}) or {place: _crashed(call)}
        return [replies[place] for place in range(len(calls))]

    def _try(self, calls: dict[int, Call]) -> dict[int, Reply]:
        """Return the replies that workers have lived to give."""
        if not calls:
            return {}
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self._workers, get_context("spawn"), _begin, (self._app, self._run_id)
            )
        try:
            futures = {place: self._pool.submit(_answer, call) for place, call in calls.items()}
        except BrokenProcessPool:
            self.close()
            return {}
        replies = {}
        for place, future in futures.items():
            try:
                replies[place] = future.result()
            except BrokenProcessPool:
                self.close()
        return replies

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None


def _crashed(call: Call) -> Reply:
    why = "the process of the ClientApp died"
    return Reply(
        Message(Error(ErrorCode.CLIENT_APP_CRASHED, why), reply_to=call.message), call.context, None
    )


_worker_app: ClientApp | None = None


def _begin(app: FlowerApp, run_id: int) -> None:
    """Make a process a worker: load the app, whose time may be virtual."""
    global _worker_app  # noqa: PLW0603 - a worker has one app
    import torch

    torch.set_num_threads(1)
    replaced_time().__enter__()
    _identify(run_id)
    _worker_app = app.load_client_app()


def _answer(call: Call) -> Reply:
    assert _worker_app is not None  # noqa: S101
    return answer(_worker_app, call)


def _identify(run_id: int) -> None:
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, run_id, 1


class _Actor:
    """A worker on a Ray cluster."""

    def __init__(self, app: FlowerApp, run_id: int) -> None:
        _begin(app, run_id)

    def answer(self, call: Call) -> Reply:
        return _answer(call)


class OnRay:
    """Calls in actors on a Ray cluster, which can all read the app's folder."""

    def __init__(self, app: FlowerApp, spec: Ray, run_id: int) -> None:
        self._ray: Any = import_ray()
        self._app, self._spec, self._run_id = app, spec, run_id
        self._actors: list[Any] = []
        self._is_ours = False
        self.why = "the scenario asks for Ray"

    def answers(self, calls: Sequence[Call]) -> list[Reply]:
        ray = self._ray
        if not self._actors:
            self._start()
        for _ in range(_TRIES):
            try:
                actors = self._actors
                asked = [
                    actors[place % len(actors)].answer.remote(call) for place, call in enumerate(calls)
                ]
                return list(ray.get(asked))
            except ray.exceptions.RayActorError as error:
                lost = error
                self._end_actors()
                self._start()
        raise RunError(f"executor ray: actors died {_TRIES} times over the same messages: {lost}")

    def _start(self) -> None:
        workers = self._spec.workers or os.cpu_count() or 1
        self._is_ours = connect(self._ray, self._spec.address, self._spec.workers) or self._is_ours
        actor = self._ray.remote(num_cpus=1)(_Actor)
        self._actors = [actor.remote(self._app, self._run_id) for _ in range(workers)]

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
def build_answering(spec: Executor, app: FlowerApp, run_id: int) -> Answering:
    """Return who runs the ClientApps of an app."""
    raise TypeError(f"no executor for ClientApps: {type(spec).__name__}")


@build_answering.register(Auto)
@build_answering.register(Serial)
def _(spec: Executor, app: FlowerApp, run_id: int) -> Answering:
    return InProcess(app.load_client_app())


@build_answering.register
def _(spec: Processes, app: FlowerApp, run_id: int) -> Answering:
    _check_loads(app)
    return InProcesses(app, spec.workers, run_id)


@build_answering.register
def _(spec: Ray, app: FlowerApp, run_id: int) -> Answering:
    _check_loads(app)
    return OnRay(app, spec, run_id)


def _check_loads(app: FlowerApp) -> None:
    """Load the app here, too: an error says more than that of a worker which does not start."""
    app.load_client_app()
