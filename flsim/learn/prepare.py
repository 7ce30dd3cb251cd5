"""A torch workload to its costs and its learner."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from statistics import fmean

import torch
from torch import Tensor, nn

from flsim.errors import ScenarioError
from flsim.holdings import Holdings
from flsim.learn.adapters import Adapters, adapters_of
from flsim.learn.adversary import Adversary
from flsim.learn.aggregations import Population
from flsim.learn.answers import checked_metrics
from flsim.learn.attacks import AttackParts, central_test, check_samples, tampered
from flsim.learn.branch import CentralLearner
from flsim.learn.client_test import ClientTest
from flsim.learn.compression import downlink_of, forgery_of, private_names, uplink_of
from flsim.learn.costs import torch_costs
from flsim.learn.datasets import Samples, load
from flsim.learn.dealt import Dealt, deal_samples
from flsim.learn.evaluation import convolves
from flsim.learn.executors import Executor, Recipe
from flsim.learn.executors.choice import Chosen, choose
from flsim.learn.executors.per_sample import check_per_sample
from flsim.learn.export import other_entries
from flsim.learn.leakage import LeakageMeter
from flsim.learn.learner import TorchLearner
from flsim.learn.metrics import Metrics
from flsim.learn.models import initialised, outline
from flsim.learn.objectives import rule_of
from flsim.learn.parts import LearnerParts
from flsim.learn.personalization import Parts, personalizer_of, task_recipe
from flsim.learn.privacy import client_noise
from flsim.learn.room import check_room
from flsim.learn.root_training import RootTraining
from flsim.learn.secure import SecureLearner
from flsim.learn.secure_buffer import SecureBufferLearner
from flsim.learn.trainer import Trainer
from flsim.learn.weights import Layout
from flsim.policy import FlowerStrategy
from flsim.scenario import Scenario
from flsim.scenario.attack import Attack
from flsim.scenario.client_privacy import ExamplesPrivacy
from flsim.scenario.codec import FLOAT_BYTES
from flsim.scenario.executor import Executor as Spec
from flsim.scenario.executor import InProcess
from flsim.scenario.secure_buffer import LightSecAgg
from flsim.scenario.training import Sgd, Training
from flsim.scenario.workload import TorchWorkload
from flsim.tasks import TaskCosts


@dataclass(frozen=True)
class Prepared:
    """What a run needs to know of the workload, and what its learner will be made of.

    `holdings`: what the clients train on, in numbers.
    """

    costs: TaskCosts
    holdings: Holdings
    _scenario: Scenario
    _dealt: Dealt
    _plain: Recipe
    _recipe: Recipe

    @cached_property
    def learner(self) -> TorchLearner:
        """The learner that will carry the tasks out: nothing is allocated for it before.

        Raises ScenarioError when the data do not fit what is done to them, or the model what it is for.
        """
        scenario, recipe = self._scenario, self._recipe
        check_room(recipe)
        if recipe.examples is not None:
            check_per_sample(recipe)
        root = _root_training(self._plain, self._dealt)
        return _learner(scenario, self._dealt, recipe, root, fmean(self.costs.work_flop))


def prepare(scenario: Scenario, workload: TorchWorkload) -> Prepared:
    """Load the data, deal it to the clients, and count what tasks of the model cost.

    Raises ScenarioError when data is missing, does not suffice or does not fit the model.
    """
    # One thread: the models of federated clients are small, and the bits then depend on no core count.
    torch.set_num_threads(1)
    samples = _load(workload, scenario.seed, _device(scenario.executor))
    dealt = deal_samples(scenario, workload.data, samples)
    if scenario.attack is not None:
        check_samples(scenario.attack, dealt.samples)
    plain = _plain_recipe(scenario, workload, dealt)
    recipe = _recipe(scenario, plain)
    costs = _costs(scenario, workload, recipe, dealt)
    return Prepared(costs, dealt.holdings(recipe.data), scenario, dealt, plain, recipe)


def costs_of(scenario: Scenario, workload: TorchWorkload) -> TaskCosts:
    """Return the costs alone, for which nothing has to be known of privacy. Raises as `prepare`."""
    samples = _load(workload, scenario.seed, _device(scenario.executor))
    dealt = deal_samples(scenario, workload.data, samples)
    recipe = task_recipe(scenario.personalization, _plain_recipe(scenario, workload, dealt))
    return _costs(scenario, workload, recipe, dealt)


def _costs(scenario: Scenario, workload: TorchWorkload, recipe: Recipe, dealt: Dealt) -> TaskCosts:
    return torch_costs(
        workload,
        recipe.layout,
        recipe.problem,
        recipe.data.sizes,
        scenario.personalization,
        scenario.compression,
        later=[(change.at, recipe.data.at(change.at).sizes) for change in dealt.drift],
    )


def _plain_recipe(scenario: Scenario, workload: TorchWorkload, dealt: Dealt) -> Recipe:
    """Return the recipe of ordinary training: of all of the model, without privacy."""
    return Recipe(
        workload.model,
        dealt.samples.problem,
        workload.training,
        scenario.seed,
        dealt.training,
        scenario.executor.precision,
    )


def _recipe(scenario: Scenario, plain: Recipe) -> Recipe:
    """Return the recipe of the clients' tasks, with what personalisation and privacy make of it."""
    recipe = task_recipe(scenario.personalization, plain)
    if isinstance(scenario.privacy, ExamplesPrivacy):
        recipe = replace(recipe, examples=scenario.privacy)
    return recipe


