"""Mutants on trial: tests run on each, in a process of its own, until one fails.

pytest collects once. Every mutant then has a fork of that process, in which the code of one function is
exchanged and the tests run that reach its line, the quickest first; which those are is measured before, on
the code as it stands. A mutant is killed by a test that fails, or by more CPU time than the tests can need.
"""

import gc
import importlib
import inspect
import itertools
import json
import os
import random
import resource
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any

import pytest
from _pytest.runner import runtestprotocol
from hypothesis import HealthCheck, Phase, settings

from tests.mutation.operators import Mutant, mutants_of
from tests.mutation.scope import ROOT, Group, files_of, module_name

EXAMPLES, STEPS = 12, 30
LONGEST_S = 1.0  # a test that takes longer, measured and all, is left out
RETRY_S = 0.05  # until it is ended, where it was importing
BUDGET_S = 3  # of tests for a mutant, in CPU time on the code as it stands
FREE_CPU_S, ROOM_BYTES = 8, 4 << 30
NOT_TRIED = 3  # the status of a fork whose mutant could not be put in place
KILLED, SURVIVED, UNREACHED = "killed", "survived", "unreached"

Functions = dict[tuple[str, str, int], list[FunctionType]]  # by file, qualified name and line

settings.register_profile(
    "mutation",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=EXAMPLES,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@dataclass
class Baseline:
    """What the tests do to the code as it stands."""

    seconds: dict[str, float] = field(default_factory=dict)  # CPU time by test
    reached: dict[str, list[tuple[str, int]]] = field(default_factory=dict)  # modules and lines by test
    failed: list[str] = field(default_factory=list)


class Trial:
    """A pytest plugin that runs the collected tests on mutants instead of once."""

    def __init__(
        self, groups: dict[str, Group], sample: int | None, seed: int, only: str, jobs: int, tells: bool
    ) -> None:
        self._groups, self._sample, self._seed = groups, sample, seed
        self._only, self._jobs, self._tells = only, jobs, tells
        self._files = {
            str(file): module_name(file) for group in groups.values() for file in files_of(group)
        }
        self.outcomes: dict[str, list[tuple[Mutant, str]]] = {}
        self.candidates: dict[str, int] = {}
        self.baseline = Baseline()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            _fewer_examples(item)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            raise session.Interrupted("the tests cannot be collected")
        items = {item.nodeid: item for item in session.items}
        self.baseline = Baseline(**_forked_answer(lambda: _baseline(items, self._files)))
        if self.baseline.failed:
            raise session.Interrupted(f"tests fail as it is: {', '.join(self.baseline.failed)}")
        if self._tells:
            spent = sum(self.baseline.seconds.values())
            print(f"{len(items)} tests, {spent:.0f} s of CPU time", file=sys.stderr, flush=True)
        functions = _functions_by_place(set(self._files))
        for name, group in self._groups.items():
            files = {(ROOT / "tests" / test) for test in group.tests}
            mine = {test: item for test, item in items.items() if item.path in files}
            self.outcomes[name] = self._tried(self._chosen(name, group), mine, functions)
        return True

    def _chosen(self, name: str, group: Group) -> list[Mutant]:
        """The mutants to try: all, or a sample that depends on the seed alone."""
        mutants = [
            mutant
            for file in files_of(group)
            for mutant in mutants_of(module_name(file), file.read_text(encoding="utf-8"))
            if self._only in mutant.id
        ]
        self.candidates[name] = len(mutants)
        if self._sample is None or self._sample >= len(mutants):
            return mutants
        places = sorted(random.Random(self._seed).sample(range(len(mutants)), self._sample))
        return [mutants[place] for place in places]

    def _tried(
        self, mutants: Sequence[Mutant], items: dict[str, pytest.Item], functions: Functions
    ) -> list[tuple[Mutant, str]]:
        """Try the mutants with these tests, some at a time; return what became of each."""
        seconds = self.baseline.seconds
        reached = self._reached(items)
        outcomes: dict[int, str] = {}
        running: dict[int, int] = {}
        for place, mutant in enumerate(mutants):
            tests = {test for line in mutant.lines for test in reached.get((mutant.module, line), [])}
            if not tests:
                outcomes[place] = UNREACHED
                continue
            if len(running) == self._jobs:
                self._reap(running, outcomes, mutants)
            ordered = self._affordable(tests)
            limit_s = FREE_CPU_S + 3 * sum(seconds[test] for test in ordered)
            pid = _fork()
            if pid == 0:
                _trial(mutant, functions, [items[test] for test in ordered], limit_s)
            running[pid] = place
        while running:
            self._reap(running, outcomes, mutants)
        return [(mutant, outcomes[place]) for place, mutant in enumerate(mutants)]

    def _reap(self, running: dict[int, int], outcomes: dict[int, str], mutants: Sequence[Mutant]) -> None:
        """Wait for one of the forks, and note what became of its mutant."""
        pid, status = os.wait()
        if os.waitstatus_to_exitcode(status) == NOT_TRIED:
            raise RuntimeError("a mutant could not be put in place")
        place = running.pop(pid)
        outcomes[place] = SURVIVED if status == 0 else KILLED
        if self._tells and status == 0:
            print(f"survived: {mutants[place].id}", file=sys.stderr, flush=True)

    def _affordable(self, tests: Iterable[str]) -> list[str]:
        """The quickest of these tests, as many as the budget allows and one at least."""
        ordered = sorted(tests, key=lambda test: (self.baseline.seconds[test], test))
        spent = itertools.accumulate(self.baseline.seconds[test] for test in ordered)
        return ordered[:1] + [
            test for test, sum_s in zip(ordered[1:], list(spent)[1:], strict=True) if sum_s <= BUDGET_S
        ]

    def _reached(self, tests: Iterable[str]) -> dict[tuple[str, int], list[str]]:
        """Which of these tests reach a module's line."""
        reached: dict[tuple[str, int], list[str]] = {}
        for test in tests:
            for module, line in self.baseline.reached[test]:
                reached.setdefault((module, line), []).append(test)
        return reached


def _fork() -> int:
    sys.stdout.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that of a fork with threads: they do nothing here
        pid = os.fork()
    if pid == 0:
        gc.freeze()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nowhere, descriptor)
    return pid


