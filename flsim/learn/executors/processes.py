"""The processes executor: one serial executor in each of several worker processes.

Samples, base weights and updates lie in memory that all processes share; pipes carry ids and losses.
Which worker trains which task makes no difference to the bits.
"""

import os
import signal
import traceback
import weakref
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TypeAlias

import torch
from torch import Tensor

from flsim.children import PROCESSES, starting
from flsim.errors import RunError
from flsim.learn.executors.executor import Job, Recipe, Trained
from flsim.learn.executors.serial import SerialExecutor
from flsim.tasks import Task

_AHEAD = 2  # tasks that a worker has at once, so that it need not wait for the next
_TRIES = 2
_END_S = 5.0

Reply: TypeAlias = tuple[float, ...] | Exception  # a task's losses, or what its training raised


class ProcessesExecutor:
    """Hands tasks to worker processes one by one, those with the most samples first.

    Workers start with the first tasks. The tasks of one that dies run again in a new one, once.
    """

    def __init__(self, recipe: Recipe, workers: int | None = None) -> None:
        """`workers`: at most so many; None is one for each core."""
        self._recipe = recipe
        self._most = min(workers or os.cpu_count() or 1, len(recipe.data.sizes))
        self._memory: _Memory | None = None
        self._workers: list[_Worker] = []

    def train(self, jobs: Sequence[Job]) -> list[Trained]:
        try:
            return self._train(jobs)
        except BaseException:
            self.close()  # what the workers still have in hand is nobody's any more
            raise

    def close(self) -> None:
        for worker in self._workers:
            worker.end()
        self._workers = []
        self._memory = None

    def _train(self, jobs: Sequence[Job]) -> list[Trained]:
        memory = self._start(min(self._most, len(jobs)))
        todo = deque(sorted(range(len(jobs)), key=lambda number: -jobs[number].task.samples))
        trained: dict[int, Trained] = {}
        losses: Counter[int] = Counter()
        while len(trained) < len(jobs):
            self._hand_out(jobs, todo, memory)
            for worker in self._ready():
                try:
                    reply = worker.reply()
                except (EOFError, OSError):
                    lost = self._replace(worker, memory)
                    losses.update(lost)
                    _check_tries(jobs, losses, worker)
                    todo.extendleft(reversed(lost))
                else:
                    number, result = worker.take(reply, memory)
                    trained[number] = result
        return [trained[number] for number in range(len(jobs))]

    def _hand_out(self, jobs: Sequence[Job], todo: deque[int], memory: "_Memory") -> None:
        for had in range(_AHEAD):
            for worker in self._workers:
                if todo and worker.tasks == had:
                    number = todo.popleft()
                    worker.give(number, jobs[number], memory)

    def _ready(self) -> "list[_Worker]":
        """Wait until a worker has something to say, or has gone; return which."""
        at = {worker.pipe: worker for worker in self._workers if worker.tasks}
        return [at[pipe] for pipe in wait(list(at)) if isinstance(pipe, Connection)]

    def _replace(self, dead: "_Worker", memory: "_Memory") -> list[int]:
        """Put a new worker in the place of a dead one; return the numbers of the jobs that it had."""
        dead.end(_END_S)  # by itself, so that its exit code says why
        place = self._workers.index(dead)
        self._workers[place] = self._new_worker(place, memory)
        return dead.lost(memory)

    def _start(self, workers: int) -> "_Memory":
        if self._memory is None:
            for samples in self._recipe.data.flat:
                _share(samples)
            self._memory = _Memory(_AHEAD * self._most, self._recipe.layout.parameters)
        while len(self._workers) < workers:
            self._workers.append(self._new_worker(len(self._workers), self._memory))
        return self._memory

    def _new_worker(self, place: int, memory: "_Memory") -> "_Worker":
        rows = range(_AHEAD * place, _AHEAD * (place + 1))
        return _Worker(self._recipe, memory, rows)


def _check_tries(jobs: Sequence[Job], losses: Counter[int], dead: "_Worker") -> None:
    for number, times in losses.items():
        if times >= _TRIES:
            task = jobs[number].task
            raise RunError(
                f"executor processes: {times} workers died one after the other over task {task.id} of "
                f"client {task.client}, the last with exit code {dead.exit_code}; "
                "-9 is most often a lack of memory: give executor.workers a smaller number"
            )


