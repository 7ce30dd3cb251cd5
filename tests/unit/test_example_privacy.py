"""DP-SGD: samples' own gradients against numpy and autograd, noise by its law, and what steps cost."""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import dp_accounting
import numpy as np
import pytest
import torch
from dp_accounting import pld, rdp
from opacus.accountants import RDPAccountant
from torch.nn.functional import cross_entropy

from flsim.calibrate import calibrate
from flsim.errors import ScenarioError
from flsim.learn.executors import Executor, Recipe
from flsim.learn.executors.build import build_executor
from flsim.learn.executors.chain import chain
from flsim.learn.executors.executor import PoissonOrder
from flsim.learn.executors.per_sample import StepNoise
from flsim.learn.executors.processes import ProcessesExecutor
from flsim.learn.executors.serial import SerialExecutor
from flsim.learn.executors.stacked import StackedExecutor
from flsim.learn.executors.vectorised import Vectorised
from flsim.policy.accounting import Release, Steps, StepsLedger
from flsim.policy.targets import calibrated_steps
from flsim.running import run
from flsim.scenario import Scenario, scenario_from
from flsim.scenario.client_privacy import ExamplesPrivacy
from flsim.scenario.executor import Vmap
from flsim.scenario.model import Logistic, Mlp
from flsim.scenario.objective import FedProx, Scaffold
from flsim.scenario.training import Adam, Sgd, Training
from flsim.sim.timing import NoLearner
from flsim.sim.world import simulate
from flsim.tasks import Task
from tests.memory import MemoryJournal
from tests.refused import assert_read, refusal
from tests.stacks import (
    MODELS,
    assert_identical,
    assert_same,
    client_data,
    distance,
    jobs,
    recipe,
    trained,
)
from tests.tiny import scenario_data, tiny

SIZES = (7, 0, 1, 23, 10, 0, 4)
QUIET = ExamplesPrivacy(clip=0.5, noise_multiplier=1e-9)
DELTA = 1e-5


def private(privacy: ExamplesPrivacy, *args: Any, **kwargs: Any) -> Recipe:
    return replace(recipe(*args, **kwargs), examples=privacy)


def stacked_chain(of: Recipe) -> Executor:
    model = chain(of)
    assert model is not None
    return StackedExecutor(of, model, chunk=3, threads=1)


def vectorised(of: Recipe) -> Executor:
    return StackedExecutor(of, Vectorised(of), chunk=3, threads=1)


EXECUTORS: tuple[Callable[[Recipe], Executor], ...] = (SerialExecutor, stacked_chain, vectorised)
executors = pytest.mark.parametrize("executor", EXECUTORS, ids=["serial", "chain", "vectorised"])


# Gradients


@executors
def test_a_step_is_the_mean_of_clipped_gradients_of_softmax_regression(executor):
    """By hand: the gradient of sample i is (p_i - onehot_i) (x_i, 1)^T."""
    of = private(QUIET, [9], Logistic(), Training(batch_size="full", optimizer=Sgd(lr=0.3)))
    [job] = jobs(of, [0])
    views = {name: view.double().numpy() for name, view in of.layout.views(job.base).items()}
    (weight_name, weight), (bias_name, bias) = views.items()
    x = of.data.of(0)[0].flatten(1).double().numpy()
    y = of.data.of(0)[1].numpy()
    logits = x @ weight.T + bias
    share = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    delta = share - np.eye(3)[y]
    gradients = [np.outer(d, [*row, 1.0]) for d, row in zip(delta, x, strict=True)]
    norms = [float(np.linalg.norm(gradient)) for gradient in gradients]
    assert min(norms) < 0.5 < max(norms) or max(norms) > 0.5
    step = sum(g * min(1.0, 0.5 / n) for g, n in zip(gradients, norms, strict=True)) / 9
    [found] = trained(executor(of), [job])
    got = of.layout.views(found.update)
    np.testing.assert_allclose(got[weight_name].numpy(), -0.3 * step[:, :-1], atol=1e-6)
    np.testing.assert_allclose(got[bias_name].numpy(), -0.3 * step[:, -1], atol=1e-6)


