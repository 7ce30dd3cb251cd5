"""Samples that change in virtual time: a task trains on those of the phase that it was dispatched in."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flsim.errors import ScenarioError
from flsim.learn.client_data import ClientData
from flsim.learn.datasets import load
from flsim.learn.dealt import Dealt, deal_samples
from flsim.learn.executors import Job, Recipe
from flsim.learn.executors.build import build_executor
from flsim.learn.prepare import prepare
from flsim.running import run
from flsim.scenario import scenario_from
from flsim.scenario.executor import Executor, Processes, Serial, Vmap
from flsim.scenario.workload import TorchWorkload
from flsim.tasks import Task
from tests.executors import recipe, same
from tests.tiny import scenario_data

STARTS = (10.0, 25.0)
WHEN = {0.0: 0, 9.99: 0, 10.0: 1, 24.0: 1, 25.0: 2, 1e6: 2}
PHASES = [[3, 0, 5], [1, 9, 2], [4, 4, 0]]  # how many samples each of three clients has


def drifting(**training: Any) -> tuple[Recipe, list[ClientData]]:
    """Return a recipe whose three clients have other samples in each phase, and each phase's by itself."""
    plain = recipe([sum(map(sum, PHASES))], **training)
    x, y = plain.data.flat
    bounds = np.cumsum([size for sizes in PHASES for size in sizes])
    order = np.random.default_rng(3).permutation(len(y))
    parts = np.split(order, bounds[:-1])
    alone = [ClientData(x, y, parts[3 * phase : 3 * phase + 3]) for phase in range(3)]
    return recipe_on(plain, ClientData(x, y, parts, STARTS)), alone


def recipe_on(of: Recipe, data: ClientData) -> Recipe:
    return Recipe(of.model, of.problem, of.training, of.seed, data)


def jobs_at(of: Recipe, moments: list[float]) -> list[Job]:
    base = of.layout.flatten(of.module())
    return [
        Job(Task(number, client, number, 0, moment, 0), base)
        for number, (moment, client) in enumerate((m, c) for m in moments for c in range(3))
    ]


def test_a_phase_begins_at_its_instant() -> None:
    of, alone = drifting()
    for moment, phase in WHEN.items():
        for client in range(3):
            for got, expected in zip(of.data.of(client, moment), alone[phase].of(client), strict=True):
                assert torch.equal(got, expected)
        assert of.data.at(moment).sizes == alone[phase].sizes == PHASES[phase]
        for got, expected in zip(of.data.at(moment).flat, alone[phase].flat, strict=True):
            assert torch.equal(got, expected)
    assert of.data.sizes == PHASES[0]
    assert of.data.most == 9


@pytest.mark.parametrize("spec", [Serial(), Vmap(), Processes(workers=2)], ids=lambda spec: spec.kind)
def test_a_task_trains_on_the_samples_of_its_phase(spec: Executor) -> None:
    """As on these alone by the serial executor, to the bit; with clients stacked, to round-off."""
    of, alone = drifting(batch_size=2)
    jobs = jobs_at(of, list(WHEN))
    executor = build_executor(spec, of)
    try:
        trained = executor.train(jobs)
    finally:
        executor.close()
    expected = [
        build_executor(Serial(), recipe_on(of, alone[WHEN[job.task.dispatched_s]])).train([job])[0]
        for job in jobs
    ]
    if isinstance(spec, Vmap):
        for got, wanted in zip(trained, expected, strict=True):
            assert torch.allclose(got.update, wanted.update, atol=1e-6)
            assert got.losses == pytest.approx(wanted.losses, rel=1e-5)
    else:
        assert same(trained, expected)
    again = build_executor(Serial(), pickle.loads(pickle.dumps(of))).train(jobs)  # as Ray's workers have it
    assert same(again, expected)


