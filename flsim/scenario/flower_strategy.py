"""What goes with a strategy of Flower's, which selects clients and makes versions by itself."""

from typing import TYPE_CHECKING

from flsim.component import misfit
from flsim.policy import FlowerStrategy
from flsim.policy.selections import UniformSelection
from flsim.scenario.aggregation import Mean
from flsim.scenario.server_optimizer import ServerSgd

if TYPE_CHECKING:
    from flsim.scenario.scenario import Scenario


def check_flower_strategy(scenario: "Scenario") -> None:
    """Raise a misfit for what would be a second way to do what the strategy does, or would be wrong."""
    if scenario.hierarchy is not None:
        edges = [scenario.hierarchy.strategy, *(one.strategy for one in scenario.hierarchy.nodes.values())]
        if any(isinstance(each, FlowerStrategy) for each in (scenario.strategy, *edges)):
            why = "a strategy of Flower's knows no edges; it goes without hierarchy"
            raise misfit(("hierarchy",), None, why)
    if not isinstance(scenario.strategy, FlowerStrategy):
        return
    if scenario.selection != UniformSelection():
        why = "a strategy of Flower's chooses the clients by itself; leave this out"
        raise misfit(("selection", "kind"), scenario.selection.kind, why)
    if scenario.aggregation != Mean():
        why = "a strategy of Flower's combines the updates by itself; leave this out"
        raise misfit(("aggregation", "kind"), scenario.aggregation.kind, why)
    if scenario.server_optimizer != ServerSgd():
        why = "a strategy of Flower's makes the server's step by itself; leave this out"
        raise misfit(("server_optimizer", "kind"), scenario.server_optimizer.kind, why)
    if scenario.privacy is not None:
        why = "what a strategy of Flower's makes of updates and losses has no known privacy; leave this out"
        raise misfit(("privacy", "kind"), scenario.privacy.kind, why)
    if scenario.secure_aggregation is not None:
        why = "a strategy of Flower's is given every client's arrays, not their sum; leave this out"
        raise misfit(("secure_aggregation", "kind"), scenario.secure_aggregation.kind, why)
    training = scenario.training
    if training is not None and training.objective.corrects_model:
        why = "takes something from the model, of which a strategy of Flower's would not know"
        raise misfit(("workload", "training", "objective", "kind"), training.objective.kind, why)
