"""A Ray cluster of two nodes, one of which is lost in the middle of a run."""

import itertools
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster

from flsim.learn.executors.rays import RayExecutor
from flsim.sim.world import simulate
from tests.executors import jobs
from tests.memory import MemoryJournal
from tests.tiny import scenario_data, tiny


@pytest.mark.slow
def test_a_node_killed_in_the_middle_leaves_the_hash_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two nodes with a core each. The one that is left does the work of both."""
    data = scenario_data(8, {"kind": "sync", "cohort": 6}, stop={"updates": 4})
    data["workload"]["training"] |= {"epochs": 2_000}  # 0.1 s a task
    undisturbed = MemoryJournal()
    of = tiny(data)
    simulate(of.scenario, of.costs, of.learner, undisturbed)

    soon = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500}
    head = {"num_cpus": 1, "include_dashboard": False, "_system_config": soon}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    doomed = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    executor = RayExecutor(of.recipe, address=cluster.address, workers=2)
    try:
        executor.train(jobs(of.recipe, 2))
        while len(executor._idle) < 2:
            executor.train(jobs(of.recipe, 2))

        done, calls = RayExecutor._done, itertools.count(1)

        def kill_then_wait(self: RayExecutor) -> list[Any]:
            if next(calls) == 8:
                assert all(piece for _, piece in self._busy.values())
                cluster.remove_node(doomed, allow_graceful=False)
            return done(self)

        monkeypatch.setattr(RayExecutor, "_done", kill_then_wait)
        lost: list[tuple[int, ...]] = []
        monkeypatch.setattr(RayExecutor, "_check", lambda self, losses, piece, error: lost.append(piece))
        journal = MemoryJournal()
        again = tiny(data, lambda _: executor)
        simulate(again.scenario, again.costs, again.learner, journal)
        assert any(lost)  # work, not only an actor that was being started
        assert [row.model_sha256 for row in journal.versions] == [
            row.model_sha256 for row in undisturbed.versions
        ]
        assert journal.tasks == undisturbed.tasks
    finally:
        executor.close()
        assert not ray.is_initialized()
        cluster.shutdown()  # type: ignore[no-untyped-call]
