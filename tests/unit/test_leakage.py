"""The leakage meter: its attacks against formulas of their own, and what it makes of runs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from flsim.errors import ScenarioError
from flsim.learn.client_data import ClientData
from flsim.learn.datasets import Samples, load
from flsim.learn.leakage import LeakageMeter, Sight
from flsim.learn.leakage.inversion import MOST_DB, Evidence, check_model, matches, reconstruct
from flsim.learn.leakage.membership import Scorer
from flsim.learn.leakage.roc import roc
from flsim.learn.leakage.sight import ProbeDraw, Probes, matched
from flsim.learn.models import build, initialised
from flsim.learn.problem import Problem
from flsim.learn.weights import Layout
from flsim.observe.leakage import leakage_summary, write_leakage
from flsim.observe.tables import read_tables
from flsim.records import LeakageRecord, LeakageReport
from flsim.running import run
from flsim.scenario import Scenario, scenario_from
from flsim.scenario.data import Digits
from flsim.scenario.leakage import Analytic, GradientMatching, Inversion, Leakage
from flsim.scenario.model import Cnn, Logistic, Mlp, Model
from flsim.sim.world import simulate
from flsim.tasks import Task
from flsim.workload import prepare_workload
from tests.memory import MemoryJournal

Array = NDArray[np.float64]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# ---- how well scores tell two groups apart ----

MEMBERS, OTHERS = np.array([0.9, 0.8, 0.8, 0.3, 0.1]), np.array([0.8, 0.5, 0.3, 0.0])


def test_the_area_is_scikit_learns_also_where_scores_are_equal() -> None:
    truth = [1] * len(MEMBERS) + [0] * len(OTHERS)
    expected = roc_auc_score(truth, np.concatenate([MEMBERS, OTHERS]))
    assert roc(MEMBERS, OTHERS).area == pytest.approx(expected, abs=1e-15)


def test_the_standard_error_is_delongs() -> None:
    def above(a: float, b: float) -> float:
        return 1.0 if a > b else 0.5 if a == b else 0.0

    won = np.array([[above(member, other) for other in OTHERS] for member in MEMBERS])
    expected = won.mean(1).var(ddof=1) / len(MEMBERS) + won.mean(0).var(ddof=1) / len(OTHERS)
    assert roc(MEMBERS, OTHERS).standard_error == pytest.approx(expected**0.5, abs=1e-15)


def test_the_standard_error_is_how_far_the_area_strays() -> None:
    draws = np.random.default_rng(5)
    found = [roc(draws.normal(0.3, 1, 40), draws.normal(0, 1, 40)) for _ in range(1000)]
    strayed = np.std([each.area for each in found])
    assert np.mean([each.standard_error for each in found]) == pytest.approx(strayed, rel=0.07)


def test_the_sensitivity_counts_what_is_above_all_but_one_in_a_hundred_others() -> None:
    others = np.arange(200.0)  # 1 % of 200 may be above: 198 and 199
    assert roc(np.array([197.0, 197.5, 250.0, 3.0]), others).sensitivity == 0.5
    assert roc(MEMBERS, OTHERS).sensitivity == 0.2


def test_one_sample_tells_nothing() -> None:
    with pytest.raises(ValueError, match="two of each"):
        roc(MEMBERS[:1], OTHERS)


# ---- members and others ----

LABELS = st.lists(st.integers(0, 3), min_size=1, max_size=30).map(lambda labels: np.array(labels, np.int64))


@given(LABELS, LABELS, st.integers(1, 20), st.integers(0, 2**32))
def test_every_member_has_a_partner_of_its_label(
    labels: NDArray[np.int64], others: NDArray[np.int64], most: int, seed: int
) -> None:
    members, partners = matched(labels, others, most, np.random.default_rng(seed))
    assert (labels[members] == others[partners]).all()
    assert len(set(members.tolist())) == len(set(partners.tolist())) == len(members)
    possible = sum(min((labels == label).sum(), (others == label).sum()) for label in range(4))
    assert len(members) == min(most, possible)


# ---- membership ----


def softmax(logits: Array) -> Array:
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(shifted / shifted.sum(1, keepdims=True))


def made(model: Model, shape: tuple[int, ...], classes: int) -> tuple[nn.Module, Layout, Tensor]:
    module = initialised(build(model, Problem(shape, classes)), 3)
    layout = Layout(module)
    return module, layout, layout.flatten(module)


def drawn(count: int, shape: tuple[int, ...], classes: int, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.rand((count, *shape), generator=generator),
        torch.randint(classes, (count,), generator=generator),
    )


def softmax_gradients(x: Array, y: NDArray[np.int64], weight: Array, bias: Array) -> Array:
    """Return each sample's gradient of softmax regression, in closed form: [samples, parameters]."""
    wrong = softmax(x @ weight.T + bias)
    wrong[np.arange(len(y)), y] -= 1
    return np.concatenate([(wrong[:, :, None] * x[:, None]).reshape(len(x), -1), wrong], axis=1)