def looped(
    of: Recipe, client: int, base: torch.Tensor, clip: float, batches: Any, lr: float
) -> torch.Tensor:
    """Return what DP-SGD without noise makes of weights: a plain autograd loop over samples, in float64."""
    all_x, all_y = of.data.of(client)
    module = of.module().double()
    expected = len(all_y) if of.training.batch_size == "full" else min(of.training.batch_size, len(all_y))
    with torch.no_grad():
        views = of.layout.views(base)
        for name, parameter in module.named_parameters():
            parameter.copy_(views[name])
    for batch in batches:
        total = [torch.zeros_like(parameter) for parameter in module.parameters()]
        for i in batch:
            module.zero_grad()
            cross_entropy(module(all_x[i : i + 1].double()), all_y[i : i + 1]).backward()
            own = [parameter.grad for parameter in module.parameters()]
            norm = math.sqrt(sum(float(g.square().sum()) for g in own if g is not None))
            for sum_, g in zip(total, own, strict=True):
                sum_ += g * min(1.0, clip / norm)
        with torch.no_grad():
            for parameter, sum_ in zip(module.parameters(), total, strict=True):
                parameter -= lr * sum_ / expected
    return torch.cat([parameter.detach().reshape(-1) for parameter in module.parameters()]) - base.double()


@executors
@pytest.mark.parametrize("clip", [0.2, 1.5, 1e3])
@pytest.mark.parametrize("batch_size", [1, 4, "full"])
def test_steps_on_drawn_batches_are_those_of_a_loop_over_samples(executor, batch_size, clip):
    training = Training(epochs=2, batch_size=batch_size, optimizer=Sgd(lr=0.2))
    of = private(ExamplesPrivacy(clip=clip, noise_multiplier=1e-9), SIZES, Mlp(hidden=[5, 4]), training)
    order = of.order
    assert isinstance(order, PoissonOrder)
    work = jobs(of, [0, 3, 2, 6])
    for job, found in zip(work, trained(executor(of), work), strict=True):
        batches = list(order.batches(job.task, job.task.samples))
        expected = looped(of, job.task.client, job.base, clip, batches, 0.2)
        assert float((found.update - expected).norm()) <= 2e-5 * max(float(expected.norm()), 0.1)


def test_gradients_of_samples_are_those_of_opacus():
    from opacus.grad_sample import GradSampleModule

    of = private(QUIET, [8], MODELS[3], Training(batch_size="full", optimizer=Sgd(lr=1.0)))
    [job] = jobs(of, [0])
    module = of.module()
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(of.layout.views(job.base)[name])
    sampled = GradSampleModule(module, loss_reduction="sum")
    x, y = of.data.of(0)
    x = x.clone().requires_grad_()  # without which torch warns of opacus's hooks
    cross_entropy(sampled(x), y, reduction="sum").backward()
    own = torch.cat([p.grad_sample.reshape(8, -1) for p in sampled.parameters()], 1).double()
    factors = (0.5 / own.norm(dim=1)).clamp(max=1.0)
    expected = -(factors.unsqueeze(1) * own).sum(0) / 8
    [found] = trained(SerialExecutor(of), [job])
    assert distance(found.update.double(), expected) < 1e-5


@pytest.mark.parametrize("model", MODELS, ids=["logistic", "mlp", "deep", "cnn"])
@pytest.mark.parametrize(
    "training",
    [
        Training(epochs=2, batch_size=4, optimizer=Sgd(lr=0.1)),
        Training(epochs=3, batch_size=1, optimizer=Sgd(lr=0.1, momentum=0.9, weight_decay=0.01)),
        Training(batch_size="full", optimizer=Adam()),
        Training(batch_size=3, objective=FedProx(mu=0.5)),
        Training(batch_size=3, objective=Scaffold()),
    ],
    ids=["sgd", "momentum", "adam", "fedprox", "scaffold"],
)
def test_stacked_executors_give_what_the_serial_one_gives(model, training):
    of = private(ExamplesPrivacy(clip=0.5, noise_multiplier=0.3), SIZES, model, training)
    work = jobs(of, [0, 1, 2, 3, 4, 5, 6, 3])
    expected = trained(SerialExecutor(of), work)
    models = [Vectorised(of)] if chain(of) is None else [Vectorised(of), chain(of)]
    for model in models:
        found = trained(StackedExecutor(of, model, chunk=3, threads=2), work)
        assert_same(found, expected)


