"""Which writer writes for which tracker."""

from functools import singledispatch

from flsim.observe.trackers.csv_file import CsvFile
from flsim.observe.trackers.mlflow import MLflowRun
from flsim.observe.trackers.tensorboard import EventFile
from flsim.observe.trackers.wandb import WandBRun
from flsim.observe.trackers.writer import Writer, require
from flsim.scenario.tracking import CsvTracker, MLflow, TensorBoard, Tracker, WandB


@singledispatch
def writer_for(tracker: Tracker) -> Writer:
    """Return what writes for a tracker. Raises ScenarioError if its package is not there."""
    raise TypeError(f"nothing writes for a tracker of {type(tracker).__name__}: register a writer for it")


@writer_for.register
def _(tracker: CsvTracker) -> Writer:
    return CsvFile()


@writer_for.register
def _(tracker: TensorBoard) -> Writer:
    require(tracker, "tensorboard")
    return EventFile()


@writer_for.register
def _(tracker: MLflow) -> Writer:
    require(tracker, "mlflow", "sqlalchemy")
    return MLflowRun(tracker)


@writer_for.register
def _(tracker: WandB) -> Writer:
    require(tracker, "wandb")
    return WandBRun(tracker)
