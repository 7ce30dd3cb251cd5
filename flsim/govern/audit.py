"""The audit log as a fold over a run's records: one entry per server update, made or skipped.

Every task of the run stands in exactly one entry: that of the update which it went into or was asked for,
or else of the first update after it ended. What was still open is in the last entry, which is the end.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from flsim.observe.ending import ending_of
from flsim.observe.tables import Tables, task_records, version_records
from flsim.policy import FlowerStrategy, Sync
from flsim.records import Outcome, TaskRecord, VersionRecord
from flsim.scenario import Scenario
from flsim.scenario.client_privacy import ClientPrivacy

INITIAL, UPDATE, SKIPPED, END = "initial", "update", "skipped", "end"
_USED = (Outcome.AGGREGATED, Outcome.REJECTED)

Part = tuple[int, int]  # a task and its client
Loss = tuple[int, int, str]  # and its outcome


class AuditRecord(NamedTuple):
    """One entry: what an update was made of, what it changed, and what it cost.

    `selected` is `active` and `dropped`: who was asked, whose update went into the new version, and who
    came to nothing, with the task's outcome. `reason`: why an update was skipped, or why the run ended.
    `time`: virtual time as if the run had begun with 1970, in UTC. Epsilon is what is spent in total at the
    privacy's delta, and the difference to what was spent before; None without a privacy, and where it is
    not known how much of it is due to this entry.
    """

    number: int
    event: str  # initial, update, skipped, end
    reason: str | None
    version: int | None  # the one that was made
    time: str
    time_s: float
    selected: Sequence[Part]
    active: Sequence[Part]
    dropped: Sequence[Loss]
    pre_model_sha256: str | None
    post_model_sha256: str | None
    accuracy: float | None
    loss: float | None
    clip: float | None
    clipped: int | None
    epsilon_spent: float | None
    epsilon_total: float | None
    delta_spent: float | None
    delta_total: float | None


def virtual_time(time_s: float) -> str:
    """Return seconds of virtual time as ISO 8601: the run begins with 1970, in UTC. Cut to microseconds.

    >>> virtual_time(0.0), virtual_time(90061.25)
    ('1970-01-01T00:00:00.000000Z', '1970-01-02T01:01:01.250000Z')
    """
    whole = int(time_s)
    micros = int((time_s - whole) * 1_000_000)
    return f"{np.datetime64(whole, 's')}.{micros:06d}Z"


def audit_records(scenario: Scenario, tables: Tables, epsilon: float | None) -> list[AuditRecord]:
    """Return the audit log of a run, in the order in which things happened.

    `epsilon`: what the run has spent in the end; None without a privacy.
    """
    versions = list(version_records(tables.versions))
    tasks = list(task_records(tables.aggregated))
    skipped = [*_abandoned_rounds(scenario, tables, tasks), *_failed_recoveries(tables, tasks)]
    events: list[_Event] = [_Event(row.time_s, row.version, 0, row, [], None) for row in versions]
    events += [_Event(end_s, base, 1, None, some, why) for end_s, base, some, why in skipped]
    ending = ending_of(tables.ending)
    last_s = max([ending.virtual_time_s if ending else 0.0, *(event.time_s for event in events)])
    if ending is not None and ending.stop_reason == "privacy":
        why = f"privacy budget: {ending.stop_detail}"
        events.append(_Event(last_s, len(versions), 2, None, [], why))
    events.append(_Event(last_s, len(versions), 3, None, [], ending.stop_detail if ending else None))
    events.sort(key=lambda event: event.order)
    _settle(scenario, events, tasks)
    return list(_written(scenario, events, epsilon))


class _Event(NamedTuple):
    """Something that gets an entry. `version`: the one that is made, or that was current; `rank`: at it."""

    time_s: float
    version: int
    rank: int  # 0 a version, 1 skipped, 2 skipped for the budget, 3 the end
    row: VersionRecord | None
    tasks: list[TaskRecord]
    reason: str | None

    @property
    def order(self) -> tuple[int, float, int, int]:
        return (self.rank >= 2, self.time_s, self.version, self.rank)


_Skipped = tuple[float, int, list[TaskRecord], str]


def _rounds(scenario: Scenario, tasks: Iterable[TaskRecord]) -> list[list[TaskRecord]]:
    """Return who was asked together, where a strategy has rounds: those asked at one instant."""
    if not isinstance(scenario.strategy, Sync | FlowerStrategy):
        return []
    rounds: dict[tuple[float, int], list[TaskRecord]] = defaultdict(list)
    for task in tasks:
        rounds[task.dispatched_s, task.base_version].append(task)
    return list(rounds.values())


def _abandoned_rounds(
    scenario: Scenario, tables: Tables, tasks: Iterable[TaskRecord]
) -> Iterator[_Skipped]:
    """Yield the rounds that ended without an update."""
    failed = _failed_sessions(tables)
    for members in _rounds(scenario, tasks):
        outcomes = Counter(task.outcome for task in members)
        if any(outcome in (*_USED, Outcome.UNFINISHED) for outcome in outcomes):
            continue
        counts = ", ".join(f"{outcomes[outcome]} {outcome.value}" for outcome in sorted(outcomes))
        why = failed.get(members[0].dispatched_s, "the round was abandoned")
        end_s = max(task.ended_s for task in members)
        yield end_s, members[0].base_version, members, f"{why}: of {len(members)} tasks {counts}"


def _failed_sessions(tables: Tables) -> dict[float, str]:
    """Return which secure sessions of cohorts failed and where, by the instant at which they began."""
    rows = [] if tables.secure_sessions is None else tables.secure_sessions.to_pylist()
    began: dict[int, float] = {}
    failed = {}
    for row in rows:
        start_s = began.setdefault(row["session"], row["started_s"])
        if row["outcome"] == "failed":
            failed[start_s] = f"secure session {row['session']} failed in its phase {row['phase']}"
    return failed


def _failed_recoveries(tables: Tables, tasks: Sequence[TaskRecord]) -> Iterator[_Skipped]:
    """Yield the buffers whose masks could not be taken off."""
    rows = [] if tables.secure_sessions is None else tables.secure_sessions.to_pylist()
    discarded = [task for task in tasks if task.outcome in (Outcome.DISCARDED, Outcome.LOST)]
    for row in rows:
        if row["phase"] == "recovery" and row["outcome"] == "failed":
            buffer = [task for task in discarded if task.ended_s == row["ended_s"]]
            base = max((task.base_version for task in buffer), default=0)
            why = f"recovery {row['session']} of a buffer of {len(buffer)} tasks failed"
            yield row["ended_s"], base, buffer, why


def _settle(scenario: Scenario, events: Sequence[_Event], tasks: Sequence[TaskRecord]) -> None:
    """Give every task to one event."""
    taken = {task.task for event in events for task in event.tasks}
    by_version = {event.version: event for event in events if event.row is not None}
    led_to = {
        task.task: used
        for members in _rounds(scenario, tasks)
        for used in {other.aggregated_version for other in members if other.outcome in _USED}
        for task in members
    }
    times = [event.time_s for event in events[:-1]]
    for task in tasks:
        version = task.aggregated_version if task.outcome in _USED else led_to.get(task.task)
        if task.task in taken:
            continue
        if version is not None and version in by_version:  # in tables that nobody has changed, it is
            by_version[version].tasks.append(task)
        elif version is not None or task.outcome is Outcome.UNFINISHED:
            events[-1].tasks.append(task)
        else:
            events[min(max(1, bisect_left(times, task.ended_s)), len(times))].tasks.append(task)


def _written(scenario: Scenario, events: Sequence[_Event], epsilon: float | None) -> Iterator[AuditRecord]:
    """Yield the entries, with the models and the privacy before and after each."""
    model: str | None = None
    spent = _Spent(scenario, epsilon)
    for number, event in enumerate(events):
        row = event.row
        pre, model = model, row.model_sha256 if row else model
        epsilons, deltas = spent.at(event)
        parts = sorted(event.tasks)
        yield AuditRecord(
            number=number,
            event=_name(event),
            reason=event.reason,
            version=row.version if row else None,
            time=virtual_time(event.time_s),
            time_s=event.time_s,
            selected=[(task.task, task.client) for task in parts],
            active=[(task.task, task.client) for task in parts if task.outcome is Outcome.AGGREGATED],
            dropped=[
                (task.task, task.client, task.outcome.value)
                for task in parts
                if task.outcome is not Outcome.AGGREGATED
            ],
            pre_model_sha256=pre,
            post_model_sha256=model,
            accuracy=row.accuracy if row else None,
            loss=row.loss if row else None,
            clip=row.clip if row else None,
            clipped=row.clipped if row else None,
            epsilon_spent=epsilons[0],
            epsilon_total=epsilons[1],
            delta_spent=deltas[0],
            delta_total=deltas[1],
        )


def _name(event: _Event) -> str:
    if event.row is not None:
        return UPDATE if event.row.version else INITIAL
    return END if event.rank == 3 else SKIPPED


_Pair = tuple[float | None, float | None]
_NOT_KNOWN: _Pair = (None, None)


class _Spent:
    """Owns what has been spent of epsilon and delta, entry by entry.

    Where tasks cost as soon as they are sent out, an update's epsilon has that of rounds in it that were
    skipped before, and nobody knows how much a skipped round cost by itself.
    """

    def __init__(self, scenario: Scenario, final: float | None) -> None:
        self._privacy = scenario.privacy
        self._tasks_cost = isinstance(scenario.privacy, ClientPrivacy)
        self._final = final
        self._epsilon = 0.0
        self._delta = 0.0

    def at(self, event: _Event) -> tuple[_Pair, _Pair]:
        """Return what the entry spends and what is spent after it: of epsilon, and of delta."""
        if self._privacy is None or (event.rank == 1 and self._tasks_cost):
            return _NOT_KNOWN, _NOT_KNOWN
        epsilon = self._epsilon
        if event.row is not None and event.row.epsilon is not None:
            epsilon = event.row.epsilon
        if event.rank == 3 and self._final is not None:
            epsilon = self._final
        delta = self._privacy.delta if epsilon > 0 else 0.0
        pairs = (epsilon - self._epsilon, epsilon), (delta - self._delta, delta)
        self._epsilon, self._delta = epsilon, delta
        return pairs