def test_worker_processes_give_the_same_bits():
    of = private(ExamplesPrivacy(noise_multiplier=0.7), SIZES)
    work = jobs(of, [0, 3, 4, 3])
    assert_identical(trained(ProcessesExecutor(of, 2), work), trained(SerialExecutor(of), work))


@executors
def test_one_sample_moves_a_step_by_no_more_than_the_bound(executor):
    """From zero to anything, and so by twice the bound from anything to anything else."""
    training = Training(batch_size="full", optimizer=Sgd(lr=1.0))
    updates = []
    for factor in (1.0, -50.0, 1e3, 1e30, math.inf, math.nan):  # the square of 1e30 is no float32
        data = client_data([6])
        data.flat[0][2] *= factor
        of = private(
            ExamplesPrivacy(clip=0.5, noise_multiplier=0.1), [6], Mlp(hidden=[5]), training, data=data
        )
        updates.append(trained(executor(of), jobs(of, [0]))[0].update.double())
    nothing = updates[3]  # what has no length counts as zero
    assert torch.equal(updates[4], nothing)
    assert torch.equal(updates[5], nothing)
    for update in updates[:3]:
        assert 1e-3 < float((update - nothing).norm()) <= 0.5 / 6 * (1 + 1e-5)
    assert float((updates[0] - updates[1]).norm()) <= 2 * 0.5 / 6 * (1 + 1e-5)


def test_a_chain_in_low_precision_is_trained_as_any_module():
    of = private(QUIET, SIZES, precision="bfloat16")
    assert chain(of) is None
    assert isinstance(build_executor(Vmap(), of), StackedExecutor)


# Batches


def task(client: int, ordinal: int, samples: int) -> Task:
    return Task(0, client, ordinal, 0, 0.0, samples)


def test_every_sample_is_in_every_batch_with_the_same_probability_by_itself():
    order = PoissonOrder(1, Training(epochs=10, batch_size=2))
    draws = np.zeros((100 * 200, 20))
    for ordinal in range(200):
        for number, batch in enumerate(order.batches(task(3, ordinal, 20), 20)):
            draws[ordinal * 100 + number, batch] = 1
    error = math.sqrt(0.1 * 0.9 / len(draws))
    assert abs(draws.mean(0) - 0.1).max() < 4.5 * error
    correlations = np.corrcoef(draws.T) - np.eye(20)
    assert abs(correlations).max() < 4.5 / math.sqrt(len(draws))
    sizes = draws.sum(1)
    assert sizes.var() == pytest.approx(20 * 0.1 * 0.9, rel=0.05)
    assert (sizes == 0).mean() == pytest.approx(0.9**20, rel=0.1)


@pytest.mark.parametrize(("batch_size", "steps"), [("full", 3), (10, 3), (11, 3), (4, 9), (1, 30)])
def test_there_are_as_many_steps_as_take_every_sample_once_on_average(batch_size, steps):
    training = Training(epochs=3, batch_size=batch_size)
    batches = list(PoissonOrder(1, training).batches(task(0, 0, 10), 10))
    assert len(batches) == steps == training.steps(10)
    assert all(len(batch) == 10 for batch in batches) is (training.sampling(10) == 1)
    assert len(list(PoissonOrder(1, training).epochs(task(0, 0, 10), 10))) == 3


def test_batches_are_those_of_the_task():
    order = PoissonOrder(1, Training(epochs=5, batch_size=5))

    def drawn(client: int, ordinal: int) -> list[list[int]]:
        return [batch.tolist() for batch in order.batches(task(client, ordinal, 30), 30)]

    assert drawn(1, 2) == drawn(1, 2)
    assert drawn(1, 2) != drawn(2, 1)
    assert drawn(1, 2) != drawn(1, 3)


# Noise


