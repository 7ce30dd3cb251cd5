"""Tracker `csv`: `tracked.csv`, a line for every test of a version, the server's and the clients' own.

Precision and its like are known when the run is over, so the file is written then, and whole.
"""

import csv
import io
from collections.abc import Iterator
from typing import Any

from flsim.observe.files import write_bytes
from flsim.observe.tables import Tables, version_records
from flsim.observe.trackers.writer import Finished, Point, Told

FILE = "tracked.csv"
COLUMNS = ("time", "kind", "round", "loss", "precision", "recall", "f1", "roc_auc", "accuracy")
_FURTHER = ("precision", "recall", "f1", "roc_auc")


class CsvFile:
    """Writes the file of one run."""

    def start(self, told: Told, mark: str) -> None:
        self._path = told.folder / FILE
        self._path.unlink(missing_ok=True)

    def mark(self) -> str:
        return "nothing yet"

    def write(self, point: Point) -> None:
        """Every value is in the tables that `finish` is given."""

    def finish(self, finished: Finished | None) -> None:
        if finished is not None:
            write_bytes(self._path, tracked_csv(finished.tables).encode())


def tracked_csv(tables: Tables) -> str:
    """Return the tests of a run: of each version the server's, then the clients' in the order of their ids.

    `time` is in virtual seconds and `round` is the version. `kind` is `central`, or `client:` and the id.
    What was not measured, or is undefined, is empty.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    further, clients = _further(tables), _client_tests(tables)
    for row in version_records(tables.versions):
        tests: list[tuple[int | None, float | None, float | None]] = []
        if row.accuracy is not None or row.loss is not None:
            tests.append((None, row.loss, row.accuracy))
        for client, loss, accuracy in [*tests, *clients.get(row.version, ())]:
            kind = "central" if client is None else f"client:{client}"
            found = further.get((row.version, client), {})
            measured = [found.get(name) for name in _FURTHER]
            writer.writerow([row.time_s, kind, row.version, loss, *measured, accuracy])
    return text.getvalue()


def _client_tests(tables: Tables) -> dict[int, list[tuple[int, float, float | None]]]:
    """Return client, loss and accuracy of the clients' own tests, by version."""
    found: dict[int, list[tuple[int, float, float | None]]] = {}
    if (tested := tables.client_accuracy) is not None:
        columns = (tested[name].to_pylist() for name in ("version", "client", "loss", "accuracy"))
        for version, *test in sorted(zip(*columns, strict=True), key=_version_and_client):
            found.setdefault(version, []).append((test[0], test[1], test[2]))
    return found


def _version_and_client(test: tuple[Any, ...]) -> tuple[int, int]:
    return test[0], test[1]


def _further(tables: Tables) -> dict[tuple[int, int | None], dict[str, float | None]]:
    """Return the metrics of every test by version and client, None for the server's."""
    found: dict[tuple[int, int | None], dict[str, float | None]] = {}
    for version, client, name, value in _measured(tables):
        found.setdefault((version, client), {})[name] = value
    return found


def _measured(tables: Tables) -> Iterator[tuple[int, int | None, str, float | None]]:
    if (metrics := tables.metrics) is not None:
        yield from zip(*(column.to_pylist() for column in metrics.columns), strict=True)