def _share(tensor: Tensor) -> Tensor:
    """Move a tensor to shared memory, where it stays until no process has it any more."""
    try:
        return tensor.share_memory_()  # type: ignore[no-any-return, no-untyped-call]
    except RuntimeError as error:
        raise RunError(
            f"executor processes: no shared memory of {tensor.nbytes:,} bytes: {error}; "
            "a container may need a larger one, such as docker run --shm-size=2g"
        ) from error


class _Memory:
    """What all processes share: for every task in hand a row of base weights, and one for its update.

    Before it is trained, the row of the update holds the objective's shift, if there is one.
    """

    def __init__(self, rows: int, parameters: int) -> None:
        self.bases = _share(torch.zeros(rows, parameters))
        self.updates = _share(torch.zeros(rows, parameters))
        self._holds: list[Callable[[], Tensor | None]] = [lambda: None] * rows
        self._users = [0] * rows
        self._oldest_first = list(range(rows))

    def take_base(self, base: Tensor) -> int:
        """Return the row that holds `base`, and keep it there until it is given back.

        A version is copied once, as long as there are no more versions in use than rows.
        """
        row = next((row for row in self._oldest_first if self._holds[row]() is base), None)
        if row is None:
            row = next(row for row in self._oldest_first if self._users[row] == 0)
            self.bases[row] = base
            self._holds[row] = weakref.ref(base)
        self._users[row] += 1
        self._oldest_first.remove(row)
        self._oldest_first.append(row)
        return row

    def give_back(self, row: int) -> None:
        """Take note that a task no longer needs the base in `row`."""
        self._users[row] -= 1


class _Worker:
    """A worker process, seen from the parent: the tasks that it has, in their order."""

    def __init__(self, recipe: Recipe, memory: _Memory, rows: Sequence[int]) -> None:
        """`rows`: where in the memory's updates this worker writes."""
        self.pipe, theirs = PROCESSES.Pipe()
        self._free = list(rows)
        self._has: deque[tuple[int, int, int]] = deque()  # number of the job, rows of base and update
        self._process: BaseProcess = PROCESSES.Process(
            target=_work, args=(theirs, recipe, memory.bases, memory.updates), daemon=True
        )
        with starting(__name__):
            self._process.start()
        theirs.close()  # so that the pipe ends when the worker does

    @property
    def tasks(self) -> int:
        """How many tasks it has."""
        return len(self._has)

    def give(self, number: int, job: Job, memory: _Memory) -> None:
        base, row = memory.take_base(job.base), self._free.pop()
        if job.shift is not None:
            memory.updates[row] = job.shift
        self._has.append((number, base, row))
        with suppress(ConnectionError):  # a worker that died is noticed by whoever waits for it
            self.pipe.send((job.task, base, row))

    def reply(self) -> Reply:
        """Wait for what it says next. Raises EOFError or OSError if it has died."""
        reply: Reply = self.pipe.recv()
        return reply

    def take(self, reply: Reply, memory: _Memory) -> tuple[int, Trained]:
        """Return the number of the job that is done, and what it gave. Raises what its training raised."""
        if isinstance(reply, Exception):
            raise reply
        number, base, row = self._has.popleft()
        memory.give_back(base)
        self._free.append(row)
        return number, Trained(memory.updates[row].clone(), reply)

    def lost(self, memory: _Memory) -> list[int]:
        """Return the numbers of the jobs that it has not done."""
        for _, base, _ in self._has:
            memory.give_back(base)
        return [number for number, _, _ in self._has]

    @property
    def exit_code(self) -> int | None:
        """The exit code of the process, once it has ended."""
        return self._process.exitcode

    def end(self, within_s: float = 0.0) -> None:
        """End the process, whatever it is doing; at once, or unless it ends by itself within that time."""
        self.pipe.close()
        self._process.join(within_s)
        self._process.terminate()
        self._process.join(_END_S)


def _work(pipe: Connection, recipe: Recipe, bases: Tensor, updates: Tensor) -> None:
    """Train what comes through the pipe, until the parent closes it or goes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # somebody else may have started the fork server
    torch.set_num_threads(1)
    executor = SerialExecutor(recipe)
    shifts = recipe.training.objective.shifts
    message: tuple[Task, int, int]
    with suppress(EOFError, ConnectionError):
        while message := pipe.recv():
            task, base, row = message
            try:
                job = Job(task, bases[base], updates[row].clone() if shifts else None)
                trained = executor.train([job])[0]
            except Exception as error:
                error.add_note(f"In a worker process:\n{traceback.format_exc()}")
                pipe.send(error)
            else:
                updates[row] = trained.update
                pipe.send(trained.losses)
