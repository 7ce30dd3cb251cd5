"""Adapters averaged as the matrices that they stand for, against dense matrices in numpy."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from flsim.errors import ScenarioError
from flsim.learn.adapters import Adapters, adapters_of
from flsim.learn.aggregations import Combined, Contribution, Population, combine
from flsim.learn.aggregations.flexlora import factorised
from flsim.learn.models import build
from flsim.learn.prepare import prepare
from flsim.learn.weights import Layout
from flsim.running import run
from flsim.scenario import scenario_from
from flsim.scenario.aggregation import Mean
from flsim.scenario.lora import Lora, RankShare
from flsim.scenario.lora_aggregation import FlexLora
from flsim.scenario.training import Training
from flsim.scenario.workload import TorchWorkload
from flsim.sim.world import simulate
from flsim.tasks import Task
from tests.adapted import BASE, PROBLEM, federation
from tests.memory import MemoryJournal

RANK = 6
Dense = NDArray[np.float64]


def layout_of(rank: int = RANK) -> Layout:
    return Layout(build(Lora(base=BASE, rank=rank), PROBLEM))


LAYOUT = layout_of()


def adapters(ranks: Sequence[int] | None = None) -> Adapters:
    """Return those of the layout; with ranks, those of clients of whom each has one of them."""
    shares = tuple(RankShare(share=1 / len(ranks), rank=rank) for rank in ranks or ())
    found = adapters_of(Lora(base=BASE, rank=RANK, ranks=shares), LAYOUT, len(ranks or "1"))
    assert found is not None
    return found


def random(seed: int, scale: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(LAYOUT.parameters, generator=generator)


def dense(flat: Tensor, rank: int = RANK) -> dict[str, Dense]:
    """Return the product B A of each layer, of the first `rank` rows of A."""
    views = {name: view.double().numpy() for name, view in LAYOUT.views(flat).items()}
    return {
        name.replace(".lora_A.", "."): views[name.replace(".lora_A.", ".lora_B.")][:, :rank] @ view[:rank]
        for name, view in views.items()
        if ".lora_A." in name
    }


def aggregated(
    current: Tensor, local: Sequence[Tensor], weights: Sequence[float], of: Adapters, kind: Any = None
) -> Combined:
    contributions = [
        Contribution(Task(number, number, 0, 0, 0.0, 5), flat - current, weight, 0, 1, None)
        for number, (flat, weight) in enumerate(zip(local, weights, strict=True))
    ]
    population = Population([5] * len(local), Training(), adapters=of, current=current)
    return combine(kind or FlexLora(), contributions, {}, population)


def nearest(matrix: Dense, rank: int) -> Dense:
    """Return the best approximation of that rank, by numpy's own singular values."""
    u, values, v = np.linalg.svd(matrix, full_matrices=False)
    best: Dense = u[:, :rank] * values[:rank] @ v[:rank]
    return best


def assert_close(found: Dense, expected: Dense) -> None:
    assert np.abs(found - expected).max() <= 1e-5 * max(1.0, np.abs(expected).max())


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10_000), ranks=st.sampled_from([(2, 3), (1, 2, 3), (6,), (1, 1, 1, 1)]))
def test_the_model_is_the_mean_of_the_adapted_weights_where_their_ranks_have_room(
    seed: int, ranks: tuple[int, ...]
) -> None:
    """W + s x mean of B A, to 1e-5: the acceptance of the rule."""
    of, current = adapters(ranks), random(seed)
    local = [of.held(client, random(seed + 1 + client)) for client in range(len(ranks))]
    weights = np.random.default_rng(seed).dirichlet(np.ones(len(ranks))).tolist()
    combined = aggregated(current, local, weights, of)
    for name, matrix in dense(current + combined.update).items():
        mean = sum(w * dense(flat)[name] for w, flat in zip(weights, local, strict=True))
        assert_close(matrix, mean)
    assert combined.lost == pytest.approx(0.0, abs=1e-6)
    assert combined.weights == tuple(weights)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10_000), clients=st.integers(2, 4))
def test_beyond_that_it_is_the_best_there_is_of_the_models_rank(seed: int, clients: int) -> None:
    of, current = adapters(), random(seed)
    local = [random(seed + 1 + client) for client in range(clients)]
    weights = [1 / clients] * clients
    combined = aggregated(current, local, weights, of)
    squares = lost = 0.0
    for name, matrix in dense(current + combined.update).items():
        mean = sum(w * dense(flat)[name] for w, flat in zip(weights, local, strict=True))
        best = nearest(mean, RANK)
        assert_close(matrix, best)
        squares += float((mean**2).sum())
        lost += float(((mean - best) ** 2).sum())
    assert combined.lost == pytest.approx((lost / squares) ** 0.5, rel=1e-5)
    assert combined.lost is not None
    assert combined.lost > 0.01


