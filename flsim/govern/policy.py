"""The policy file: what a run is held to. Every threshold has a default, so an empty file is a policy."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from flsim.component import Section
from flsim.scenario.reading import read_section

Share = Annotated[float, Field(ge=0, le=1)]
Limit = Annotated[float, Field(ge=0)]


class PrivacyPolicy(Section):
    """What an update, and a run, may spend. Above `governed_above`, a run must be governed.

    `may_exhaust`: whether a run may end because its budget is exhausted.
    """

    epsilon_per_update: Limit = 1.0
    delta_per_update: Share = 1e-5
    epsilon: Limit = 10.0
    delta: Share = 1e-4
    governed_above: Limit = 0.5
    may_exhaust: bool = False


class ParticipationPolicy(Section):
    """Which share of those asked must be in an update, and under which share tasks may drop out."""

    active: Share = 0.5
    dropout: Share = 0.5


class UpdatesPolicy(Section):
    """Which share of updates may be `skipped` or `clipped`, and how many there must be (`valid`)."""

    skipped: Share = 0.2
    valid: Annotated[int, Field(ge=0)] = 5
    clipped: Share = 0.3


class Policy(Section):
    """The thresholds of the fifteen checks."""

    privacy: PrivacyPolicy = PrivacyPolicy()
    participation: ParticipationPolicy = ParticipationPolicy()
    updates: UpdatesPolicy = UpdatesPolicy()


def read_policy(path: Path) -> Policy:
    """Return the policy in a YAML file. Raises ScenarioError for a file that is none."""
    return read_section(path, Policy, "a policy")
