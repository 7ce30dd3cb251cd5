"""A scenario's workload to its costs and its learner. Torch is imported only for what trains."""

from dataclasses import replace
from typing import NamedTuple

from flsim.errors import ScenarioError
from flsim.flower.workers import start_ahead
from flsim.holdings import Holdings
from flsim.interpreter import importing
from flsim.protocols import Learner
from flsim.scenario import Scenario
from flsim.scenario.codec import numbers_in
from flsim.scenario.flower import FlowerWorkload
from flsim.scenario.workload import SyntheticWorkload, TorchWorkload
from flsim.sim.timing import NoLearner, synthetic_costs
from flsim.tasks import TaskCosts


class Work(NamedTuple):
    """What tasks cost, who carries them out, and what clients train on, if they do: in numbers."""

    costs: TaskCosts
    learner: Learner
    holdings: Holdings | None


def prepare_workload(scenario: Scenario, *, timing_only: bool) -> Work:
    """Return what tasks cost, and who carries them out: nobody with `timing_only`.

    Raises ScenarioError when data is missing, does not suffice or does not fit the model.
    """
    workload = scenario.workload
    if isinstance(workload, SyntheticWorkload):
        return Work(_masked(scenario, synthetic_costs(scenario, workload)), NoLearner(), None)
    if isinstance(workload, TorchWorkload):
        with importing():
            from flsim.learn.prepare import prepare  # imports torch, which takes seconds
        prepared = prepare(scenario, workload)
        learner = NoLearner() if timing_only else prepared.learner
        return Work(_masked(scenario, prepared.costs), learner, prepared.holdings)
    if isinstance(workload, FlowerWorkload):
        if not timing_only:  # which is refused
            start_ahead(scenario)
        with importing():
            from flsim.flower.prepare import prepare as prepare_app  # imports flwr and torch
        return Work(*prepare_app(scenario, workload, timing_only=timing_only), None)
    raise ScenarioError(f"workload: nothing here can run a {type(workload).__name__}")


def _masked(scenario: Scenario, costs: TaskCosts) -> TaskCosts:
    """Return the costs with transfers as they are with masks, where there are any."""
    if (secure := scenario.secure_aggregation) is None:
        return costs
    return replace(
        costs,
        download_bytes=costs.download_bytes + secure.beside_model_bytes(),
        upload_bytes=secure.upload_bytes(scenario, costs.upload_bytes),
        masked_numbers=numbers_in(costs.upload_bytes),
        share_length=secure.share_length(costs.upload_bytes),
    )


def plain_costs(scenario: Scenario) -> TaskCosts:
    """Return what tasks cost without masks. It takes no noise multiplier. Raises as `prepare_workload`."""
    workload = scenario.workload
    if isinstance(workload, TorchWorkload):
        from flsim.learn.prepare import costs_of

        return costs_of(scenario, workload)
    if isinstance(workload, FlowerWorkload):
        raise ScenarioError("workload flower: what messages take is known only when the app runs")
    assert isinstance(workload, SyntheticWorkload)  # noqa: S101
    return synthetic_costs(scenario, workload)
