"""What is written down of a run: the rows and columns of its tables.

Ids, seconds, bytes and metadata only; a tensor never appears here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Outcome(StrEnum):
    """How a task ended. Every dispatched task ends in exactly one of these."""

    AGGREGATED = "aggregated"  # part of a server update
    DISCARDED = "discarded"  # stale, late, or its round was abandoned
    DROPPED = "dropped"  # the client failed or left
    LOST = "lost"  # the network gave up
    REJECTED = "rejected"  # arrived, but is not a valid update
    UNFINISHED = "unfinished"  # the run ended first


class TaskRecord(NamedTuple):
    """A row of tasks.parquet. None where a stage was not reached or a value does not apply."""

    task: int
    client: int
    base_version: int
    dispatched_s: float
    download_end_s: float | None
    train_end_s: float | None
    ended_s: float
    outcome: Outcome
    aggregated_version: int | None
    staleness: int | None
    weight: float | None
    samples: int
    bytes_down: int
    bytes_up: int
    train_loss: float | None
    energy_j: float | None = None  # what the device drew for it; None without a power model
    trust: float | None = None  # in the client from this update on; None without a rule that keeps it


class VersionRecord(NamedTuple):
    """A row of versions.parquet: one server update. Version 0 is the initial model."""

    version: int
    time_s: float
    tasks: int
    mean_staleness: float | None
    accuracy: float | None
    loss: float | None
    model_sha256: str | None
    epsilon: float | None = None  # spent so far; None without a privacy that the server keeps
    clip: float | None = None  # the norm that updates were clipped to, and how many were longer
    clipped: int | None = None
    attack_success: float | None = None  # None unless it is tested, and there is a backdoor


class EndingRecord(NamedTuple):
    """The row of ending.parquet: why a run ended, as a word and as a sentence, and when."""

    stop_reason: str
    stop_detail: str
    virtual_time_s: float


class AbsenceRecord(NamedTuple):
    """A row of absences.parquet: a stretch of time for which a client was away, for whatever reasons."""

    client: int
    from_s: float
    until_s: float | None  # None if it was still away when the run ended


class MetadataRecord(NamedTuple):
    """A row of metadata.parquet: what came with a task's update, if something was trained.

    `version`: the one that the update went into, or would have, had it not been rejected.
    """

    task: int
    client: int
    version: int
    training_time_s: float  # virtual seconds of computing
    converged: bool | None  # whether the loss came to rest; None where less than two epochs tell
    losses: tuple[float, ...]  # of each epoch, the mean over samples
    scalars: str | None  # the user's own as JSON; None without, or where they were rejected
    rejected: str | None  # why the user's scalars were; None if they were not


class SecureSessionRecord(NamedTuple):
    """A row of secure_sessions.parquet: one phase of a session. `dropped`: who did not complete it.

    Bytes are all that its clients moved in the phase, so those of the model, too. A buffer's one
    phase is its recovery: `members` are the committee, and bytes are those of its rows in `ErrandRecord`.
    """

    session: int
    phase: str  # keys, shares, masked_input, unmasking; recovery
    members: int  # at its start
    dropped: int
    threshold: int
    started_s: float
    ended_s: float
    bytes_up: int
    bytes_down: int
    mode: str  # protocol, or fast: without the curves
    outcome: str  # completed, failed, unfinished


class ErrandRecord(NamedTuple):
    """A row of secure_errands.parquet: what a holder of the committee did in a recovery, beside its tasks.

    `asked_s`: when its request was sent out; None where it was away all the time.
    """

    session: int
    client: int
    asked_s: float | None
    ended_s: float
    outcome: str  # answered; spared: it was not needed; dropped, lost, late, away; unfinished
    bytes_down: int
    bytes_up: int
    energy_j: float | None


class MessageRecord(NamedTuple):
    """A row of messages.parquet: one message of a program's to a client, and its answer.

    `outcome`: that of its task, if it is one; else answered, or as a task's, or why it never went out.
    `task`: None for messages that ask for no update, and for those that never went out.
    """

    message: int
    client: int
    kind: str  # of the message: train, evaluate, query, with an action behind a dot
    group: str
    version: int  # of the model that it carried, or the current one
    pushed_s: float
    ended_s: float
    outcome: str
    task: int | None = None
    asked_s: float | None = None  # when its download began
    download_end_s: float | None = None
    compute_end_s: float | None = None
    collected_s: float | None = None  # when the program took the answer
    error: int | None = None  # the code of an answer that is an error, and the reason that came with it
    reason: str | None = None
    bytes_down: int = 0
    bytes_up: int = 0
    energy_j: float | None = None


class EdgeVersionRecord(NamedTuple):
    """A row of edge_versions.parquet: one update that an edge server has made; version 0 is none."""

    edge: int
    version: int
    time_s: float
    tasks: int
    mean_staleness: float | None


@dataclass(frozen=True)
class Devices:
    """What is drawn once per client, as columns: one value per client in each."""

    class_names: tuple[str, ...]
    device_class: NDArray[np.uint8]  # index into class_names
    speed_flops: NDArray[np.float64]  # NaN where the class has durations instead
    downlink_bps: NDArray[np.float64]
    uplink_bps: NDArray[np.float64]
    latency_s: NDArray[np.float64]


@dataclass(frozen=True)
class ClientEvaluations:
    """The clients' own tests as columns: one value for each tested version and client in each.

    `samples`: how many the client holds out; `loss`: their mean. `metrics`: further ones by their names.
    NaN where something is undefined, as the accuracy of a number is.
    """

    version: NDArray[np.int64]
    client: NDArray[np.int64]
    samples: NDArray[np.int64]
    accuracy: NDArray[np.float64]
    loss: NDArray[np.float64]
    metrics: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)


DIVERGENCE = (
    "divergence_mean",
    "divergence_max",
    "update_norm_mean",
    "update_norm_max",
    "cosine_mean",
    "cosine_min",
)
"""Metrics of a server update: the distance of the clients' models to the next version, the lengths of their
updates, and the cosine of these to what the version has moved.
"""


class MetricRecord(NamedTuple):
    """A row of metrics.parquet: a metric of a version. `client`: None for what the server measures."""

    version: int
    client: int | None
    metric: str
    value: float | None  # None where it is undefined


class LeakageRecord(NamedTuple):
    """A row of leakage.parquet: one attack on what somebody sees of the update that led to a version.

    `seen`: the `update` of a client, as the server receives it, or the `release` of a version. `score`: the
    area under the ROC curve of membership inference, or the nearness of the best reconstruction in dB;
    `baseline`: what it is where nothing leaks.
    """

    version: int
    seen: str
    client: int | None  # None for a release
    attack: str  # alignment, loss, inversion
    score: float
    baseline: float
    standard_error: float | None  # of membership inference
    sensitivity: float | None  # true positives at 1 % false ones; of membership inference
    pairs: int  # members, and as many others, that were compared


class Reconstruction(NamedTuple):
    """A sample and what was taken for it, both of the inputs' shape; `nearness_db` is of the two."""

    true: NDArray[np.float32]
    guess: NDArray[np.float32]
    nearness_db: float


class Reconstructed(NamedTuple):
    """A row of reconstructions.parquet: which sample of whom came out of what."""

    version: int
    seen: str
    client: int | None
    sample: Reconstruction


class LeakageReport(NamedTuple):
    """What the attacks on a run's updates and versions gave, and the best reconstructions of each."""

    records: tuple[LeakageRecord, ...]
    reconstructed: tuple[Reconstructed, ...]