@executors
@pytest.mark.parametrize(("batch_size", "expected"), [("full", 8), (4, 4), (100, 8)])
def test_noise_has_the_deviation_of_multiplier_times_bound_over_the_expected_batch(
    executor, batch_size, expected
):
    """10,200 draws, so many that gradients do not matter: their deviation is known to 0.7 %."""
    training = Training(batch_size=batch_size, optimizer=Sgd(lr=1.0))
    of = private(ExamplesPrivacy(clip=1e-3, noise_multiplier=1e3), [8] * 200, Logistic(), training)
    steps = training.steps(8)
    updates = [one.update for one in trained(executor(of), jobs(of, range(200)))]
    noise = torch.cat(updates).double()
    assert len(noise) == 10_200
    assert float(noise.std()) == pytest.approx(math.sqrt(steps) * 1.0 / expected, rel=0.02)
    assert len(noise.unique()) > 10_000


def test_noise_is_that_of_client_task_and_step():
    of = private(ExamplesPrivacy(noise_multiplier=1.0), SIZES)

    def drawn(client: int, ordinal: int, steps: int = 2) -> torch.Tensor:
        noise = StepNoise(of, [task(client, ordinal, 4)])
        return torch.cat([noise.next(1) for _ in range(steps)])

    assert torch.equal(drawn(3, 1), drawn(3, 1))
    assert not torch.isclose(drawn(3, 1)[0], drawn(3, 1)[1]).any()
    assert not torch.isclose(drawn(3, 1), drawn(1, 3)).any()
    both = StepNoise(of, [task(3, 1, 4), task(5, 0, 4)])
    assert torch.equal(torch.stack([both.next(2)[0], both.next(1)[0]]), drawn(3, 1))


@executors
def test_a_batch_of_nobody_is_a_step_of_noise(executor):
    training = Training(epochs=1, batch_size=1, optimizer=Sgd(lr=1.0))
    of = private(ExamplesPrivacy(clip=0.1, noise_multiplier=2.0), [3] * 40, Logistic(), training)
    order = of.order
    assert isinstance(order, PoissonOrder)
    work = jobs(of, range(40))
    empty = [job for job in work if not any(map(len, order.batches(job.task, 3)))]
    assert empty
    for job, one in zip(empty, trained(executor(of), empty), strict=True):
        noise = StepNoise(of, [job.task])
        expected = -sum(noise.next(1)[0] for _ in range(3))
        torch.testing.assert_close(one.update, expected, atol=1e-6, rtol=0)
        assert one.losses == (0.0,)


# Accounting


WHOLE = tuple(range(2, 64))  # at which both series are exact; at others, dp-accounting's is an upper bound


@pytest.mark.parametrize("orders", [WHOLE, None])
def test_steps_compose_as_opacus_composes_them(orders, monkeypatch):
    noise, tasks = 1.1, [Steps(0.05, 20), Steps(0.3, 4), Steps(1.0, 1), Steps(0.0, 0)]
    if orders is not None:
        monkeypatch.setattr(rdp, "RdpAccountant", partial(rdp.RdpAccountant, orders=orders))
    ledger = StepsLedger(tasks, noise, DELTA, "rdp")
    asked: Counter[int] = Counter()
    for clients in ([0], [0, 3], [1, 2], [2, 2, 1], [0], [3]):
        release = Release(dict.fromkeys(clients, 1 / noise))
        after = ledger.after(release)
        ledger.enter(release)
        assert ledger.epsilon == after
        asked.update(set(clients))
        expected = 0.0
        for client, times in asked.items():
            q, steps = tasks[client]
            theirs = RDPAccountant()
            theirs.history = [(noise, q, steps * times)]
            if steps:
                alphas = list(orders or rdp.RdpAccountant().orders)
                expected = max(expected, theirs.get_epsilon(DELTA, alphas=alphas))
        if orders is not None:
            assert ledger.epsilon == pytest.approx(expected, rel=1e-6)
        else:
            assert expected * (1 - 1e-9) <= ledger.epsilon <= expected * 1.001


def test_steps_compose_as_dp_accounting_composes_them():
    step = dp_accounting.PoissonSampledDpEvent(0.1, dp_accounting.GaussianDpEvent(2.0))
    expected = pld.PLDAccountant().compose(step, 14).get_epsilon(DELTA)
    ledger = StepsLedger([Steps(0.1, 7)], 2.0, DELTA, "pld")
    ledger.enter(Release({0: 0.5}))
    assert ledger.after(Release({})) == ledger.epsilon < expected
    ledger.enter(Release({0: 0.5}))
    assert ledger.epsilon == pytest.approx(expected, rel=1e-9)