def test_alignment_is_the_cosine_with_each_samples_own_gradient() -> None:
    module, layout, base = made(Logistic(), (5,), 3)
    x, y = drawn(7, (5,), 3)
    update = torch.linspace(-1, 1, layout.parameters)
    parameters = base.double().numpy()
    gradients = softmax_gradients(
        x.double().numpy(), y.numpy(), parameters[:15].reshape(3, 5), parameters[15:]
    )
    direction = update.double().numpy()
    expected = -(gradients @ direction) / np.linalg.norm(gradients, axis=1) / np.linalg.norm(direction)
    scores = Scorer(module, layout).by_alignment(base, update, x, y)
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


def test_an_update_of_zeros_aligns_with_nobody() -> None:
    module, layout, base = made(Logistic(), (5,), 3)
    scores = Scorer(module, layout).by_alignment(base, torch.zeros_like(base), *drawn(4, (5,), 3))
    assert (scores == 0).all()


def test_the_loss_is_that_at_the_weights() -> None:
    module, layout, base = made(Logistic(), (5,), 3)
    x, y = drawn(7, (5,), 3)
    weights = base + 0.5
    weight, bias = weights[:15].view(3, 5).double().numpy(), weights[15:].double().numpy()
    expected = np.log(softmax(x.double().numpy() @ weight.T + bias)[np.arange(7), y.numpy()])
    np.testing.assert_allclose(Scorer(module, layout).by_loss(weights, x, y), expected, rtol=1e-5)


def test_losses_that_are_no_numbers_are_the_lowest_scores() -> None:
    module, layout, base = made(Logistic(), (5,), 3)
    scores = Scorer(module, layout).by_loss(torch.full_like(base, 3e38), *drawn(4, (5,), 3))
    assert not np.isnan(scores).any()


class Normed(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, 10))


class Random(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.layer(nn.functional.dropout(x.flatten(1))))  # while it is tested, too


# ---- inversion ----


def evidence(
    model: Model, shape: tuple[int, ...], classes: int, x: Tensor, y: Tensor, lr: float = 0.1
) -> Evidence:
    """Return what one step of gradient descent on the samples shows, by plain autograd."""
    module, layout, base = made(model, shape, classes)
    nn.functional.cross_entropy(module(x), y).backward()
    gradient = torch.cat([each.grad.reshape(-1) for each in module.parameters()])  # type: ignore[union-attr]
    return Evidence(module, layout, base, -lr * gradient, y, shape, 0.0, 1.0, 7)


def test_one_sample_in_one_step_of_softmax_regression_is_there_in_every_row() -> None:
    """The update is -lr (p - e) (x, 1): each row of the weights over its bias is x."""
    x, y = drawn(1, (6,), 4)
    base = made(Logistic(), (6,), 4)[2]
    weight, bias = base[:24].view(4, 6).double().numpy(), base[24:].double().numpy()
    gradient = softmax_gradients(x.double().numpy(), y.numpy(), weight, bias)[0]
    shown = evidence(Logistic(), (6,), 4, x, y)
    np.testing.assert_allclose(shown.update.numpy(), -0.1 * gradient, rtol=1e-4)
    candidates = reconstruct(Analytic(), shown)
    np.testing.assert_allclose(candidates.numpy(), x.expand(4, 6).numpy(), rtol=1e-4)
    assert matches(candidates, Probes(x, 1 - x, y), 0.0, 1.0, 1).best_db > 80


