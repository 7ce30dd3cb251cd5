"""What a check finds."""

from typing import Literal, NamedTuple

Status = Literal["pass", "fail", "not applicable"]


class Finding(NamedTuple):
    """Whether a run keeps to a check, and what says so."""

    status: Status
    evidence: str


def judged(kept: bool, evidence: str) -> Finding:
    """Return a finding of a check that applies."""
    return Finding("pass" if kept else "fail", evidence)


def not_applicable(why: str) -> Finding:
    """Return the finding of a check that a run has nothing for."""
    return Finding("not applicable", why)


NO_LOG = not_applicable("the run has no audit log: it was not governed")
NO_PRIVACY = not_applicable("the run keeps no privacy")
