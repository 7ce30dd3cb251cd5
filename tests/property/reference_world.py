"""A world small enough to be seen through: clients, one server, links of their own. No SimPy, no events.

It holds what every task is doing, and moves from one instant at which something ends to the next.
"""

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from flsim.records import Outcome, TaskRecord, VersionRecord

Stage = Literal["download", "compute", "upload"]


@dataclass(frozen=True)
class Setting:
    """What the world is made of.

    `compute_s`: of each client's tasks. `rate`: bytes a second. `outages`: of the server, from and until.
    """

    compute_s: tuple[float, ...]
    download_bytes: int
    upload_bytes: int
    rate: int
    latency_s: float
    outages: tuple[tuple[float, float], ...]
    pauses: bool


@dataclass
class Job:
    """A task that is out with its client.

    `since_s`: when its stage began, or went on; None while it stands still.
    """

    task: int
    client: int
    base: int
    asked_s: float
    stage: Stage = "download"
    since_s: float | None = None
    computed_s: float = 0.0
    download_end_s: float | None = None
    train_end_s: float | None = None
    ended_s: float | None = None
    down: int = 0
    up: int = 0

    def row(
        self,
        outcome: Outcome,
        version: int | None = None,
        staleness: int | None = None,
        weight: float | None = None,
    ) -> TaskRecord:
        assert self.ended_s is not None
        instants = self.asked_s, self.download_end_s, self.train_end_s, self.ended_s
        facts = outcome, version, staleness, weight, 1, self.down, self.up, None, None, None
        return TaskRecord(self.task, self.client, self.base, *instants, *facts)