def test_a_neuron_that_saw_one_of_several_samples_shows_it() -> None:
    x, y = drawn(12, (1, 8, 8), 10)
    candidates = reconstruct(Analytic(), evidence(Mlp(hidden=(64,)), (1, 8, 8), 10, x, y)).flatten(1)
    base = made(Mlp(hidden=(64,)), (1, 8, 8), 10)[2]
    active = (x.flatten(1) @ base[: 64 * 64].view(64, 64).T + base[64 * 64 : 64 * 65]) > 0
    lone = (active.sum(0) == 1).nonzero()[:, 0].tolist()
    assert lone
    seen_by_any = [neuron for neuron in range(64) if active[:, neuron].any()]
    for neuron in lone:
        sample = x[int(active[:, neuron].nonzero()[0, 0])].flatten()
        torch.testing.assert_close(candidates[seen_by_any.index(neuron)], sample, rtol=1e-3, atol=1e-4)


def test_what_is_scaled_shows_as_much() -> None:
    """A bound on the norm keeps the direction, and that is all that either attack reads."""
    x, y = drawn(6, (5,), 3)
    shown = evidence(Logistic(), (5,), 3, x, y)
    clipped = evidence(Logistic(), (5,), 3, x, y, lr=0.0001)
    torch.testing.assert_close(
        reconstruct(Analytic(), shown), reconstruct(Analytic(), clipped), rtol=1e-3, atol=1e-4
    )
    module, layout, base = made(Logistic(), (5,), 3)
    scores = [Scorer(module, layout).by_alignment(base, each.update, x, y) for each in (shown, clipped)]
    np.testing.assert_allclose(*scores, rtol=1e-4)


def test_a_search_finds_the_one_sample_too() -> None:
    x, y = drawn(1, (6,), 4)
    shown = evidence(Logistic(), (6,), 4, x, y)
    found = reconstruct(GradientMatching(steps=600, lr=0.05), shown)
    assert matches(found, Probes(x, 1 - x, y), 0.0, 1.0, 1).best_db > 30
    again = reconstruct(GradientMatching(steps=600, lr=0.05), shown)
    assert torch.equal(found, again)


def test_nearness_is_the_peak_signal_to_noise_ratio() -> None:
    x = torch.tensor([[0.0, 1.0], [0.5, 0.5]])
    candidates = torch.tensor([[0.1, 0.9], [float("nan"), 5.0]])
    probes = Probes(x, torch.tensor([[1.0, 0.0], [1.0, 1.0]]), torch.zeros(2, dtype=torch.int64))
    found = matches(candidates, probes, 0.0, 1.0, keep=2)
    assert found.best_db == pytest.approx(20)  # errors of 0.1: 10 log10(1 / 0.01)
    assert found.unrelated_db == pytest.approx(-10 * np.log10(0.5**2 / 2), abs=1e-4)  # (0.5, 1) and (1, 1)
    first, second = found.kept
    np.testing.assert_array_equal(first.true, [0, 1])
    np.testing.assert_allclose(first.guess, [0.1, 0.9], rtol=1e-6)
    np.testing.assert_allclose(second.guess, [0.5, 1.0])  # the other member gets the other candidate
    assert second.nearness_db == pytest.approx(-10 * np.log10(0.125), abs=1e-4)


def test_without_a_candidate_the_guess_is_grey_and_what_is_exact_has_a_limit() -> None:
    grey = torch.full((1, 4), 0.5)
    found = matches(torch.zeros(0, 4), Probes(grey, grey + 0.1, torch.zeros(1)), 0.0, 1.0, 1)
    assert found.best_db == MOST_DB
    assert found.unrelated_db == pytest.approx(20, abs=1e-4)


@pytest.mark.parametrize("model", [Cnn(channels=(4,))])
def test_the_closed_form_needs_a_linear_layer_first(model: Model) -> None:
    with pytest.raises(ScenarioError, match="gradient_matching, or null"):
        check_model(Analytic(), build(model, Problem((1, 8, 8), 10)), (1, 8, 8))


# ---- the meter ----


@pytest.fixture(scope="module")
def digits() -> Samples:
    return load(Digits(), 0.5, 1)


