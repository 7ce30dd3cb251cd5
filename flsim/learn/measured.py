"""The metrics of a run's versions, as they come."""

from collections.abc import Mapping

from flsim.learn.state import State
from flsim.records import MetricRecord


class Measured:
    """Owns the rows of the server's metrics: of its tests, and of its updates."""

    def __init__(self) -> None:
        self._rows: dict[tuple[int, str], MetricRecord] = {}

    def note(self, version: int, values: Mapping[str, float | None]) -> None:
        """Take down metrics of a version by their names. The same again changes nothing."""
        for name, value in values.items():
            self._rows[version, name] = MetricRecord(version, None, name, value)

    def state(self) -> State:
        return list(self._rows.values())

    def restore(self, state: State) -> None:
        rows = (MetricRecord(*row) for row in state)
        self._rows = {(row.version, row.metric): row for row in rows}

    def records(self) -> list[MetricRecord]:
        """Return all rows in the order of versions."""
        return sorted(self._rows.values(), key=lambda row: row.version)
