"""A journal that others listen to: they are told of every row that it has taken, and cannot change it."""

from collections.abc import Callable

from flsim.observe.edge_journal import HierarchyParquetJournal
from flsim.observe.journal import ParquetJournal
from flsim.protocols import Journal
from flsim.records import (
    AbsenceRecord,
    EdgeVersionRecord,
    ErrandRecord,
    MessageRecord,
    MetadataRecord,
    SecureSessionRecord,
    TaskRecord,
    VersionRecord,
)


class HeardJournal:
    """Hands rows to a journal, then those of tasks to one listener and those of versions to several."""

    def __init__(
        self,
        journal: ParquetJournal,
        on_task: Callable[[TaskRecord], None],
        *on_version: Callable[[VersionRecord], None],
    ) -> None:
        self._journal = journal
        self._write, self._on_task = journal.task, on_task
        self._on_version = on_version
        self.metadata: Callable[[MetadataRecord], None] = journal.metadata
        self.secure_session: Callable[[SecureSessionRecord], None] = journal.secure_session
        self.absence: Callable[[AbsenceRecord], None] = journal.absence
        self.errand: Callable[[ErrandRecord], None] = journal.errand
        self.message: Callable[[MessageRecord], None] = journal.message

    def task(self, record: TaskRecord) -> None:
        """Take the row of a task that has ended."""
        self._write(record)
        self._on_task(record)

    def version(self, record: VersionRecord) -> None:
        """Take the row of a server update."""
        self._journal.version(record)
        for listener in self._on_version:
            listener(record)


class HeardHierarchyJournal(HeardJournal):
    """The same in a hierarchy. What edges do is not listened to."""

    def __init__(
        self,
        journal: HierarchyParquetJournal,
        on_task: Callable[[TaskRecord], None],
        *on_version: Callable[[VersionRecord], None],
    ) -> None:
        super().__init__(journal, on_task, *on_version)
        self.edge_task: Callable[[TaskRecord], None] = journal.edge_task
        self.edge_version: Callable[[EdgeVersionRecord], None] = journal.edge_version


def heard(
    journal: ParquetJournal,
    on_task: Callable[[TaskRecord], None],
    *on_version: Callable[[VersionRecord], None],
) -> Journal:
    """Return a journal that hands its rows on to `journal`, and then to those who listen."""
    if isinstance(journal, HierarchyParquetJournal):
        return HeardHierarchyJournal(journal, on_task, *on_version)
    return HeardJournal(journal, on_task, *on_version)