def meter(
    digits: Samples, parts: list[range], model: Model | None = None, inversion: Inversion | None = None
) -> tuple[LeakageMeter, nn.Module, Layout, Tensor]:
    module, layout, base = made(model or Mlp(hidden=(64,)), digits.problem.input_shape, 10)
    data = ClientData(digits.train_x, digits.train_y, [np.array(part) for part in parts])
    spec = Leakage(inversion=inversion)
    own = build(model or Mlp(hidden=(64,)), Problem(digits.problem.input_shape, 10))
    return LeakageMeter(spec, own, layout, data, digits, 1), module, layout, base


def trained(module: nn.Module, layout: Layout, x: Tensor, y: Tensor, steps: int) -> Tensor:
    """Return the weights after steps on all samples, by torch's own optimiser."""
    optimizer = torch.optim.SGD(module.parameters(), lr=0.5)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(x), y).backward()
        optimizer.step()
    return layout.flatten(module)


def seen(base: Tensor, update: Tensor, client: int = 0) -> Sight:
    return Sight("update", 1, [Task(0, client, 0, 0, 0.0, 10)], base, update)


def scores(of: LeakageMeter) -> dict[str, LeakageRecord]:
    return {record.attack: record for record in of.report().records}


def test_of_an_overfitted_update_members_are_told_apart(digits: Samples) -> None:
    """Labels at random can only be learned by heart: who has them right was there."""
    noise = torch.randint(10, (60,), generator=torch.Generator().manual_seed(2))
    unlearnable = Samples(digits.train_x[:60], noise, digits.test_x, digits.test_y, 10)
    of, module, layout, base = meter(unlearnable, [range(60)])
    after = trained(module, layout, digits.train_x[:60], noise, 1500)
    of.observe(seen(base, after - base))
    assert scores(of)["loss"].score > 0.95
    assert scores(of)["loss"].sensitivity is not None
    assert scores(of)["alignment"].score > 0.75


def test_of_an_update_on_other_samples_nobody_is(digits: Samples) -> None:
    of, module, layout, base = meter(digits, [range(200), range(200, 400)])
    after = trained(module, layout, digits.train_x[200:400], digits.train_y[200:400], 300)
    of.observe(seen(base, after - base, client=0))  # whose samples these are not
    for record in scores(of).values():
        assert record.standard_error is not None
        assert abs(record.score - 0.5) < 3 * record.standard_error


def test_noise_on_an_update_hides_samples_and_who_was_there(digits: Samples) -> None:
    clear, module, layout, base = meter(digits, [range(20)], inversion=Analytic())
    update = trained(module, layout, digits.train_x[:20], digits.train_y[:20], 200) - base
    clear.observe(seen(base, update))
    noisy, *_ = meter(digits, [range(20)], inversion=Analytic())
    noise = torch.randn(update.shape, generator=torch.Generator().manual_seed(4))
    noisy.observe(seen(base, update + 100 * update.norm() * noise))
    told, hidden = scores(clear), scores(noisy)
    assert told["inversion"].score > told["inversion"].baseline + 40
    assert abs(hidden["inversion"].score - hidden["inversion"].baseline) < 2
    assert told["loss"].score > 0.75
    for attack in ("loss", "alignment"):
        error = hidden[attack].standard_error
        assert error is not None
        assert abs(hidden[attack].score - 0.5) < 3 * error


def test_looking_changes_nothing(digits: Samples) -> None:
    of, module, layout, base = meter(digits, [range(20)], inversion=Analytic())
    update = trained(module, layout, digits.train_x[:20], digits.train_y[:20], 3) - base
    before = base.clone(), update.clone(), torch.get_rng_state()
    of.observe(seen(base, update))
    after = base, update, torch.get_rng_state()
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_a_client_is_measured_with_the_same_samples_in_every_version(digits: Samples) -> None:
    data = ClientData(digits.train_x, digits.train_y, [np.arange(300), np.arange(300, 600)])
    draw = ProbeDraw(data, digits.test_x, digits.test_y, 40, 1)
    weights = torch.zeros(1)
    first, later = (
        draw.probes(Sight("update", version, [Task(9, 1, 0, 0, 0.0, 300)], weights, weights))
        for version in (1, 5)
    )
    assert all(torch.equal(a, b) for a, b in zip(first, later, strict=True))
    assert len(first.y) == 40
    own, tests = ({row.numpy().tobytes() for row in each} for each in (data.of(1)[0], digits.test_x))
    assert {row.numpy().tobytes() for row in first.x} <= own
    assert {row.numpy().tobytes() for row in first.others} <= tests
    other = draw.probes(Sight("update", 1, [Task(9, 0, 0, 0, 0.0, 300)], weights, weights))
    assert not torch.equal(other.x, first.x)