def test_the_mean_of_a_and_b_apart_is_another_model() -> None:
    """Which is why the rule is there: the mean of products is not the product of means."""
    of, current = adapters((2, 3)), random(0)
    local = [of.held(client, random(1 + client)) for client in range(2)]
    naive = aggregated(current, local, [0.5, 0.5], of, Mean())
    for name, matrix in dense(current + naive.update).items():
        mean = sum(0.5 * dense(flat)[name] for flat in local)
        assert np.abs(matrix - mean).max() > 0.1


@pytest.mark.parametrize("weights", [(0.3, 0.2), (0.9, 0.6)])
def test_weights_that_do_not_sum_to_one_leave_the_rest_to_the_current_version(
    weights: tuple[float, float],
) -> None:
    """Such as those of stale updates: P + the sum of w (P_k - P), of the matrices."""
    of, start = adapters(), random(0)
    current = adapters((2,)).held(0, start)
    local = [adapters((2,)).held(0, random(1 + client)) for client in range(2)]
    combined = aggregated(current, local, weights, of)
    before = dense(current)
    for name, matrix in dense(current + combined.update).items():
        moved = sum(w * (dense(flat)[name] - before[name]) for w, flat in zip(weights, local, strict=True))
        assert_close(matrix, before[name] + moved)


def test_the_first_rows_are_the_best_adapter_of_a_lower_rank() -> None:
    of, current = adapters(), random(0)
    local = [random(1), random(2)]
    made = current + aggregated(current, local, [0.5, 0.5], of).update
    for rank in range(1, RANK):
        for name, matrix in dense(made, rank).items():
            mean = sum(0.5 * dense(flat)[name] for flat in local)
            assert_close(matrix, nearest(mean, rank))


def test_an_adapter_can_learn_in_every_row_afterwards() -> None:
    """Where B is zero, A is not: otherwise neither would ever move."""
    of, current = adapters((2,)), random(0)
    made = current + aggregated(current, [of.held(0, random(1))], [1.0], of).update
    for name, view in LAYOUT.views(made).items():
        if ".lora_A." in name:
            norms = view.norm(dim=1)
            torch.testing.assert_close(norms[:2], torch.ones(2), rtol=1e-5, atol=1e-5)
            assert torch.equal(view[2:], LAYOUT.views(current)[name][2:])
        else:
            assert not view[:, 2:].any()