def drift_data(drift: list[dict[str, Any]], **sections: Any) -> dict[str, Any]:
    data = scenario_data(
        8,
        {"kind": "sync", "cohort": 4},
        fleet={"clients": 8, "compute": {"kind": "speed", "flops": 1e3}},
        stop={"updates": 12},
        **sections,
    )
    data["workload"]["data"] |= {
        "partition": {"kind": "dirichlet", "alpha": 0.3, "min_samples": 2},
        "client_test_share": 0.25,
        "drift": drift,
    }
    return data


TWO = [
    {"at": 30.0, "partition": {"kind": "quantity_power_law", "exponent": 1.2, "min_samples": 2}},
    {"at": 60.0, "partition": {"kind": "iid"}, "swap": [[0, 2]]},
]


def dealt(data: dict[str, Any]) -> Dealt:
    scenario = scenario_from(data)
    assert isinstance(scenario.workload, TorchWorkload)
    of = scenario.workload.data
    return deal_samples(scenario, of, load(of.dataset, of.test_share, scenario.seed))


@settings(deadline=None, max_examples=30)
@given(
    test=st.floats(0.05, 0.45),
    validation=st.sampled_from((0.0, 0.2)),
    alpha=st.floats(0.01, 10),
    seed=st.integers(0, 2**62),
)
def test_every_phase_deals_all_samples_and_none_that_was_held_out_is_ever_trained_on(
    test: float, validation: float, alpha: float, seed: int
) -> None:
    data = drift_data([*TWO, {"at": 99.0, "partition": {"kind": "dirichlet", "alpha": alpha}}])
    data["workload"]["data"] |= {"client_test_share": test, "client_validation_share": validation}
    data |= {"seed": seed, "evaluation": {"clients": {"on": "validation" if validation else "test"}}}
    of = dealt(data)
    assert len(of.phases) == 4
    for split in of.phases:
        everything = np.concatenate([*split.training, *split.testing, *split.validation])
        assert np.sort(everything).tolist() == list(range(80))
    for kind in ("training", "testing", "validation"):
        members = [np.sort(np.concatenate(getattr(split, kind))).tolist() for split in of.phases]
        assert all(each == members[0] for each in members)


def test_labels_are_swapped_in_their_phase_alone() -> None:
    of = dealt(drift_data(TWO))
    for data, parts in ((of.training, "training"), (of.testing, "testing")):
        for moment, split in zip((0.0, 30.0, 60.0), of.phases, strict=True):
            for client, part in enumerate(getattr(split, parts)):
                true = of.samples.train_y[torch.from_numpy(part)]
                expected = torch.tensor([2, 1, 0])[true] if moment == 60.0 else true
                assert torch.equal(data.of(client, moment)[1], expected)
                assert torch.equal(data.of(client, moment)[0], of.samples.train_x[torch.from_numpy(part)])


def test_a_change_deals_anew_even_by_the_same_partition() -> None:
    same_kind = {"kind": "dirichlet", "alpha": 0.3, "min_samples": 2}
    of = dealt(drift_data([{"at": 5.0, "partition": same_kind}, {"at": 9.0, "swap": [[0, 1]]}]))
    first, second, third = (split.training for split in of.phases)
    assert any(not np.array_equal(*pair) for pair in zip(first, second, strict=True))
    assert all(np.array_equal(*pair) for pair in zip(second, third, strict=True))


def test_what_a_task_costs_is_that_of_its_phase(tmp_path: Path) -> None:
    """The samples in its row, and its seconds of computing: FLOP of a sample times samples over speed."""
    data = drift_data(TWO, output={"dir": str(tmp_path), "plots": False})
    scenario = scenario_from(data)
    assert isinstance(scenario.workload, TorchWorkload)
    costs, of = prepare(scenario, scenario.workload).costs, dealt(data)
    flop = costs.work_flop[0] / costs.samples[0]
    rows = parquet.read_table(run(scenario).folder / "tasks.parquet").to_pylist()
    seen = set()
    for row in rows:
        phase = sum(row["dispatched_s"] >= start for start in (30.0, 60.0))
        seen.add(phase)
        samples = len(of.phases[phase].training[row["client"]])
        assert row["samples"] == samples
        if row["train_end_s"] is not None:
            assert row["train_end_s"] - row["download_end_s"] == pytest.approx(samples * flop / 1e3)
    assert seen == {0, 1, 2}