def _trial(mutant: Mutant, functions: Functions, items: list[pytest.Item], limit_s: float) -> None:
    """Run the tests on the mutant, in the fork; never returns. Leaves with 0 if none of them fails."""
    status = NOT_TRIED
    try:
        _confine(limit_s)
        _put(mutant, functions)
        status = 1
        status = 0 if all(_passes(item) for item in items) else 1
    finally:
        os._exit(status)


def _confine(limit_s: float) -> None:
    seconds = int(limit_s)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 2))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(20 * seconds)  # a lock that is never released costs no CPU time
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = pages * resource.getpagesize() + ROOM_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _put(mutant: Mutant, functions: Functions) -> None:
    """Exchange the code of the mutant's function wherever a function has it."""
    file = inspect.getfile(importlib.import_module(mutant.module))
    place = (file, mutant.function, mutant.first_line)
    (code,) = (
        code
        for code in _codes(compile(mutant.mutated(), file, "exec", dont_inherit=True))
        if (code.co_filename, code.co_qualname, code.co_firstlineno) == place
    )
    for function in functions[place]:
        function.__code__ = code


def _codes(code: CodeType) -> list[CodeType]:
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return [code, *(deeper for one in inner for deeper in _codes(one))]


def _functions_by_place(files: set[str]) -> Functions:
    """All functions that there are of these files, by file, name and line."""
    found: Functions = {}
    for thing in gc.get_objects():
        if type(thing) is FunctionType and thing.__code__.co_filename in files:
            code = thing.__code__
            found.setdefault((code.co_filename, code.co_qualname, code.co_firstlineno), []).append(thing)
    return found


def _passes(item: pytest.Item) -> bool:
    return not any(report.failed for report in runtestprotocol(item, log=False, nextitem=None))


def _too_long(_: int, frame: FrameType | None) -> None:
    """End the test; but not amid an import: a module that is half there would fail the tests after it."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            signal.setitimer(signal.ITIMER_VIRTUAL, RETRY_S)
            return
        frame = frame.f_back
    raise TimeoutError("a test that is too long to run on every mutant")


def _baseline(items: dict[str, pytest.Item], modules: dict[str, str]) -> dict[str, Any]:
    """Run all tests once; return their CPU times, the lines that each reaches, and which fail.

    A test that takes too long is ended, and counts as one that reaches nothing.
    """
    seconds: dict[str, float] = {}
    reached: dict[str, list[tuple[str, int]]] = {}
    failed: list[str] = []
    signal.signal(signal.SIGVTALRM, _too_long)
    for test, item in items.items():
        lines: set[tuple[str, int]] = set()

        def local(frame: FrameType, event: str, _: Any, lines: set[tuple[str, int]] = lines) -> Any:
            lines.add((frame.f_code.co_filename, frame.f_lineno))
            return local

        def entered(frame: FrameType, event: str, _: Any, local: Any = local) -> Any:
            return local if frame.f_code.co_filename in modules else None

        start = time.process_time()
        signal.setitimer(signal.ITIMER_VIRTUAL, LONGEST_S)
        sys.settrace(entered)
        passed = _passes(item)
        sys.settrace(None)
        too_long = signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        if too_long:
            lines.clear()
        seconds[test] = time.process_time() - start
        if not passed and not too_long:
            failed.append(test)
        reached[test] = sorted((modules[file], line) for file, line in lines)
    return {"seconds": seconds, "reached": reached, "failed": failed}


def _forked_answer(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Do something in a fork, so that this process stays as it is; return its answer."""
    reading, writing = os.pipe()
    pid = _fork()
    if pid == 0:
        status = 1
        try:
            os.close(reading)
            with os.fdopen(writing, "w", encoding="utf-8") as pipe:
                json.dump(work(), pipe)
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(pid, 0)
    if status:
        raise RuntimeError(f"the tests ended their process: status {status}")
    loaded: dict[str, Any] = json.loads(answer)
    return loaded


def _fewer_examples(item: pytest.Item) -> None:
    """Draw few examples, and do not shrink: that a test fails is all that is asked."""
    profile = settings.get_profile("mutation")
    test = getattr(item, "obj", None)
    test = getattr(test, "__func__", test)
    case = getattr(item, "cls", None)
    if isinstance(getattr(case, "settings", None), settings):
        steps = min(STEPS, case.settings.stateful_step_count)
        examples = min(EXAMPLES, case.settings.max_examples)
        case.settings = settings(profile, max_examples=examples, stateful_step_count=steps)
    elif hasattr(test, "hypothesis"):
        mine = test._hypothesis_internal_use_settings
        test._hypothesis_internal_use_settings = settings(
            profile, max_examples=min(EXAMPLES, mine.max_examples)
        )