def test_the_same_clients_are_chosen_where_they_are(digits: Samples) -> None:
    of, *_ = meter(digits, [range(each, each + 1) for each in range(9)])
    tasks = [Task(number, number % 9, 0, 0, 0.0, 1) for number in range(9)]
    first = [task.client for task in of.chosen(tasks)]
    assert len(set(first)) == 3
    assert [task.client for task in of.chosen(tasks[::-1])] == first
    without = [task for task in tasks if task.client != first[0]]
    assert [task.client for task in of.chosen(without)][:2] == first[1:]
    empty = [task._replace(samples=0) for task in tasks]
    assert of.chosen(empty) == []


# ---- runs ----


def data(**sections: Any) -> dict[str, Any]:
    defaults: dict[str, Any] = {
        "name": "leaking",
        "seed": 4,
        "workload": {
            "kind": "torch",
            "data": {"dataset": {"kind": "digits"}, "partition": {"kind": "iid"}},
            "model": {"kind": "mlp", "hidden": [64]},
            "training": {"epochs": 3, "batch_size": 8, "optimizer": {"kind": "sgd", "lr": 0.2}},
        },
        "fleet": {"clients": 60, "compute": {"kind": "duration", "task": 10}},
        "strategy": {"kind": "sync", "cohort": 6, "weighting": "equal"},
        "leakage": {"clients": 2, "every": 2},
        "stop": {"updates": 3},
        "output": {"plots": False, "timeline": False},
    }
    return {**defaults, **sections}


class Noting(list[Sight]):
    """Everything that any meter was shown."""


@pytest.fixture
def sights(monkeypatch: pytest.MonkeyPatch) -> Noting:
    noted = Noting()
    monkeypatch.setattr(LeakageMeter, "observe", lambda _, sight: noted.append(sight))
    return noted


def simulated(scenario: Scenario) -> list[Tensor]:
    """Run without files, and return the weights of every version that can be had: first and last."""
    costs, learner, _ = prepare_workload(scenario, timing_only=False)
    first = learner.weights.clone()  # type: ignore[attr-defined]
    simulate(scenario, costs, learner, MemoryJournal())
    last = learner.weights.clone()  # type: ignore[attr-defined]
    learner.close()
    return [first, last]


def test_due_are_the_first_update_and_every_so_many_after_it(sights: Noting) -> None:
    simulated(scenario_from(data(stop={"updates": 6})))
    kinds = [(sight.version, sight.seen) for sight in sights]
    assert kinds == [(version, kind) for version in (1, 3, 5) for kind in ("update", "update", "release")]
    release = sights[2]
    assert len(release.tasks) == 6
    assert release.client is None


def test_the_server_sees_updates_and_the_world_their_mean(sights: Noting) -> None:
    every = {"clients": 6, "every": 1}
    first, last = simulated(scenario_from(data(leakage=every, stop={"updates": 1})))
    *updates, release = sights
    assert [sight.seen for sight in updates] == ["update"] * 6
    assert all(torch.equal(sight.base, first) for sight in sights)
    torch.testing.assert_close(release.update, torch.stack([sight.update for sight in updates]).mean(0))
    torch.testing.assert_close(release.base + release.update, last)


def test_the_server_sees_updates_as_they_are_sent(sights: Noting) -> None:
    compression = {"uplink": {"kind": "top_k", "share": 0.01}}
    simulated(scenario_from(data(compression=compression, stop={"updates": 1})))
    parameters = 64 * 64 + 64 + 640 + 10
    for sight in sights[:2]:
        assert 0 < int(sight.update.count_nonzero()) < 0.02 * parameters


PRIVACY = {"kind": "central", "clip": 0.01, "noise_multiplier": 100.0, "accounting": "rdp"}


