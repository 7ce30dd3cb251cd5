"""The ray executor: serial executors in actors on a Ray cluster."""

import os
import signal
import socket
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from flsim.errors import RunError
from flsim.learn.executors.executor import Job, Recipe, Trained
from flsim.learn.executors.serial import SerialExecutor
from flsim.tasks import Task

_PIECES = 4  # for each worker and call: enough to even out uneven clients
_TRIES = 5
_PLACE_S = 300  # a cluster may have to start a machine first
_CONNECT_S = 10.0
_NAMESPACE = "flsim"

Piece: TypeAlias = tuple[int, ...]  # the numbers of the jobs that one call of an actor trains


def import_ray() -> Any:
    """Return the module ray. Raises RunError where it is not installed."""
    # Nothing that a simulation does on its own machine is anybody else's business.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise RunError("this needs the package ray: pip install 'flsim-des[ray]'") from error
    return ray


def connect(ray: Any, address: str | None, cpus: int | None) -> bool:
    """Connect to the cluster at `address`, or start a local one of so many cores, unless connected.

    Return whether this made the connection, and so has to end it. Raises RunError.
    """
    if ray.is_initialized():
        return False
    if address:
        check_reachable(address)
    where = {"address": address} if address else {"address": "local", "num_cpus": cpus}
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # or Ray warns that it will be so
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            **where,
            namespace=_NAMESPACE,
            include_dashboard=None if address else False,
            logging_level="error",
            log_to_driver=False,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        what = f"no Ray cluster at {address}" if address else "Ray does not start on this machine"
        raise RunError(f"{what}: {error}") from error
    finally:
        with suppress(ValueError):  # outside the main thread, where Ray cannot have changed it
            signal.signal(signal.SIGTERM, before)  # how a run ends is not for Ray to say
    return True


def check_reachable(address: str) -> None:
    """Raise RunError if nobody listens at "host:port". Ray itself would try for two minutes."""
    host, _, port = address.rpartition(":")
    if "://" in address or not (host and port.isdigit()):
        return  # in a form that only Ray can read
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise RunError(f"no Ray cluster at {address}: {error}") from error


