"""The ray executor: the serial executor's bits, whatever becomes of its actors and their nodes."""

import gc
import itertools
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import ray

from flsim.errors import RunError
from flsim.learn.executors.build import build_executor
from flsim.learn.executors.executor import Job, Recipe
from flsim.learn.executors.rays import RayExecutor, check_reachable, connect
from flsim.scenario.executor import Ray
from tests.executors import as_serial, jobs, recipe


@pytest.fixture(scope="module")
def of() -> Recipe:
    return recipe()


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A local cluster that the test has, not an executor; so two executors find place in it."""
    on_sigterm = signal.getsignal(signal.SIGTERM)
    assert connect(ray, None, cpus=4)
    assert signal.getsignal(signal.SIGTERM) is on_sigterm  # Ray would end the process, records and all
    yield
    assert ray.is_initialized()
    ray.shutdown()


@pytest.fixture(scope="module")
def executor(cluster: None, of: Recipe) -> Iterator[RayExecutor]:
    """Two actors, which most tests share."""
    made = RayExecutor(of, workers=2)
    yield made
    made.close()


@pytest.mark.parametrize("count", [0, 1, 2, 3, 25])
@pytest.mark.parametrize("versions", [1, 3])
def test_the_bits_are_those_of_the_serial_executor(
    executor: RayExecutor, of: Recipe, count: int, versions: int
) -> None:
    """Fewer tasks than actors and more, ragged clients and empty ones."""
    assert as_serial(executor, of, jobs(of, count, versions))


def test_every_task_has_the_shift_of_its_objective(cluster: None) -> None:
    shifting = recipe(objective={"kind": "scaffold"})
    executor = RayExecutor(shifting, workers=1)
    try:
        assert as_serial(executor, shifting, jobs(shifting, 12, versions=2))
    finally:
        executor.close()


@pytest.mark.slow
def test_a_second_recipe_of_a_run_needs_no_core_of_its_own(cluster: None, of: Recipe) -> None:
    """The first one's actors hold every core that there is."""
    first = RayExecutor(of, workers=4)
    second = RayExecutor(replace(of, takes_turns=True, purpose="other"), workers=1)
    for made in (first, second):
        assert len(made.train(jobs(of, 4))) == 4
    for made in (first, second):
        made.close()


def test_a_version_is_put_once_and_dropped_with_its_tensor(executor: RayExecutor, of: Recipe) -> None:
    work = jobs(of, 8, versions=2)
    executor.train(work)
    references = {id(job.base): executor._reference(job.base) for job in work}
    executor.train(work)
    assert {id(job.base): executor._reference(job.base) for job in work} == references
    del work
    gc.collect()
    assert len(executor._bases) == 0


def test_an_error_in_an_actor_is_raised_here_and_others_go_on(executor: RayExecutor, of: Recipe) -> None:
    other = RayExecutor(of, workers=1)
    (job,) = jobs(of, 1)
    with pytest.raises(IndexError):
        other.train([Job(job.task._replace(client=99), job.base)])
    assert other._idle == []
    assert as_serial(executor, of, [job])
    assert as_serial(other, of, [job])
    other.close()
    other.close()


def at_wait(monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[RayExecutor], None]) -> None:
    """Have `act` done as the executor waits for work for that many times."""
    done, calls = RayExecutor._done, itertools.count(1)

    def act_then_wait(self: RayExecutor) -> list[Any]:
        if next(calls) == number:
            act(self)
        return done(self)

    monkeypatch.setattr(RayExecutor, "_done", act_then_wait)


@pytest.mark.slow
def test_an_actor_killed_in_the_middle_changes_nothing(
    executor: RayExecutor, of: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor.train(jobs(of, 4))
    killed: list[Any] = []

    def kill(self: RayExecutor) -> None:
        ((actor, piece),) = self._busy.values()
        assert piece
        killed.append(actor)
        ray.kill(actor)

    slow = recipe(sizes=[50] * 8, epochs=100)
    other = RayExecutor(slow, workers=1)
    other.train(jobs(slow, 1))
    at_wait(monkeypatch, 2, kill)
    assert as_serial(other, slow, jobs(slow, 8, versions=2))
    assert killed
    assert other._idle != killed
    other.close()


def test_work_that_always_loses_its_actor_ends_the_run(
    executor: RayExecutor, of: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert as_serial(executor, of, jobs(of, 1))
    monkeypatch.setattr("flsim.learn.executors.rays._TRIES", 1)
    endless = replace(of, training=recipe(epochs=1_000_000).training)
    other = RayExecutor(endless, workers=1)
    other.train(jobs(of, 2)[1:])  # a client without samples
    at_wait(monkeypatch, 1, lambda self: ray.kill(next(iter(self._busy.values()))[0]))
    with pytest.raises(RunError, match=r"1 workers were lost .* over the same work; Ray says"):
        other.train(jobs(of, 4))


def test_without_ray_the_error_names_the_extra(of: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RunError, match=r"pip install 'flsim-des\[ray\]'"):
        build_executor(Ray(workers=1), of)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1:99999"])
def test_an_address_where_nobody_listens(address: str) -> None:
    with pytest.raises(RunError, match=f"no Ray cluster at {address}: "):
        check_reachable(address)


def test_a_scenario_asks_for_it(of: Recipe) -> None:
    built = build_executor(Ray(address="ray.example:6379", workers=3), of)
    assert isinstance(built, RayExecutor)
    assert (built._address, built._workers) == ("ray.example:6379", 3)
    built.close()
    built.close()