def test_what_the_server_does_hides_nothing_from_it_but_from_the_world(sights: Noting) -> None:
    simulated(scenario_from(data(privacy=PRIVACY, stop={"updates": 1})))
    *updates, release = sights
    assert all(float(sight.update.norm()) > 0.1 for sight in updates)  # not bounded
    # The noise of a mean of 6: multiplier x clip / 6 for every parameter.
    assert float(release.update.std()) == pytest.approx(100 * 0.01 / 6, rel=0.05)


def test_updates_that_are_not_finite_are_not_looked_at(sights: Noting) -> None:
    wild = {"epochs": 20, "batch_size": 8, "optimizer": {"kind": "sgd", "lr": 1e30}}
    changed = data()
    changed["workload"] |= {"training": wild}
    simulated(scenario_from(changed))
    assert sights == []


def run_in(folder: Path, **sections: Any) -> tuple[Path, dict[str, Any]]:
    output = {"plots": False, "timeline": False, "dir": str(folder)} | sections.pop("output", {})
    done = run(scenario_from(data(output=output, **sections)))
    return done.folder, done.summary


def test_a_run_is_the_same_with_and_without(tmp_path: Path) -> None:
    folder, measured = run_in(tmp_path)
    assert {"leakage.parquet", "reconstructions.parquet"} < {path.name for path in folder.iterdir()}
    folder, plain = run_in(tmp_path, leakage=None)
    for key in ("records_sha256", "model_sha256", "final_accuracy", "training"):
        assert measured[key] == plain[key], key
    assert "leakage" not in plain
    assert not list(folder.glob("*leakage*")) + list(folder.glob("reconstructions*"))


SMALL = {"clients": 140, "compute": {"kind": "duration", "task": 10}}  # 10 samples a client


def test_noise_on_what_is_released_hides_there_what_single_updates_show(tmp_path: Path) -> None:
    _, clear = run_in(tmp_path, fleet=SMALL)
    _, noisy = run_in(tmp_path, fleet=SMALL, privacy=PRIVACY | {"clip": 1.0})
    _, tree = run_in(
        tmp_path,
        fleet=SMALL,
        privacy=PRIVACY | {"kind": "tree", "clip": 1.0},
        strategy={"kind": "fedbuff", "concurrency": 12, "buffer_size": 6},
    )
    for hidden in (noisy, tree):
        for attack in ("alignment", "loss"):
            means = hidden["leakage"]["release"][attack]
            assert abs(means["score"] - 0.5) < 3 * means["standard_error"]
        inversion = hidden["leakage"]["release"]["inversion"]
        assert abs(inversion["score"] - inversion["baseline"]) < 2
        assert hidden["leakage"]["update"]["inversion"]["score"] > 60
        assert hidden["leakage"]["update"]["alignment"]["score"] > 0.55
    shown = clear["leakage"]["release"]["inversion"]
    assert shown["score"] > shown["baseline"] + 20


def test_compression_ends_the_inversion_and_not_the_inference(tmp_path: Path) -> None:
    _, clear = run_in(tmp_path, leakage={"clients": 6, "every": 1}, fleet=SMALL)
    compression = {"uplink": {"kind": "top_k", "share": 0.05}}
    measured = {"clients": 6, "every": 1}
    _, pressed = run_in(tmp_path, leakage=measured, fleet=SMALL, compression=compression)
    before, after = (each["leakage"]["update"] for each in (clear, pressed))
    assert before["inversion"]["score"] > before["inversion"]["baseline"] + 50
    assert after["inversion"]["score"] < after["inversion"]["baseline"] + 5
    for each in (before, after):
        assert each["alignment"]["score"] - 0.5 > 3 * each["alignment"]["standard_error"]