def test_the_same_matrix_has_the_same_factors_however_it_is_written() -> None:
    a, b = random(1)[: 3 * 8].view(3, 8), random(2)[: 10 * 3].view(10, 3)
    spare = torch.zeros(3, 8)
    one = factorised([(1.0, b, a)], spare)
    other = factorised([(0.25, b, a), (-0.75, b, -a)], spare)
    torch.testing.assert_close(one.a, other.a, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(one.b, other.b, rtol=1e-4, atol=1e-5)
    assert (one.a.abs().max(1).values == one.a.max(1).values).all()


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_what_a_matrix_of_a_lower_rank_leaves_of_a_is_the_spare_rows(scale: float) -> None:
    """Of rank one, written with three columns, so that round-off has two more singular values."""
    generator = torch.Generator().manual_seed(5)
    b = scale * torch.randn(10, 1, generator=generator) @ torch.tensor([[1.0, 0.5, -2.0]])
    a, spare = torch.randn(3, 8, generator=generator), torch.randn(4, 8, generator=generator)
    made = factorised([(0.4, b, a), (0.6, b, a)], spare)
    assert torch.equal(made.a[1:], spare[1:])
    assert not made.b[:, 1:].any()
    product = (b.double() @ a.double()).numpy()
    np.testing.assert_allclose((made.b.double() @ made.a.double()).numpy(), product, atol=1e-5 * scale)
    assert made.lost <= 1e-20 * made.total


def test_adapters_that_do_nothing_stay_as_they_are_and_nothing_is_lost() -> None:
    """Where B is zero everywhere, as at first: A is that of the current version."""
    of, current = adapters(), random(0)
    for name, view in LAYOUT.views(current).items():
        if ".lora_B." in name:
            view.zero_()
    combined = aggregated(current, [current.clone(), current.clone()], [0.5, 0.5], of)
    assert not combined.update.any()
    assert combined.lost == 0.0


# In a run


@pytest.fixture
def text(tmp_path: Path) -> str:
    path = tmp_path / "text.txt"
    path.write_text("abcde fghij " * 40)
    return str(path)


EXACT = {"rank": 8, "ranks": [{"share": 1.0, "rank": 2}]}


def folder_of(data: dict[str, Any], tmp_path: Path) -> tuple[dict[str, Any], Path]:
    data["output"] = {"dir": str(tmp_path / "out"), "plots": False, "timeline": False}
    done = run(scenario_from(data))
    return done.summary, done.folder


def test_a_run_says_what_is_lost_in_each_version(text: str, tmp_path: Path) -> None:
    summary, folder = folder_of(federation({}, text, aggregation={"kind": "flexlora"}), tmp_path)
    rows = parquet.read_table(folder / "factorisation.parquet").to_pylist()
    assert [row["version"] for row in rows] == [1, 2]
    shares = [row["lost"] for row in rows]
    assert all(0 < share < 1 for share in shares)
    expected = {"mean": pytest.approx(sum(shares) / 2), "largest": max(shares), "last": shares[-1]}
    assert summary["adapters"]["lost"] == expected
    exact, folder = folder_of(federation(EXACT, text, aggregation={"kind": "flexlora"}), tmp_path)
    assert exact["adapters"]["lost"]["largest"] < 1e-6


def test_uplinks_carry_the_adapters_of_each_clients_rank(text: str, tmp_path: Path) -> None:
    """Two clients of rank 1, two of rank 4, in two rounds: 4 bytes x 4 x (16 + 16) numbers a rank."""
    ranks = {"ranks": [{"share": 0.5, "rank": 1}, {"share": 0.5, "rank": 4}]}
    for kind in ("mean", "flexlora"):
        summary, folder = folder_of(federation(ranks, text, aggregation={"kind": kind}), tmp_path)
        tasks = parquet.read_table(folder / "tasks.parquet").to_pylist()
        for task in tasks:
            size = 4 * 4 * 32 * (1 if task["client"] < 2 else 4)
            assert (task["bytes_up"], task["bytes_down"]) == (size, size)
            took = task["download_end_s"] - task["dispatched_s"]
            assert took == pytest.approx(8 * size / 8e6)
        assert summary["adapters"]["smallest_bytes"] == 4 * 4 * 32
        assert summary["adapters"]["largest_bytes"] == 4 * 4 * 4 * 32
        assert summary["final_loss"] < np.log(12)


def test_the_mean_leaves_what_a_client_does_not_have_to_the_others(text: str, tmp_path: Path) -> None:
    """Also where updates are measured against the current version, as those of fedasync are."""
    ranks = {"ranks": [{"share": 1.0, "rank": 2}]}
    for strategy in ({"kind": "sync", "cohort": 4}, {"kind": "fedasync", "concurrency": 4}):
        data = federation(ranks, text, strategy=strategy)
        scenario = scenario_from(data)
        assert isinstance(scenario.workload, TorchWorkload)
        prepared = prepare(scenario, scenario.workload)
        learner = prepared.learner
        before = learner.weights.clone()
        simulate(scenario, prepared.costs, learner, MemoryJournal())
        model = scenario.workload.model
        of = adapters_of(model, Layout(build(model, PROBLEM)), 4)
        assert of is not None
        moved = learner.weights - before
        assert moved.any()
        assert torch.equal(moved, of.held(0, moved))


# What it needs


@pytest.mark.parametrize(
    ("model", "sections", "why"),
    [
        ({"freeze_a": True}, {}, "where A is frozen, the mean of B gives the mean of the products"),
        ({}, {"server_optimizer": {"kind": "fedadam"}}, "makes A and B anew; accepted: sgd with lr: 1"),
        (
            {},
            {"personalization": {"kind": "ditto"}},
            "personalization.kind: remembers what flexlora has made anew: .* accepted: fine_tune",
        ),
        (
            {},
            {"compression": {"uplink": {"kind": "top_k"}}},
            "compression.error_feedback: remembers .* accepted: false",
        ),
        (
            {},
            {"privacy": {"kind": "central", "accounting": "rdp"}},
            "knows how far one client moves a mean",
        ),
        ({}, {"secure_aggregation": {"kind": "secagg"}}, "flexlora looks at single updates"),
        (
            {},
            {
                "aggregation": {"kind": "filter", "then": {"kind": "flexlora"}},
                "strategy": {"kind": "sync", "cohort": 4, "quorum": 4},
            },
            "flexlora measures updates in a way of its own",
        ),
    ],
)
def test_what_it_does_not_go_with_is_refused_with_a_reason(
    model: dict[str, Any], sections: dict[str, Any], why: str
) -> None:
    data = federation(model, "/dev/null", **{"aggregation": {"kind": "flexlora"}, **sections})
    with pytest.raises(ScenarioError, match=why):
        scenario_from(data)


def test_it_needs_adapters() -> None:
    data = federation({}, "/dev/null", aggregation={"kind": "flexlora"})
    data["workload"]["model"] = {"kind": "transformer"}
    with pytest.raises(ScenarioError, match="flexlora averages the adapters of model lora"):
        scenario_from(data)


@pytest.mark.parametrize("kind", ["scaffold", "feddyn", "mime_lite"])
def test_objectives_that_remember_do_not_go_with_it(kind: str) -> None:
    data = federation({}, "/dev/null", aggregation={"kind": "flexlora"})
    data["workload"]["training"]["objective"] = {"kind": kind}
    with pytest.raises(ScenarioError, match=r"objective.kind: remembers what flexlora has made anew"):
        scenario_from(data)
