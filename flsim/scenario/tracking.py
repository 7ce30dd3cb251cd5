"""`tracking`: other programs that are given a run's metrics, such as TensorBoard."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal, cast

from pydantic import Field

from flsim.component import Component, Kinds, misfit

Word = Annotated[str, Field(min_length=1)]


class Tracker(Component):
    """Where the metrics of a run go beside its own files."""


class CsvTracker(Tracker):
    """`tracked.csv`: a line for every test of a version, the server's and the clients' own."""

    kind: Literal["csv"] = "csv"


class TensorBoard(Tracker):
    """`tensorboard/`: event files, as the run goes on (extra `tensorboard`)."""

    kind: Literal["tensorboard"] = "tensorboard"


class MLflow(Tracker):
    """A run of MLflow in `mlflow/`, as the run goes on, or at `uri` (extra `mlflow`).

    `uri`: the store that takes it; none means one of the run's own. `experiment`: what it is filed under.
    """

    kind: Literal["mlflow"] = "mlflow"
    uri: Word | None = None
    experiment: Word = "flsim"


class WandB(Tracker):
    """A run of Weights & Biases in `wandb/`, sent nowhere unless `mode` is online (extra `wandb`).

    `mode`: whether it stays on this machine. `project`: what it is filed under. `entity`: whose project
    that is; none means the user's own.
    """

    kind: Literal["wandb"] = "wandb"
    mode: Literal["offline", "online"] = "offline"
    project: Word = "flsim"
    entity: Word | None = None


TRACKERS = Kinds(Tracker, CsvTracker, TensorBoard, MLflow, WandB)
AnyTracker = Annotated[Tracker, TRACKERS]


def check_trackers(trackers: Sequence[Tracker]) -> None:
    """Refuse a second tracker of a kind: it would write where the first one does."""
    kinds: set[str] = set()
    for place, tracker in enumerate(trackers):
        if tracker.kind in kinds:
            raise misfit(("tracking", place, "kind"), tracker.kind, "there is one of this kind already")
        kinds.add(tracker.kind)


def with_kinds(trackers: Sequence[Tracker], kinds: Iterable[str]) -> tuple[Tracker, ...]:
    """Return the trackers, and those of further kinds with their keys as they are."""
    known = {tracker.kind for tracker in trackers}
    further = [TRACKERS.resolve({"kind": kind}) for kind in dict.fromkeys(kinds) if kind not in known]
    return (*trackers, *cast(list[Tracker], further))
