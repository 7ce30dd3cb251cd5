"""What is written down of a program's messages and versions."""

from dataclasses import dataclass

from flsim.messages import Letter, Made, Refused, Silence, Tested
from flsim.protocols import MessageJournal
from flsim.records import MessageRecord, Outcome, VersionRecord
from flsim.sim.messages.flight import MessageFlight


@dataclass
class _Entry:
    """A message that is out, or whose answer may still become part of a version."""

    letter: Letter
    pushed_s: float
    flight: MessageFlight | None = None  # None until its answer is in, or it has come to nothing
    energy_j: float | None = None
    collected_s: float | None = None  # when the program took the answer


class Ledger:
    """Owns the rows that are not finished yet: of messages, and of the current version.

    The rows of an update are written when it is known what became of it: it is part of a version, or the
    next version is made without it. A version's is written when the next one is made, or the run is over:
    so long it may be tested.
    """

    def __init__(self, journal: MessageJournal) -> None:
        self._journal = journal
        self._entries: dict[int, _Entry] = {}  # by number
        self.version: VersionRecord | None = None
        """The current one, if there is one."""
        self.tasks_ended = 0
        self.accuracy: float | None = None
        """Of the latest version that was tested."""

    def pushed(self, letter: Letter, now: float) -> None:
        """A message is on its way, or waits for its client."""
        self._entries[letter.number] = _Entry(letter, now)

    def arrived(self, flight: MessageFlight, energy_j: float | None) -> None:
        """An answer has come in."""
        entry = self._entries[flight.letter.number]
        entry.flight, entry.energy_j = flight, energy_j

    def collected(self, number: int, now: float) -> None:
        """The program has taken an answer, or has heard that there is none."""
        entry = self._entries.get(number)
        if entry is None or entry.flight is None:
            return
        entry.collected_s = now
        if entry.flight.answer.error is not None:
            self._close_entry(entry, Outcome.REJECTED)

    def moved_on(self) -> None:
        """The program sends something else: nothing more becomes of the answers that are no updates."""
        for entry in [each for each in self._entries.values() if each.collected_s is not None]:
            if not entry.letter.trains:
                self._close_entry(entry)

    def refused(self, refused: Refused) -> None:
        """The program cannot use an answer that it has collected."""
        entry = self._entries.get(refused.number)
        if entry is not None and entry.flight is not None:
            answer = entry.flight.answer
            entry.flight.answer = answer._replace(error=refused.error, reason=refused.reason)
            self._close_entry(entry, Outcome.REJECTED)

    def came_to_nothing(self, flight: MessageFlight, outcome: Outcome, energy_j: float | None) -> None:
        """A message was called off, or its client has failed at it."""
        entry = self._entries[flight.letter.number]
        entry.flight, entry.energy_j = flight, energy_j
        self._close_entry(entry, outcome)

    def silent(self, number: int, why: Silence, now: float) -> None:
        """There will be no answer. If the message never went out, it has its row now."""
        if (entry := self._entries.pop(number, None)) is not None:
            self._journal.message(_row(entry, why.value, now))

    def made(self, made: Made, now: float) -> None:
        """The program has made a version of some answers. What else it had collected was of no use."""
        used = [entry for number in made.used if (entry := self._entries.get(number)) and entry.flight]
        staleness = [made.version - 1 - entry.letter.version for entry in used]
        self._close_version()
        self.version = VersionRecord(
            version=made.version,
            time_s=now,
            tasks=len(used),
            mean_staleness=sum(staleness) / len(staleness) if staleness else None,
            accuracy=None,
            loss=None,
            model_sha256=made.model_sha256,
        )
        for entry, stale in zip(used, staleness, strict=True):
            weight = made.used[entry.letter.number]
            self._close_entry(entry, Outcome.AGGREGATED, made.version, stale, weight)
        for entry in [each for each in self._entries.values() if each.collected_s is not None]:
            if entry.letter.trains:
                self._close_entry(entry, Outcome.DISCARDED)

    def tested(self, tested: Tested) -> None:
        """A version was tested. It counts if it is the current one: the rows of others are written."""
        if self.version is None or tested.version != self.version.version:
            return
        accuracy = self.version.accuracy if tested.accuracy is None else tested.accuracy
        loss = self.version.loss if tested.loss is None else tested.loss
        self.version = self.version._replace(accuracy=accuracy, loss=loss)
        self.accuracy = self.accuracy if accuracy is None else accuracy

    def close(self, now: float) -> None:
        """The run is over: write what is still open."""
        for entry in list(self._entries.values()):
            if entry.flight is not None:
                self._close_entry(entry, Outcome.DISCARDED if entry.letter.trains else None)
            else:
                self._journal.message(_row(entry, Outcome.UNFINISHED.value, now))
        self._entries.clear()
        self._close_version()

    def _close_entry(
        self,
        entry: _Entry,
        outcome: Outcome | None = None,
        version: int | None = None,
        staleness: int | None = None,
        weight: float | None = None,
    ) -> None:
        """Write the rows of a message that went out. `outcome`: None if it was answered as it should be."""
        flight = entry.flight
        assert flight is not None  # noqa: S101
        if entry.letter.trains and outcome is not None:
            loss = flight.answer.loss if outcome is Outcome.AGGREGATED else None
            self._journal.task(
                flight.record(
                    outcome,
                    aggregated_version=version,
                    staleness=staleness,
                    weight=weight,
                    train_loss=loss,
                    energy_j=entry.energy_j,
                )
            )
            self.tasks_ended += 1
        word = _ANSWERED if outcome is None else outcome.value
        self._journal.message(_row(entry, word, flight.task.dispatched_s))
        del self._entries[entry.letter.number]

    def _close_version(self) -> None:
        if self.version is not None:
            self._journal.version(self.version)


_ANSWERED = "answered"


def _row(entry: _Entry, outcome: str, ended_s: float) -> MessageRecord:
    """`ended_s`: of a message that never went out."""
    letter, flight = entry.letter, entry.flight
    if flight is None:
        return MessageRecord(
            message=letter.number,
            client=letter.client,
            kind=letter.kind,
            group=letter.group,
            version=letter.version,
            pushed_s=entry.pushed_s,
            ended_s=ended_s,
            outcome=outcome,
        )
    return MessageRecord(
        message=letter.number,
        client=letter.client,
        kind=letter.kind,
        group=letter.group,
        version=letter.version,
        pushed_s=entry.pushed_s,
        ended_s=ended_s if flight.ended_s is None else flight.ended_s,
        outcome=outcome,
        task=flight.task.id if letter.trains else None,
        asked_s=flight.task.dispatched_s,
        download_end_s=flight.download_end_s,
        compute_end_s=flight.train_end_s,
        collected_s=entry.collected_s,
        error=flight.answer.error,
        reason=flight.answer.reason,
        bytes_down=flight.bytes_down,
        bytes_up=flight.bytes_up,
        energy_j=entry.energy_j,
    )