def _root_training(plain: Recipe, dealt: Dealt) -> RootTraining | None:
    """Return the server's own training, if it has samples."""
    if not len(dealt.server):
        return None
    return RootTraining(replace(plain, data=dealt.servers))


def _learner(
    scenario: Scenario, dealt: Dealt, recipe: Recipe, root: RootTraining | None, task_flop: float
) -> TorchLearner:
    """Return the learner. `task_flop`: the work of a mean task."""
    samples, layout = dealt.samples, recipe.layout
    module = initialised(recipe.module(), scenario.seed).to(samples.train_x.device)
    initial = layout.flatten(module)
    chosen = choose(scenario.executor, recipe, task_flop)
    if scenario.attack is not None:
        chosen = replace(chosen, executor=attacked(scenario, scenario.attack, recipe, chosen, task_flop))
    metrics = checked_metrics(scenario, samples.problem)
    parts = LearnerParts(
        layout,
        trainer_of(scenario, recipe, chosen, initial, task_flop),
        chosen,
        central_test(scenario.attack, module, layout, samples, metrics),
        Population(
            recipe.data.sizes,
            recipe.training,
            scenario.strategy.groups,
            scenario.seed,
            adapters=_adapters(recipe),
        ),
        client_test=_client_test(scenario, dealt, module, layout, metrics),
        root_training=root,
        adversary=adversary_of(scenario, layout),
        meter=_meter(scenario, recipe, samples, initial),
        entries=other_entries(module),
    )
    return _kind_of_learner(scenario)(scenario, initial, parts)


def _adapters(recipe: Recipe) -> Adapters | None:
    """Return the adapters of the model, if it has some."""
    return adapters_of(recipe.model, recipe.layout, len(recipe.data.sizes))


def _client_test(
    scenario: Scenario, dealt: Dealt, module: nn.Module, layout: Layout, metrics: Metrics | None
) -> ClientTest | None:
    if (spec := scenario.evaluation.clients) is None:
        return None
    held_out = dealt.testing if spec.on == "test" else dealt.validation
    return ClientTest(module, layout, held_out, spec.every, metrics)


def adversary_of(scenario: Scenario, layout: Layout) -> Adversary | None:
    """Return who makes up what attackers send, if there is an attack: what fits the wire."""
    if scenario.attack is None:
        return None
    wire = forgery_of(scenario.compression, layout, scenario.seed)
    return Adversary(scenario, scenario.attack, wire)


