"""The scenario file: its schema, and reading it."""

from flsim.scenario.reading import read_scenario, scenario_from
from flsim.scenario.scenario import Scenario

__all__ = ["Scenario", "read_scenario", "scenario_from"]