def test_the_tables_and_the_picture(tmp_path: Path) -> None:
    folder, summary = run_in(tmp_path, output={"plots": True})
    table = pd.read_parquet(folder / "leakage.parquet")
    assert sorted(table.groupby(["version", "seen"]).size().items()) == [
        ((version, kind), count) for version in (1, 3) for kind, count in (("release", 3), ("update", 6))
    ]
    assert table.client.isna().equals(table.seen == "release")
    inversions = table[(table.seen == "update") & (table.attack == "inversion")]
    means = summary["leakage"]["update"]["inversion"]
    assert means == {
        "score": pytest.approx(inversions.score.mean()),
        "baseline": pytest.approx(inversions.baseline.mean()),
        "observations": 4,
    }
    images = pd.read_parquet(folder / "reconstructions.parquet")
    best = images.iloc[0]
    assert best["shape"].tolist() == [1, 8, 8]
    error = np.square(best["true"].astype(float) - best["guess"].astype(float)).mean()
    assert best["nearness_db"] == pytest.approx(min(MOST_DB, -10 * np.log10(max(error, 1e-300))), abs=1e-3)
    picture = folder / "plots" / "leakage.png"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_of_measurements_there_are_numbers_and_no_picture(tmp_path: Path) -> None:
    workload = data()["workload"]
    workload["data"]["dataset"] = {"kind": "breast_cancer"}
    folder, summary = run_in(tmp_path, workload=workload, output={"plots": True})
    assert set(summary["leakage"]["update"]) == {"alignment", "loss", "inversion"}
    assert not (folder / "plots" / "leakage.png").exists()


def test_a_search_works_on_networks_that_the_closed_form_does_not(tmp_path: Path) -> None:
    workload = data()["workload"] | {"model": {"kind": "cnn", "channels": [4]}}
    searched = {
        "clients": 1,
        "every": 9,
        "inversion": {"kind": "gradient_matching", "steps": 3, "samples": 2},
    }
    folder, summary = run_in(tmp_path, workload=workload, leakage=searched)
    assert set(summary["leakage"]["update"]) == {"alignment", "loss", "inversion"}
    assert (
        len(pd.read_parquet(folder / "reconstructions.parquet")) == 4
    )  # 2 of an update and 2 of a release


def test_what_is_not_asked_for_is_not_measured(tmp_path: Path) -> None:
    _, only_members = run_in(tmp_path, leakage={"inversion": None})
    assert set(only_members["leakage"]["update"]) == {"alignment", "loss"}
    _, only_samples = run_in(tmp_path, leakage={"membership": False})
    assert set(only_samples["leakage"]["update"]) == {"inversion"}


def test_the_error_of_a_mean_takes_clients_as_independent_and_versions_as_the_same(tmp_path: Path) -> None:
    def row(version: int, client: int, error: float) -> LeakageRecord:
        return LeakageRecord(version, "update", client, "loss", 0.6, 0.5, error, 0.1, 30)

    run_in(tmp_path)
    folder = tmp_path / "leaking"
    rows = (row(1, 7, 0.03), row(2, 7, 0.05), row(1, 9, 0.06))
    write_leakage(folder, LeakageReport(rows, ()))
    told = leakage_summary(read_tables(folder))
    assert told is not None
    means = told["update"]["loss"]  # type: ignore[index]
    assert means["standard_error"] == pytest.approx((0.08**2 + 0.06**2) ** 0.5 / 3)
    assert means["observations"] == 3


# ---- what is refused ----

MODULE = "tests.unit.test_leakage"


def with_model(model: dict[str, Any]) -> dict[str, Any]:
    changed = data()
    changed["workload"]["model"] = model
    return changed


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"workload": {"kind": "synthetic"}}, "nothing is trained in a synthetic workload"),
        ({"leakage": {"membership": False, "inversion": None}}, "neither membership inference nor"),
        ({"personalization": {"kind": "fedper"}}, "nobody but the client knows a whole model"),
        (
            {
                "network": {
                    "topology": {
                        "kind": "tree",
                        "levels": [{"name": "edge", "nodes": 2, "downlink": 1e6, "uplink": 1e6}],
                    }
                },
                "hierarchy": {"strategy": {"kind": "sync", "cohort": 2}},
                "strategy": {"kind": "sync", "cohort": 2},
            },
            "a hierarchy sees what edges have made",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ScenarioError, match=why):
        scenario_from(data(**changes))


@pytest.mark.parametrize(
    ("model", "why"),
    [
        ({"kind": "module", "path": f"{MODULE}:Normed"}, "2 is a BatchNorm1d, in which samples depend"),
        ({"kind": "module", "path": f"{MODULE}:Random"}, "no gradients of single samples"),
        ({"kind": "cnn", "channels": [4]}, "inputs go, flattened, into a linear layer"),
    ],
)
def test_a_model_that_cannot_be_attacked_is_refused(model: dict[str, Any], why: str) -> None:
    with pytest.raises(ScenarioError, match=why):
        prepare_workload(scenario_from(with_model(model)), timing_only=False)
