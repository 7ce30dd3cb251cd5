"""The protocols that join the world with the learner and with the journal."""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from flsim.records import (
    AbsenceRecord,
    ClientEvaluations,
    EdgeVersionRecord,
    ErrandRecord,
    MessageRecord,
    MetadataRecord,
    SecureSessionRecord,
    TaskRecord,
    VersionRecord,
)
from flsim.tasks import Anchor, Evaluation, Recovered, SecureSession, Task, TrainingReport, UpdateResult


class Learner(Protocol):
    """What happens to weights. It never sees the clock."""

    def submit(self, task: Task) -> None:
        """Take note of a dispatched task. Nothing has to train yet."""

    def forget(self, task: Task, *, computed: bool) -> None:
        """Release a task whose update will never be aggregated. `computed`: the client had trained it."""

    def not_received(self, task: Task) -> None:
        """The version has not reached the client of a task, which is about to be forgotten.

        Told only where the costs say that a client's next download depends on it.
        """

    def upload_bytes(self, task: Task) -> int | None:
        """Return what a computed task's update takes on the wire; None for what the costs say.

        Asked only where the costs say that it varies: the task has to train for it.
        """

    def aggregate(
        self, tasks: Sequence[Task], weights: Sequence[float], anchor: Anchor, group: int = 0
    ) -> UpdateResult:
        """Apply the tasks' updates with these weights and make the next version.

        `group`: which of the strategy's groups they are of.
        """

    def evaluate(self) -> Callable[[], Evaluation] | None:
        """Begin to test the current version; None where nothing is trained.

        Calling what it returns waits for the result, which the run may go on without for a while.
        """

    def client_tests(self) -> ClientEvaluations | None:
        """Return the clients' own tests of the current version; None if it is not one of those tested.

        Waits for them, and makes no difference to them or to anything else.
        """

    def model_sha256(self) -> str | None:
        """Return the hash of the current version's weights; None where nothing is trained."""

    def finish(self) -> None:
        """The run is over, and its last version made: test what is still to be tested."""

    def close(self) -> TrainingReport | None:
        """Give back what training holds, and say how it went; None where nothing is trained."""


class Branch(Learner, Protocol):
    """The learner of an edge: versions of its own, made of its clients' tasks.

    `Learner.evaluate` and `Learner.model_sha256` return None: nobody tests an edge's versions.
    """

    def adopt(self, task: Task) -> None:
        """Go on from the version that a task of the edge's came with. None of its clients has a task."""

    def hand_up(self, task: Task) -> None:
        """Make what the version has moved since the update of the edge's task, for the learner above."""


@runtime_checkable
class Trunk(Learner, Protocol):
    """The learner of a server that aggregates tasks of edges: a task's client is the edge's number."""

    def branch(self, edge: int) -> Branch:
        """Return the learner of an edge. To be called once for each."""


@runtime_checkable
class Unmasker(Learner, Protocol):
    """A learner whose server learns sums only."""

    def unmask(self, session: SecureSession) -> None:
        """The server update that comes next is of who is `masked` in a session."""


@runtime_checkable
class BufferUnmasker(Learner, Protocol):
    """A learner whose server learns the sums of buffers only."""

    def recover(self, buffer: Recovered) -> None:
        """The server update that comes next is of this buffer."""


class Journal(Protocol):
    """What happened. Rows are handed over as the run goes, and written as they come."""

    def task(self, record: TaskRecord) -> None:
        """Take the row of a task that has ended."""

    def version(self, record: VersionRecord) -> None:
        """Take the row of a server update."""

    def metadata(self, record: MetadataRecord) -> None:
        """Take the row of what came with a task's update."""


@runtime_checkable
class PresenceJournal(Journal, Protocol):
    """What happened, and when clients were away."""

    def absence(self, record: AbsenceRecord) -> None:
        """Take the row of an absence that is over, or that the end of the run has cut short."""


@runtime_checkable
class SecureJournal(Journal, Protocol):
    """What happened, secure aggregation included."""

    def secure_session(self, record: SecureSessionRecord) -> None:
        """Take the row of a phase that has ended."""

    def errand(self, record: ErrandRecord) -> None:
        """Take the row of what a holder did in a recovery."""


@runtime_checkable
class MessageJournal(Journal, Protocol):
    """What happened, the messages of a program included."""

    def message(self, record: MessageRecord) -> None:
        """Take the row of a message that is over."""


@runtime_checkable
class HierarchyJournal(Journal, Protocol):
    """What happened in a hierarchy. `task` takes the clients' tasks, `version` the server's updates."""

    def edge_task(self, record: TaskRecord) -> None:
        """Take the row of a task of an edge's that has ended: its client is the edge's number."""

    def edge_version(self, record: EdgeVersionRecord) -> None:
        """Take the row of an edge's update."""