def spent_on(data: dict[str, Any]) -> tuple[MemoryJournal, Scenario, list[int], str, float | None]:
    of, journal = tiny(data), MemoryJournal()
    simulated = simulate(of.scenario, of.costs, NoLearner(), journal)
    return journal, of.scenario, of.data.sizes, simulated.ending.reason, simulated.epsilon


def budgeted(epsilon: float | None) -> dict[str, Any]:
    budget = {} if epsilon is None else {"budget": {"epsilon": epsilon}}
    strategy = {"kind": "fedbuff", "concurrency": 3, "buffer_size": 2}
    privacy = {"kind": "examples", "noise_multiplier": 1.5, "accounting": "rdp"}
    data = scenario_data(8, strategy, privacy=privacy | budget, stop={"updates": 20})
    training = {"epochs": 2, "batch_size": 3, "optimizer": {"kind": "sgd", "lr": 0.5}}
    dealt = data["workload"]["data"] | {"partition": {"kind": "dirichlet", "alpha": 0.5, "min_samples": 1}}
    return data | {"workload": data["workload"] | {"training": training, "data": dealt}}


def epsilon_of(samples: int, tasks: int, noise: float = 1.5) -> float:
    q, steps = min(1.0, 3 / samples), 2 * math.ceil(samples / 3)
    step = dp_accounting.PoissonSampledDpEvent(q, dp_accounting.GaussianDpEvent(noise))
    return float(rdp.RdpAccountant().compose(step, steps * tasks).get_epsilon(1e-5))


def test_a_run_spends_what_its_worst_client_was_asked_for_and_ends_at_its_budget():
    journal, _, sizes, reason, spent = spent_on(budgeted(None))
    assert reason == "updates"
    assert len(set(sizes)) > 3
    asked = Counter(row.client for row in journal.tasks)
    worst = max(epsilon_of(sizes[client], times) for client, times in asked.items())
    assert spent == pytest.approx(worst, rel=1e-6)
    numbers = [row.epsilon for row in journal.versions[1:]]
    assert numbers == sorted(numbers, key=lambda each: each or 0)
    held, _, _, reason, spent = spent_on(budgeted(0.6 * worst))
    assert reason == "privacy"
    assert spent is not None
    assert 0 < spent <= 0.6 * worst
    assert 0 < len(held.tasks) < len(journal.tasks)


# Targets


@pytest.mark.parametrize("target", [{"epsilon": 3.0}, {"epsilon": 0.8, "releases": 4}])
def test_a_target_becomes_the_least_noise_with_which_the_worst_client_keeps_to_it(target):
    """Clients with any number of samples; each carries out as many tasks as there are releases."""
    data = budgeted(None)
    data["privacy"] = data["privacy"] | {"noise_multiplier": target}
    sizes = tiny(budgeted(None)).data.sizes
    made = calibrate(scenario_from(data))
    assert made.privacy is not None
    noise, tasks = made.privacy.multiplier, target.get("releases", 20)
    assert len(set(sizes)) > 3
    assert max(epsilon_of(size, tasks, noise) for size in sizes) <= target["epsilon"]
    assert max(epsilon_of(size, tasks, 0.999 * noise) for size in sizes) > target["epsilon"]
    assert calibrate(made) is made


def test_the_client_that_needs_most_noise_need_not_be_the_one_that_is_likely_to():
    """One step with every sample in it, or many steps with hardly any: by the target, either is worse."""
    tasks, worse = [Steps(1.0, 1), Steps(0.01, 9000)], set()
    for target in (1.0, 12.0):
        alone = [calibrated_steps(target, DELTA, [steps], 1, "rdp") for steps in tasks]
        assert calibrated_steps(target, DELTA, tasks, 1, "rdp") == pytest.approx(max(alone), rel=2e-6)
        assert max(alone) > 1.01 * min(alone)
        worse.add(alone.index(max(alone)))
    assert worse == {0, 1}


def test_a_target_without_an_end_says_what_is_missing():
    data = budgeted(None) | {"stop": {"time": 100.0}}
    data["privacy"] = data["privacy"] | {"noise_multiplier": {"epsilon": 3.0}}
    with pytest.raises(ScenarioError, match=r"noise_multiplier.releases: give it, or stop.updates"):
        calibrate(scenario_from(data))


