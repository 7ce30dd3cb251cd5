"""The numbers that a Flower app's strategy reports, and which of them are those of a version."""

from collections.abc import Mapping
from typing import Any

from flsim.records import MetricRecord

_ACCURACY = ("accuracy", "acc")
_LOSS = ("loss",)


def number_in(metrics: Mapping[str, Any], name: str | None, parts: tuple[str, ...]) -> float | None:
    """Return the number of this name or, if that is None, the first in whose name one of `parts` is."""
    for part in (None,) if name is not None else parts:
        for key, value in metrics.items():
            fits = key == name if part is None else part in key.lower()
            if fits and isinstance(value, int | float) and not isinstance(value, bool):
                return float(value)
    return None


class Metrics:
    """Owns what Flower's own result would have: metrics by round, of training and of both evaluations."""

    def __init__(self, accuracy: str | None, loss: str | None) -> None:
        """`accuracy` and `loss`: names of metrics; None for the usual ones."""
        self._names = accuracy, loss
        self._by_round: dict[str, dict[int, dict[str, Any]]] = {
            "train_metrics_clientapp": {},
            "evaluate_metrics_clientapp": {},
            "evaluate_metrics_serverapp": {},
        }
        self._of_versions: dict[tuple[int, str], float] = {}

    def add(self, sort: str, server_round: int, version: int, metrics: Mapping[str, Any] | None) -> None:
        """Take the metrics of a round, under the name that Flower's result has for this sort of them."""
        if not metrics:
            return
        self._by_round[sort][server_round] = dict(metrics)
        for name, value in metrics.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                self._of_versions[version, f"{_SHORT[sort]}.{name}"] = float(value)

    def tested(self, metrics: Mapping[str, Any]) -> tuple[float | None, float | None]:
        """Return the accuracy and the loss among these metrics."""
        accuracy, loss = self._names
        return number_in(metrics, accuracy, _ACCURACY), number_in(metrics, loss, _LOSS)

    def told(self) -> dict[str, object]:
        """Return all of it by round, as plain data."""
        return {
            sort: {str(server_round): metrics for server_round, metrics in rounds.items()}
            for sort, rounds in self._by_round.items()
        }

    def records(self) -> list[MetricRecord]:
        """Return the rows of metrics.parquet: every metric for every version that has any."""
        versions = sorted({version for version, _ in self._of_versions})
        names = dict.fromkeys(name for _, name in self._of_versions)
        return [
            MetricRecord(version, None, name, self._of_versions.get((version, name)))
            for version in versions
            for name in names
        ]


_SHORT = {
    "train_metrics_clientapp": "train",
    "evaluate_metrics_clientapp": "evaluate",
    "evaluate_metrics_serverapp": "server",
}
