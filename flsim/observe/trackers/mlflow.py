"""Tracker `mlflow`: a run in a database of its own in `mlflow/`, or wherever the scenario says.

The step of a metric is the version, and its timestamp is the virtual time in whole milliseconds. Metrics
are handed over in batches, at most once a second: a batch costs MLflow as much as a value.
"""

import logging
import os
import re
import shutil
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flsim.observe.folder import below
from flsim.observe.trackers.writer import Finished, Point, Told
from flsim.scenario.tracking import MLflow

FOLDER = "mlflow"
FILE = "mlflow.db"
_MOST_METRICS, _MOST_PARAMS, _LONGEST = 1_000, 100, 6_000  # of a batch, and of a parameter's text
_EVERY_S = 1.0


class MLflowRun:
    """Writes one run by MLflow's client, and leaves what else a program does with MLflow alone."""

    def __init__(self, tracker: MLflow) -> None:
        self._tracker = tracker
        self._waiting: list[Any] = []  # metrics
        self._sent_s = 0.0

    def start(self, told: Told, mark: str) -> None:
        with _quiet():
            from mlflow import MlflowClient

            self._client = MlflowClient(tracking_uri=self._place(told.folder, anew=not mark))
            if mark:
                self._run = mark
                return
            self._run = self._client.create_run(self._experiment(told), run_name=told.name).info.run_id
            self._log_params(told.scenario)

    def mark(self) -> str:
        self._send()
        return self._run

    def write(self, point: Point) -> None:
        from mlflow.entities import Metric

        at_ms = round(point.time_s * 1_000)
        for name, value in point.metrics.items():
            self._waiting.append(Metric(_allowed(name), float(value), at_ms, point.version))
        if len(self._waiting) >= _MOST_METRICS or time.monotonic() - self._sent_s >= _EVERY_S:
            self._send()

    def finish(self, finished: Finished | None) -> None:
        self._send()
        for name, value in ({} if finished is None else finished.outcome).items():
            self._client.set_tag(self._run, f"flsim.{name}", str(value))
        self._client.set_terminated(self._run, "FAILED" if finished is None else "FINISHED")

    def _place(self, folder: Path, *, anew: bool) -> str:
        """Return the address of the database."""
        if self._tracker.uri is not None:
            return self._tracker.uri
        folder = below(folder, FOLDER)
        if anew:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        return f"sqlite:///{folder.resolve() / FILE}"

    def _experiment(self, told: Told) -> str:
        """Return the id of the experiment, which is made if there is none of that name."""
        name = self._tracker.experiment
        if (found := self._client.get_experiment_by_name(name)) is not None:
            return str(found.experiment_id)
        files = None if self._tracker.uri else (told.folder / FOLDER / "artifacts").resolve().as_uri()
        return str(self._client.create_experiment(name, artifact_location=files))

    def _log_params(self, scenario: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        params = [Param(_allowed(name), str(value)[:_LONGEST]) for name, value in _flat(scenario)]
        for start in range(0, len(params), _MOST_PARAMS):
            self._client.log_batch(self._run, params=params[start : start + _MOST_PARAMS])

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), _MOST_METRICS):
            self._client.log_batch(self._run, metrics=waiting[start : start + _MOST_METRICS])
        self._sent_s = time.monotonic()


def _flat(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    """Yield every value of a scenario by its path.

    >>> dict(_flat({"fleet": {"clients": 3}, "seeds": [1, 2], "stop": {}}))
    {'fleet.clients': 3, 'seeds.0': 1, 'seeds.1': 2}
    """
    if isinstance(value, Mapping):
        entries = [(str(key), entry) for key, entry in value.items()]
    elif isinstance(value, list | tuple):
        entries = [(str(place), entry) for place, entry in enumerate(value)]
    else:
        yield name, value
        return
    for key, entry in entries:
        yield from _flat(entry, f"{name}.{key}" if name else key)


def _allowed(name: str) -> str:
    """Return a name with what MLflow takes in it."""
    return re.sub(r"[^\w\-. :/]", "_", name)[:250]


@contextmanager
def _quiet() -> Iterator[None]:
    """Load MLflow without telemetry, without a log of how it makes its tables, and without old warnings."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    with warnings.catch_warnings():
        # Of SQLAlchemy 2.1 about MLflow's use of it.
        warnings.filterwarnings(
            "ignore", "The ``noload`` loader strategy is deprecated", DeprecationWarning
        )
        import mlflow  # noqa: F401 - it sets up its log

        logs = [logging.getLogger(name) for name in ("mlflow", "alembic")]
        levels = [log.level for log in logs]
        for log in logs:
            log.setLevel(logging.WARNING)
        try:
            yield
        finally:
            for log, level in zip(logs, levels, strict=True):
                log.setLevel(level)
