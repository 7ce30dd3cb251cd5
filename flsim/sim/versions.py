"""The model's versions as the server keeps them: one row each, tested every so often."""

from flsim.records import Evaluation, Journal, Learner, VersionRecord


class Versions:
    """Owns the current version's row, and hands it to the journal when the next one is made.

    So the last version can still be tested when it turns out to be the last.
    """

    def __init__(self, learner: Learner, journal: Journal, evaluate_every: int) -> None:
        self._learner = learner
        self._journal = journal
        self._every = evaluate_every
        self._row = self._tested(VersionRecord(0, 0.0, 0, None, None, None, learner.model_sha256()))

    @property
    def current(self) -> int:
        """The number of the current version."""
        return self._row.version

    @property
    def accuracy(self) -> float | None:
        """The accuracy of the current version, if it was tested."""
        return self._row.accuracy

    def add(self, now: float, staleness: list[int], model_sha256: str | None) -> None:
        """Make the next version the current one. `staleness`: of each aggregated update."""
        self._journal.version(self._row)
        mean_staleness = sum(staleness) / len(staleness)
        row = VersionRecord(self.current + 1, now, len(staleness), mean_staleness, None, None, model_sha256)
        self._row = self._tested(row) if row.version % self._every == 0 else row

    def close(self) -> None:
        """The current version was the last: test it if that has not happened, and write its row."""
        if self._row.accuracy is None:
            self._row = self._tested(self._row)
        self._journal.version(self._row)

    def _tested(self, row: VersionRecord) -> VersionRecord:
        evaluation: Evaluation | None = self._learner.evaluate()
        if evaluation is None:
            return row
        return row._replace(accuracy=evaluation.accuracy, loss=evaluation.loss)