@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_runs_are_the_same_on_every_executor(tmp_path: Path, executor: str) -> None:
    found = []
    for kind in ("serial", executor):
        data = drift_data(TWO, output={"dir": str(tmp_path / kind), "plots": False})
        summary = run(scenario_from(data | {"executor": {"kind": kind}})).summary
        found.append((summary["records_sha256"], summary["model_sha256"]))
    assert found[0] == found[1]


def test_clients_test_on_the_samples_of_the_phase(tmp_path: Path) -> None:
    data = drift_data(
        TWO, evaluation={"clients": {"every": 1}}, output={"dir": str(tmp_path), "plots": False}
    )
    folder, of = run(scenario_from(data)).folder, dealt(data)
    tasks = parquet.read_table(folder / "tasks.parquet").to_pylist()
    tested = parquet.read_table(folder / "client_accuracy.parquet").to_pylist()
    phases = set()
    for version in range(13):
        moments = [row["dispatched_s"] for row in tasks if (row["aggregated_version"] or 99) <= version]
        phase = sum(max(moments, default=0.0) >= start for start in (30.0, 60.0))
        phases.add(phase)
        sizes = [len(part) for part in of.phases[phase].testing]
        own = {row["client"]: row["samples"] for row in tested if row["version"] == version}
        assert own == {client: size for client, size in enumerate(sizes) if size}
    assert phases == {0, 1, 2}


def test_without_a_drift_nothing_is_later() -> None:
    scenario = scenario_from(drift_data([]))
    assert isinstance(scenario.workload, TorchWorkload)
    costs = prepare(scenario, scenario.workload).costs
    assert costs.later == []
    assert costs.load(1e9) is costs


REFUSED: list[tuple[list[dict[str, Any]], dict[str, Any], str]] = [
    ([{"at": 5.0}], {}, "drift.0: give partition or swap"),
    ([{"at": 5.0, "swap": [[0, 1], [1, 2]]}], {}, "drift.0.swap: a class is swapped with one other"),
    ([TWO[1], TWO[0]], {}, "drift.1.at: must be later than the one before, 60 s"),
    ([{"at": 0.0, "swap": [[0, 1]]}], {}, "drift.0.at: a time must be greater than zero"),
    (TWO, {"attack": {"kind": "label_flip"}}, "attack: cannot be with workload.data.drift: attackers'"),
    (TWO, {"leakage": {}}, "leakage: cannot be with workload.data.drift"),
    (TWO, {"personalization": {"kind": "fine_tune"}, "evaluation": {"clients": {}}}, "no task says which"),
    (
        TWO,
        {"strategy": {"kind": "sync", "cohort": 8}, "secure_aggregation": {"kind": "secagg"}},
        "secure_aggregation: cannot be with workload.data.drift",
    ),
    (
        TWO,
        {"privacy": {"kind": "examples"}},
        "privacy: cannot be with workload.data.drift: a sample may pass",
    ),
]


@pytest.mark.parametrize(("drift", "sections", "why"), REFUSED, ids=range(len(REFUSED)))
def test_what_does_not_go_with_a_drift_is_refused(
    drift: list[dict[str, Any]], sections: dict[str, Any], why: str
) -> None:
    with pytest.raises(ScenarioError) as caught:
        scenario_from(drift_data(drift) | sections)
    assert why in str(caught.value)


def test_a_class_that_is_not_there_cannot_be_swapped() -> None:
    with pytest.raises(ScenarioError, match=r"drift\.swap: this dataset has no class 7; accepted: 0 to 2"):
        dealt(drift_data([{"at": 5.0, "swap": [[0, 7]]}]))