@dataclass
class ReferenceWorld:
    """What should happen, by the rules of docs/design.md."""

    setting: Setting
    now: float = 0.0
    rows: list[TaskRecord] = field(default_factory=list)
    versions: list[tuple[int, float, int, float | None]] = field(
        default_factory=lambda: [(0, 0.0, 0, None)]
    )
    out: dict[int, Job] = field(default_factory=dict)  # by client, in order of dispatch
    inbox: list[Job] = field(default_factory=list)
    returns: list[tuple[float, int]] = field(default_factory=list)  # of clients that are away
    deadline: float | None = None
    asked: int = 0

    @property
    def version(self) -> int:
        return len(self.versions) - 1

    @property
    def is_up(self) -> bool:
        return not any(start <= self.now < end for start, end in self.setting.outages)

    def is_there(self, client: int) -> bool:
        return all(who != client for _, who in self.returns)

    @property
    def idle(self) -> set[int]:
        clients = range(len(self.setting.compute_s))
        return {client for client in clients if client not in self.out and self.is_there(client)}

    # What the server does

    def dispatch(self, clients: tuple[int, ...]) -> None:
        for client in clients:
            self.out[client] = job = Job(self.asked, client, self.version, self.now)
            self.asked += 1
            self._go_on(job)

    def aggregate(self, used: list[int], weights: list[float], discarded: list[int]) -> None:
        by_task = {job.task: job for job in self.inbox}
        staleness = [self.version - by_task[task].base for task in used]
        version = self.version + 1
        mean = float(Fraction(sum(staleness), len(staleness)))
        self.versions.append((version, self.now, len(used), mean))
        self.inbox = [job for job in self.inbox if job.task not in used]
        for task, stale, weight in zip(used, staleness, weights, strict=True):
            self.rows.append(by_task[task].row(Outcome.AGGREGATED, version, stale, weight))
        self.discard(discarded)

    def discard(self, tasks: list[int]) -> None:
        for task in tasks:
            waiting = [job for job in self.inbox if job.task == task]
            if waiting:
                self.inbox.remove(waiting[0])
                self.rows.append(waiting[0].row(Outcome.DISCARDED))
            else:
                [job] = [job for job in self.out.values() if job.task == task]
                self._end(job, Outcome.DISCARDED)

    # What happens

    def leave(self, client: int, seconds: float) -> None:
        was_there = self.is_there(client)
        self.returns.append((self.now + seconds, client))
        if was_there and (job := self.out.get(client)) is not None:
            if self.setting.pauses:
                self._stand_still(job)
            else:
                self._end(job, Outcome.DROPPED)

    def advance(self, until: float) -> None:
        while (instant := self._next()) <= until:
            self.now = instant
            self._happen()
            self._decide()
        self.now = until

    def finish(self) -> None:
        for job in list(self.out.values()):
            self._end(job, Outcome.UNFINISHED)
        self.rows += [job.row(Outcome.UNFINISHED) for job in self.inbox]

    def _next(self) -> float:
        instants = [self._end_of(job) for job in self.out.values()]
        instants += [instant for instant, _ in self.returns]
        instants += [edge for outage in self.setting.outages for edge in outage if edge > self.now]
        if self.deadline is not None and self.is_up:
            instants.append(self.deadline)
        return min(instants, default=math.inf)

    def _happen(self) -> None:
        """Let everything happen that happens at this instant."""
        for job in [job for job in self.out.values() if job.stage != "compute" and not self.is_up]:
            self._stand_still(job)  # an outage has begun
        if not self.is_up:
            self.rows += [job.row(Outcome.LOST) for job in self.inbox]
            self.inbox.clear()
        while ended := [job for job in self.out.values() if self._end_of(job) <= self.now]:
            for job in ended:
                self._stage_ends(job)
        self.returns = [(instant, client) for instant, client in self.returns if instant > self.now]
        for job in self.out.values():
            if job.since_s is None:
                self._go_on(job)

    def _decide(self) -> None:
        if self.deadline is not None and self.is_up and self.now >= self.deadline:
            self.deadline = None
            self.discard([job.task for job in self.out.values()])

    def _stage_ends(self, job: Job) -> None:
        job.since_s = None
        if job.stage == "download":
            job.down += self.setting.download_bytes
            job.download_end_s, job.stage = self.now, "compute"
        elif job.stage == "compute":
            job.train_end_s, job.stage = self.now, "upload"
        else:
            job.up += self.setting.upload_bytes
            job.ended_s = self.now
            del self.out[job.client]
            self.inbox.append(job)
            self.inbox.sort(key=lambda job: (job.ended_s, job.task))
            return
        self._go_on(job)

    def _go_on(self, job: Job) -> None:
        """Begin a stage, or go on with it, if client and server let it."""
        if self.is_there(job.client) and (job.stage == "compute" or self.is_up):
            job.since_s = self.now

    def _stand_still(self, job: Job) -> None:
        """Stop a stage: what was computed is kept; what was sent counts, and has to be sent again."""
        if job.since_s is None:
            return
        seconds, job.since_s = self.now - job.since_s, None
        if job.stage == "compute":
            job.computed_s += seconds
            return
        passed = math.floor((seconds - self.setting.latency_s) * self.setting.rate)
        if job.stage == "download":
            job.down += min(max(0, passed), self.setting.download_bytes)
        else:
            job.up += min(max(0, passed), self.setting.upload_bytes)

    def _end(self, job: Job, outcome: Outcome) -> None:
        self._stand_still(job)
        del self.out[job.client]
        job.ended_s = self.now
        self.rows.append(job.row(outcome))

    def _end_of(self, job: Job) -> float:
        """Return when the present stage ends if nothing comes in between."""
        if job.since_s is None:
            return math.inf
        if job.stage == "compute":
            return job.since_s + self.setting.compute_s[job.client] - job.computed_s
        size = self.setting.download_bytes if job.stage == "download" else self.setting.upload_bytes
        return job.since_s + self.setting.latency_s + size / self.setting.rate


def facts_of(version: VersionRecord) -> tuple[int, float, int, float | None]:
    """Return what this world says of a version, too."""
    return version.version, version.time_s, version.tasks, version.mean_staleness
