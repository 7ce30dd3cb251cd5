"""A discrete-event simulator for federated learning.

    import flsim

    run = flsim.run("scenarios/quickstart.yaml", "strategy.cohort=20")
    run.plot.accuracy()

What is named here is imported when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flsim.api import compare, resume, run, sweep
    from flsim.errors import FlsimError, RunError, ScenarioError
    from flsim.observe.comparison import Comparison
    from flsim.results import FLMetrics, Run, load
    from flsim.scenario import Scenario, read_scenario
    from flsim.sweeping import Sweep

__all__ = [
    "Comparison",
    "FLMetrics",
    "FlsimError",
    "Run",
    "RunError",
    "Scenario",
    "ScenarioError",
    "Sweep",
    "compare",
    "load",
    "read_scenario",
    "resume",
    "run",
    "sweep",
]

_HOMES = {
    "Comparison": "flsim.observe.comparison",
    "FLMetrics": "flsim.results",
    "FlsimError": "flsim.errors",
    "Run": "flsim.results",
    "RunError": "flsim.errors",
    "Scenario": "flsim.scenario",
    "ScenarioError": "flsim.errors",
    "Sweep": "flsim.sweeping",
    "compare": "flsim.api",
    "load": "flsim.results",
    "read_scenario": "flsim.scenario",
    "resume": "flsim.api",
    "run": "flsim.api",
    "sweep": "flsim.api",
}

if not TYPE_CHECKING:  # for a type checker there is what is imported above, and nothing else

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module 'flsim' has no attribute '{name}'")
        found = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return found


def __dir__() -> list[str]:
    return [*globals(), *__all__]
