"""The fifteen compliance checks of a run."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from flsim.govern.case import Case, read_case
from flsim.govern.checks import integrity, participation, privacy
from flsim.govern.finding import Finding
from flsim.govern.policy import Policy

Check = Callable[[Case, Policy], Finding]

CHECKS: Mapping[str, Check] = {
    "privacy cost": privacy.cost,
    "one record per update": integrity.one_each,
    "saved again byte by byte": integrity.saved_again,
    "models follow each other": integrity.models_follow,
    "altered hashes are found": integrity.altered_found,
    "active clients": participation.active,
    "dropout": participation.dropout,
    "configuration and model hashes": integrity.hashes_tell,
    "active, dropped and selected": participation.parted,
    "governed where privacy is spent": privacy.governed,
    "privacy budget": privacy.budget,
    "times and versions": integrity.times_rise,
    "clipped updates": privacy.clipped,
    "skipped updates": participation.skipped,
    "chain from the manifest alone": integrity.rebuilt,
}
"""By name, in the order of their numbers, which begin with 1."""


class Checked(NamedTuple):
    """What a check has found in a run."""

    number: int
    name: str
    status: str
    evidence: str


def comply(folder: Path, policy: Policy) -> list[Checked]:
    """Hold a run to a policy. Raises RunError or ScenarioError where its records cannot be read."""
    case = read_case(folder)
    return [
        Checked(number, name, *check(case, policy))
        for number, (name, check) in enumerate(CHECKS.items(), start=1)
    ]