def test_clients_without_samples_need_no_noise():
    assert calibrated_steps(1.0, DELTA, [Steps(0.0, 0)], 5, "rdp") <= 0.01
    with_them = calibrated_steps(1.0, DELTA, [Steps(0.0, 0), Steps(0.1, 10)], 5, "rdp")
    assert with_them == calibrated_steps(1.0, DELTA, [Steps(0.1, 10)], 5, "rdp")


# Refusals


@pytest.mark.parametrize(
    ("sections", "why"),
    [
        ({"selection": {"kind": "oort"}}, "selection.kind: oort chooses by what the clients' samples"),
        ({"aggregation": {"kind": "afl"}}, "afl goes by the clients' losses, which have no noise"),
        ({"personalization": {"kind": "ditto"}}, "train on their samples for more than is counted"),
        (
            {"training": {"clip": 1.0}},
            "workload.training.clip: with privacy examples, every sample's gradient",
        ),
        ({"training": {"objective": {"kind": "mime_lite"}}}, "mime_lite goes over all samples once more"),
        ({"workload": {"kind": "synthetic"}}, "without training there are none; accepted: workload torch"),
        ({"stop": {"updates": 3, "converged": 0.5}}, "stop.converged: when the run ends would tell"),
    ],
)
def test_what_is_not_counted_is_refused(sections, why):
    assert why in refusal(data_of(sections))


@pytest.mark.parametrize(
    ("sections", "but_not", "why"),
    [
        (
            {"training": {"objective": {"kind": "feddyn"}}},
            {"privacy": {"kind": "local"}},
            "objective.kind: with feddyn",
        ),
        (
            {"training": {"objective": {"kind": "scaffold"}}},
            {"training": {"objective": {"kind": "mime_lite"}}},
            "objective.kind: mime_lite",
        ),
        (
            {"training": {"optimizer": {"kind": "adam"}}},
            {"training": {"optimizer": {"kind": "adam"}, "clip": 1.0}},
            "workload.training.clip: ",
        ),
        (
            {"aggregation": {"kind": "median"}},
            {"aggregation": {"kind": "qfedavg"}},
            "aggregation.kind: qfedavg",
        ),
    ],
)
def test_what_goes_by_the_noisy_steps_alone_is_free(sections, but_not, why):
    """Of two scenarios of the same parts, the one is read as it was given, and the other is refused."""
    assert_read(data_of(sections))
    assert why in refusal(data_of(sections | but_not))


def data_of(sections: dict[str, Any], **inner: Any) -> dict[str, Any]:
    """Return a scenario with privacy of examples; `training` and what is `inner` are the workload's."""
    strategy = {"kind": "fedbuff", "concurrency": 4, "buffer_size": 3}
    outer = {key: value for key, value in sections.items() if key not in ("training", "privacy")}
    data = scenario_data(4, strategy) | {"privacy": {"kind": "examples"} | sections.get("privacy", {})}
    training = {"epochs": 2, "optimizer": {"kind": "sgd", "lr": 0.1}} | sections.get("training", {})
    data["workload"] = data["workload"] | {"training": training} | inner
    return data | outer


@pytest.mark.parametrize("executor", ["serial", "vmap"])
@pytest.mark.parametrize(
    ("factory", "why"),
    [
        ("dropping", "The model draws random numbers in training"),
        ("normalising", "The model's buffers change in training"),
        ("centring", "output for a sample depends on the other samples of its batch"),
    ],
)
def test_a_module_without_gradients_of_single_samples_is_refused(factory, why, executor, tmp_path):
    model = {"kind": "module", "path": f"{__name__}:{factory}"}
    sections = {"output": {"dir": str(tmp_path)}, "executor": {"kind": executor}}
    with pytest.raises(
        ScenarioError, match=rf"examples needs the gradient of every single sample\. .*{why}"
    ):
        run(scenario_from(data_of(sections, model=model)))
    assert not list(tmp_path.iterdir())


def dropping() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(6, 3), torch.nn.Dropout())


def normalising() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(6, 3), torch.nn.BatchNorm1d(3))


class _Centred(torch.nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x - x.mean(0))


def centring() -> torch.nn.Module:
    return _Centred(6, 3)
