"""Checks of what a run has spent of privacy, and of how much was clipped for it."""

import math

from flsim.govern.audit import SKIPPED
from flsim.govern.audit_log import LINES
from flsim.govern.case import Case
from flsim.govern.finding import NO_PRIVACY, Finding, judged, not_applicable
from flsim.govern.manifest import FOLDER
from flsim.govern.policy import Policy

_EXHAUSTED = "privacy budget"


def cost(case: Case, policy: Policy) -> Finding:
    """Every update, and the run, spend what they may; what was skipped costs nothing."""
    limits = policy.privacy
    if case.scenario.privacy is None or case.epsilon is None:
        return NO_PRIVACY
    if not math.isfinite(case.epsilon):
        return judged(False, "epsilon is not finite")
    known = [record for record in case.records if record.epsilon_spent is not None]
    if not known:
        return judged(False, "no record says what it cost")
    dearest = max(known, key=lambda record: record.epsilon_spent or 0.0)
    epsilon, delta = known[-1].epsilon_total or 0.0, known[-1].delta_total or 0.0
    most = dearest.epsilon_spent or 0.0
    most_delta = max(record.delta_spent or 0.0 for record in known)
    costly = [record.number for record in known if record.event == SKIPPED and record.epsilon_spent]
    kept = (
        most <= limits.epsilon_per_update
        and most_delta <= limits.delta_per_update
        and epsilon <= limits.epsilon
        and delta <= limits.delta
        and not costly
    )
    evidence = (
        f"at most epsilon {most:.4g} an update (record {dearest.number}; limit "
        f"{limits.epsilon_per_update:g}) and delta {most_delta:g} (limit {limits.delta_per_update:g}); "
        f"in total {epsilon:.4g} (limit {limits.epsilon:g}) at {delta:g} (limit {limits.delta:g})"
    )
    if costly:
        evidence += f"; skipped, and yet not free: records {', '.join(map(str, costly))}"
    return judged(kept, evidence)


def governed(case: Case, policy: Policy) -> Finding:
    """A run that has spent more than so much is governed."""
    above = policy.privacy.governed_above
    if case.epsilon is None:
        return NO_PRIVACY
    if case.epsilon <= above:
        return judged(True, f"epsilon {case.epsilon:.4g} is not above {above:g}")
    is_governed = case.scenario.governance is not None and case.links is not None
    verdict = "governed" if is_governed else "not governed"
    evidence = f"epsilon {case.epsilon:.4g} is above {above:g}, and the run is {verdict}"
    return judged(is_governed and (case.manifest is not None or case.manifest_damage is not None), evidence)


def budget(case: Case, policy: Policy) -> Finding:
    """A budget that is exhausted is flagged: in the log, and here."""
    privacy = case.scenario.privacy
    if privacy is None or case.epsilon is None:
        return NO_PRIVACY
    if privacy.budget is None:
        return not_applicable("the privacy has no budget")
    limit = privacy.budget.epsilon
    told = f"epsilon {case.epsilon:.4g} of {limit:g}"
    if case.epsilon > limit:
        return judged(False, f"{told}: the budget is overdrawn")
    if case.summary.get("stop_reason") != "privacy":
        return judged(True, f"{told}: the budget is not exhausted")
    flags = [record for record in case.records if (record.reason or "").startswith(_EXHAUSTED)]
    if not flags:
        return judged(False, f"{told}: the budget is exhausted, and {FOLDER}/{LINES} does not say so")
    after = [record for record in case.records[flags[0].number + 1 :] if record.version is not None]
    if after:
        return judged(
            False, f"{told}: exhausted at record {flags[0].number}, and updates were made after it"
        )
    return judged(policy.privacy.may_exhaust, f"{told}: exhausted at record {flags[0].number}")


def clipped(case: Case, policy: Policy) -> Finding:
    """Not too many updates were clipped."""
    measured = [record for record in case.records if record.clipped is not None]
    updates = sum(len(record.active) for record in measured)
    if not updates:
        return not_applicable("nothing was clipped by the server")
    count = sum(record.clipped or 0 for record in measured)
    share, limit = count / updates, policy.updates.clipped
    return judged(
        share <= limit, f"{count} of {updates} clients' updates were clipped: {share:.3g} (limit {limit:g})"
    )
