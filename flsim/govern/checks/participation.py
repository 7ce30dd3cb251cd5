"""Checks of who was asked, who took part, and how many updates came of it."""

from collections import Counter
from collections.abc import Iterable

from flsim.govern.audit import SKIPPED, UPDATE
from flsim.govern.case import Case
from flsim.govern.finding import NO_LOG, Finding, judged, not_applicable
from flsim.govern.policy import Policy
from flsim.records import Outcome

_FAILED = (Outcome.DROPPED.value, Outcome.LOST.value)


def active(case: Case, policy: Policy) -> Finding:
    """Of those who were asked for an update, enough are in it."""
    updates = [record for record in case.records if record.event == UPDATE and record.selected]
    if not updates:
        return not_applicable("no update was made of anybody's")
    least = min(updates, key=lambda record: len(record.active) / len(record.selected))
    share, limit = len(least.active) / len(least.selected), policy.participation.active
    few = sum(len(record.active) / len(record.selected) < limit for record in updates)
    evidence = (
        f"least in version {least.version}: {len(least.active)} of {len(least.selected)}, {share:.3g} "
        f"(at least {limit:g}); too few in {few} of {len(updates)} updates"
    )
    return judged(share >= limit, evidence)


def dropout(case: Case, policy: Policy) -> Finding:
    """Of all tasks that ended before the run did, not too many dropped out or got lost."""
    lost = Counter(outcome for record in case.records for _, _, outcome in record.dropped)
    ended = sum(len(record.selected) for record in case.records) - lost[Outcome.UNFINISHED.value]
    if not ended:
        return not_applicable("no task ended")
    failed, limit = sum(lost[outcome] for outcome in _FAILED), policy.participation.dropout
    share = failed / ended
    return judged(
        share < limit, f"{failed} of {ended} tasks dropped out or got lost: {share:.3g} (under {limit:g})"
    )


def parted(case: Case, policy: Policy) -> Finding:
    """Active and dropped have nobody in common and are all selected; every task is in one record."""
    if case.links is None:
        return NO_LOG
    for record in case.records:
        selected, active_ones = set(record.selected), set(record.active)
        dropped = {(task, client) for task, client, _ in record.dropped}
        if both := active_ones & dropped:
            return judged(False, f"record {record.number}: {_named(both)} both active and dropped")
        if other := selected ^ (active_ones | dropped):
            return judged(
                False, f"record {record.number}: {_named(other)} selected, or active or dropped, not both"
            )
    table = case.tables.aggregated
    known = Counter(zip(table["task"].to_pylist(), table["client"].to_pylist(), strict=True))
    said = Counter(part for record in case.records for part in record.selected)
    if (known - said) or (said - known):
        wrong = {*(known - said), *(said - known)}
        return judged(False, f"{_named(wrong)} not in exactly one record")
    return judged(True, f"{sum(known.values())} tasks, each in one of {len(case.records)} records")


def skipped(case: Case, policy: Policy) -> Finding:
    """Not too many updates were skipped, and enough were made."""
    events = Counter(record.event for record in case.records)
    made, left_out, limits = events[UPDATE], events[SKIPPED], policy.updates
    share = left_out / (made + left_out) if made + left_out else 0.0
    evidence = (
        f"{made} made (at least {limits.valid}), {left_out} skipped: {share:.3g} (limit {limits.skipped:g})"
    )
    return judged(share <= limits.skipped and made >= limits.valid, evidence)


def _named(parts: Iterable[tuple[int, int]]) -> str:
    some = sorted(parts)
    shown = ", ".join(f"task {task} of client {client}" for task, client in some[:3])
    return (
        f"{shown} and {len(some) - 3} more are"
        if len(some) > 3
        else f"{shown} {'is' if len(some) == 1 else 'are'}"
    )
