"""The scenario file: its schema, and reading it."""

from flsim.scenario.given import Given, Override, scenario_of
from flsim.scenario.reading import read_scenario, scenario_from
from flsim.scenario.scenario import Scenario

__all__ = ["Given", "Override", "Scenario", "read_scenario", "scenario_from", "scenario_of"]