def _meter(scenario: Scenario, recipe: Recipe, samples: Samples, like: Tensor) -> LeakageMeter | None:
    """Return the leakage meter, if there is one. Its module is on the device of `like`."""
    if scenario.leakage is None:
        return None
    module = recipe.module().to(like)
    return LeakageMeter(scenario.leakage, module, recipe.layout, recipe.data, samples, scenario.seed)


def _kind_of_learner(scenario: Scenario) -> type[TorchLearner]:
    if isinstance(scenario.secure_aggregation, LightSecAgg):
        return SecureBufferLearner
    if scenario.secure_aggregation is not None:
        return SecureLearner
    if isinstance(scenario.strategy, FlowerStrategy):
        from flsim.learn.flower import FlowerLearner  # imports flwr

        return FlowerLearner
    return TorchLearner if scenario.hierarchy is None else CentralLearner


def _load(workload: TorchWorkload, seed: int, device: torch.device) -> Samples:
    """Return the samples on a device, laid out as the model likes them."""
    samples = load(workload.data.dataset, workload.data.test_share, seed)
    layout = torch.contiguous_format
    if convolves(outline(workload.model, samples.problem)):
        layout = torch.channels_last  # in which pooling is several times as fast
    return replace(
        samples,
        train_x=samples.train_x.to(device, memory_format=layout),
        train_y=samples.train_y.to(device),
        test_x=samples.test_x.to(device, memory_format=layout),
        test_y=samples.test_y.to(device),
    )


def trainer_of(
    scenario: Scenario, recipe: Recipe, chosen: Chosen, initial: Tensor, task_flop: float
) -> Trainer:
    """Return what carries tasks out: with an executor for full gradients, if the objective wants those.

    And with what trains the clients' own models, and what becomes of updates and versions on the wire.
    `initial`: version 0; `task_flop`: see `choose`.
    """
    spec, personalization, compression = scenario.executor, scenario.personalization, scenario.compression
    rule = rule_of(recipe.training.objective)
    gradients = None
    if rule.wants_gradient:
        one_step = Training(epochs=1, batch_size="full", optimizer=Sgd(lr=1.0))
        gradients = choose(spec, replace(recipe, training=one_step, takes_turns=True), 0.0).executor
    personalizer = None
    if personalization is not None:
        parts = Parts(recipe, chosen.executor, lambda own: choose(spec, own, task_flop).executor, initial)
        personalizer = personalizer_of(personalization, parts)
    private, layout = private_names(recipe.module(), personalization), recipe.layout
    beside = (recipe.training.objective.vectors[1] - 1) * (layout.size_bytes - _bytes(layout, private))
    noise = client_noise(scenario.privacy, layout, private, recipe.seed)
    compress = uplink_of(compression, layout, private, recipe.seed, beside)
    return Trainer(
        recipe.training,
        rule,
        chosen.executor,
        gradients,
        personalizer,
        outgoing=[step for step in (noise, compress) if step is not None],
        downlink=downlink_of(compression, layout, private, recipe.seed),
        adapters=_adapters(recipe),
    )


def _bytes(layout: Layout, names: Collection[str]) -> int:
    """Return what these weights take as float32."""
    return sum(FLOAT_BYTES * prod(layout.shapes[name]) for name in names)


def attacked(
    scenario: Scenario, attack: Attack, recipe: Recipe, chosen: Chosen, task_flop: float
) -> Executor:
    """Return the executor that was chosen, but attackers train as the attack has it."""
    campaign = attack.campaign(scenario.fleet.clients, scenario.seed)
    parts = AttackParts(
        recipe, chosen.executor, lambda own: choose(scenario.executor, own, task_flop).executor, campaign
    )
    return tampered(attack, parts)


def _device(spec: Spec) -> torch.device:
    name = spec.device if isinstance(spec, InProcess) else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise ScenarioError("executor.device: torch sees no CUDA device here; accepted: cpu")
    if name == "cuda":
        # Convolutions would otherwise round their inputs to 10 bits, and may take another way each time.
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.deterministic = True
    return torch.device(name)
