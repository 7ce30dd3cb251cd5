"""Tracker `wandb`: a run of Weights & Biases in `wandb/`, offline unless the scenario says otherwise.

Every point is a row of its history, with virtual time as the axis of all metrics. A metric that is known
late comes in a later row, of the same version and virtual time.
"""

import shutil
from typing import Any

from flsim.observe.folder import below
from flsim.observe.trackers.writer import Finished, Point, Told
from flsim.scenario.tracking import WandB

FOLDER = "wandb"
TIME, VERSION = "virtual_time_s", "version"


class WandBRun:
    """Writes one run by the service process of W&B, beside any other that a program may have open."""

    def __init__(self, tracker: WandB) -> None:
        self._tracker = tracker

    def start(self, told: Told, mark: str) -> None:
        import wandb

        if not mark:
            shutil.rmtree(below(told.folder, FOLDER), ignore_errors=True)
        below(told.folder, FOLDER).mkdir(parents=True, exist_ok=True)
        self._run: Any = wandb.init(
            mode=self._tracker.mode,
            project=self._tracker.project,
            entity=self._tracker.entity,
            name=told.name,
            dir=str(told.folder.resolve()),  # the service may have been started elsewhere
            config=dict(told.scenario),
            id=mark or None,
            resume="allow" if mark else None,
            reinit="create_new",
            settings=_settings(),
        )
        self._run.define_metric(TIME)
        self._run.define_metric("*", step_metric=TIME)

    def mark(self) -> str:
        return str(self._run.id)

    def write(self, point: Point) -> None:
        self._run.log({VERSION: point.version, TIME: point.time_s, **point.metrics})

    def finish(self, finished: Finished | None) -> None:
        if finished is not None:
            self._run.summary.update(dict(finished.outcome))
        self._run.finish(exit_code=1 if finished is None else 0)


def _settings() -> Any:
    """Return settings by which W&B prints nothing and looks at nothing but the metrics."""
    import wandb

    return wandb.Settings(
        silent=True,
        console="off",
        symlink=False,
        save_code=False,
        disable_code=True,
        disable_git=True,
        disable_job_creation=True,
        x_disable_meta=True,
        x_disable_stats=True,
        x_disable_machine_info=True,
        x_save_requirements=False,
    )
