"""Who runs ClientApps: flsim's own process, worker processes, or actors on a Ray cluster."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from typing import Any, Protocol

from flsim.children import PROCESSES, starting
from flsim.flower.answering import Call, Reply, answer
from flsim.flower.generators import apps_draws_apart
from flsim.flower.loading import Source
from flsim.flower.worker import answer_all, begin
from flsim.flower.workers import PRELOADED, workers
from flsim.from_flower import ClientApp, Error, ErrorCode, Message
from flsim.learn.executors.rays import connect, import_ray
from flsim.scenario import Scenario
from flsim.scenario.executor import Auto, Ray

_MOST_PARTS = 32  # a worker needs a message for each


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
        with apps_draws_apart():
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
    return Reply.of(Message(error, reply_to=call.message), None, None, 0.0)


class InProcesses(Elsewhere):
    """Calls in worker processes, one thread each. They start at once."""

    def __init__(self, source: Source, workers: int, why: str) -> None:
        self._source, self._workers = source, workers
        self._pool: ProcessPoolExecutor | None = None
        self.why = why
        self._start()

    def _lived(self, calls: Mapping[int, Call]) -> dict[int, Reply]:
        replies: dict[int, Reply] = {}
        parts = list(_parts(list(calls), self._workers))
        try:
            pool = self._start() if self._pool is None else self._pool
            futures = [pool.submit(answer_all, [calls[place] for place in part]) for part in parts]
            for part, future in zip(parts, futures, strict=True):
                replies |= zip(part, future.result(), strict=True)
        except BrokenProcessPool:  # all that it had not done is lost
            self.close()
        return replies

    def _start(self) -> ProcessPoolExecutor:
        with starting(PRELOADED):
            pool = ProcessPoolExecutor(self._workers, PROCESSES, begin, (self._source,))
            for _ in range(self._workers):  # a call that finds no worker idle starts one
                pool.submit(answer_all, ())
        self._pool = pool
        return pool

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None


def _parts(places: Sequence[int], workers: int) -> Iterator[Sequence[int]]:
    """Yield what workers take one after the other: ever less, so that they end together.

    Polychronopoulos & Kuck, "Guided self-scheduling", 1987, with half a worker's share at a time.
    """
    first, fewest = 0, -(-len(places) // _MOST_PARTS)
    while first < len(places):
        size = max(fewest, (len(places) - first) // (2 * workers))
        yield places[first : first + size]
        first += size


class _Actor:
    """A worker on a Ray cluster."""

    def __init__(self, source: Source) -> None:
        begin(source)

    def answer(self, call: Call) -> Reply:
        [reply] = answer_all([call])
        return reply


class OnRay(Elsewhere):
    """Calls in actors on a Ray cluster, which can all read the app's folder."""

    why = "the scenario asks for Ray"

    def __init__(self, source: Source, spec: Ray) -> None:
        self._ray: Any = import_ray()
        self._source, self._spec = source, spec
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
        self._actors = [actor.remote(self._source) for _ in range(workers)]

    def _end_actors(self) -> None:
        for actor in self._actors:
            self._ray.kill(actor)
        self._actors = []

    def close(self) -> None:
        if self._ray.is_initialized():
            self._end_actors()
            if self._is_ours:
                self._ray.shutdown()


def build_answering(scenario: Scenario, source: Source) -> Answering:
    """Return who runs the ClientApps of an app. Raises ScenarioError if there is no ClientApp to load."""
    app = source.load_client_app()  # an error here says more than that of a worker which does not start
    if isinstance(scenario.executor, Ray):
        return OnRay(source, scenario.executor)
    if count := workers(scenario):
        why = "a worker for every core" if isinstance(scenario.executor, Auto) else "as the scenario asks"
        return InProcesses(source, count, f"ClientApps run in {count} worker processes: {why}")
    return InProcess(app)