class RayExecutor:
    """Hands pieces of work to actors as they come free, those with the most samples first.

    A model version is put into Ray's object store once, and is dropped there when nobody has it here;
    every actor holds the clients' samples. The work of an actor that is lost, alone or with its node,
    is done by the others and by a new one, for which Ray finds a place as soon as there is one.
    """

    def __init__(self, recipe: Recipe, address: str | None = None, workers: int | None = None) -> None:
        """`address`: a cluster's, or None to start one here; `workers`: None is one for each core."""
        self._ray = import_ray()
        self._recipe = recipe
        self._address = address
        self._workers = workers
        self._is_open = self._is_ours = False
        self._idle: list[Any] = []
        self._busy: dict[Any, tuple[Any, Piece]] = {}  # by the reference to its result: actor and piece
        self._bases = WeakTensorKeyDictionary()  # references to versions, by the tensor
        self._shared_recipe: Any = None  # a reference, too

    def train(self, jobs: Sequence[Job]) -> list[Trained]:
        if not jobs:
            return []
        try:
            return self._train(jobs)
        except BaseException:
            self.close()  # what the actors still have in hand is nobody's any more
            raise

    def close(self) -> None:
        if not self._is_open:
            return
        self._is_open = False
        if self._ray.is_initialized():  # or else everything has gone with the connection
            for actor in [*self._idle, *(actor for actor, _ in self._busy.values())]:
                self._ray.kill(actor)
        self._idle, self._busy = [], {}
        self._bases = WeakTensorKeyDictionary()
        self._shared_recipe = None
        if self._is_ours:
            self._ray.shutdown()

    def _train(self, jobs: Sequence[Job]) -> list[Trained]:
        if not self._is_open:
            self._open()
        todo = deque(self._pieces(jobs))
        trained: dict[int, Trained] = {}
        losses: Counter[Piece] = Counter()
        while len(trained) < len(jobs):
            while todo and self._idle:
                self._give(self._idle.pop(), todo.popleft(), jobs)
            for result in self._done():
                actor, piece = self._busy.pop(result)
                try:
                    trained.update(zip(piece, self._fetched(result), strict=True))
                    self._idle.append(actor)
                except self._ray.exceptions.RayError as error:
                    losses[piece] += 1
                    self._check(losses, piece, error)
                    self._ray.kill(actor)  # it may only be out of reach
                    self._add_actor()
                    if piece:
                        todo.appendleft(piece)
        return [trained[number] for number in range(len(jobs))]

    def _done(self) -> list[Any]:
        """Wait for a piece to be done or lost; return its reference. Raises RunError if none is begun."""
        done: list[Any] = []
        while not done:
            done = self._ray.wait(list(self._busy), timeout=_PLACE_S)[0]
            if not done and not any(piece for _, piece in self._busy.values()):
                raise RunError(
                    f"executor ray: the cluster had no free core for a worker in {_PLACE_S} s; "
                    "end what else runs there"
                )
        return done

    def _open(self) -> None:
        self._is_ours = connect(self._ray, self._address, self._workers)
        self._is_open = True
        cores = int(self._ray.cluster_resources().get("CPU", 1))
        self._count = max(1, min(self._workers or cores, len(self._recipe.data.sizes)))
        # It would wait for ever for a core that the other recipe's actors have.
        each = 0 if self._recipe.takes_turns else 1
        self._actor = self._ray.remote(num_cpus=each, scheduling_strategy="SPREAD")(_Worker)
        self._shared_recipe = self._ray.put(self._recipe)
        for _ in range(self._count):
            self._add_actor()

    def _add_actor(self) -> None:
        """Start an actor. It gets no work before it has done an empty piece: it may wait for a place."""
        self._give(self._actor.remote(self._shared_recipe), (), ())

    def _pieces(self, jobs: Sequence[Job]) -> list[Piece]:
        largest_first = sorted(range(len(jobs)), key=lambda number: -jobs[number].task.samples)
        size = -(-len(jobs) // (_PIECES * self._count))
        return [tuple(largest_first[i : i + size]) for i in range(0, len(jobs), size)]

    def _give(self, actor: Any, piece: Piece, jobs: Sequence[Job]) -> None:
        bases = list({id(jobs[number].base): jobs[number].base for number in piece}.values())
        rows = {id(base): row for row, base in enumerate(bases)}
        tasks = [(jobs[number].task, rows[id(jobs[number].base)]) for number in piece]
        shifts = [shift.numpy() for number in piece if (shift := jobs[number].shift) is not None]
        result = actor.train.remote(tasks, shifts, *(self._reference(base) for base in bases))
        self._busy[result] = actor, piece

    def _reference(self, base: Tensor) -> Any:
        """Return the reference to a version in the object store."""
        if base not in self._bases:
            self._bases[base] = self._ray.put(base.numpy())
        return self._bases[base]

    def _fetched(self, result: Any) -> list[Trained]:
        """Return what a piece gave. Raises what its training raised, or RayError if there is no result."""
        try:
            losses, updates = self._ray.get(result)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause or error from error
        return [Trained(*pair) for pair in zip(torch.tensor(updates), losses, strict=True)]

    def _check(self, losses: Counter[Piece], piece: Piece, error: Exception) -> None:
        tries = _TRIES if piece else _TRIES * self._count
        if losses[piece] >= tries:
            raise RunError(
                f"executor ray: {tries} workers were lost one after the other over the same work; "
                f"Ray says: {error}"
            ) from error


class _Worker:
    """The actor: a serial executor."""

    def __init__(self, recipe: Recipe) -> None:
        torch.set_num_threads(1)
        self._parameters = recipe.layout.parameters
        self._executor = SerialExecutor(recipe)

    def train(
        self,
        tasks: Sequence[tuple[Task, int]],
        shifts: Sequence[NDArray[np.float32]],
        *bases: NDArray[np.float32],
    ) -> tuple[list[tuple[float, ...]], NDArray[np.float32]]:
        """Return losses and updates [tasks, parameters]; a task comes with the place of its base.

        `shifts`: one for each task, if the objective has them.
        """
        # Copies: Ray's own cannot be written to.
        versions = [torch.from_numpy(base.copy()) for base in bases]
        own: list[torch.Tensor | None] = [torch.from_numpy(shift.copy()) for shift in shifts]
        own = own or [None] * len(tasks)
        jobs = [Job(task, versions[place], shift) for (task, place), shift in zip(tasks, own, strict=True)]
        trained = self._executor.train(jobs)
        updates = np.zeros((len(tasks), self._parameters), np.float32)
        for row, result in zip(updates, trained, strict=True):
            row[:] = result.update.numpy()
        return [result.losses for result in trained], updates
