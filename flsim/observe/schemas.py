"""The columns of the tables of a run."""

import pyarrow as pa


def _schema(**columns: tuple[pa.DataType, bool]) -> pa.Schema:
    return pa.schema([pa.field(name, kind, nullable) for name, (kind, nullable) in columns.items()])


_COUNT = (pa.int64(), False)
_COUNT_OR_NULL = (pa.int64(), True)
_REAL = (pa.float64(), False)
_REAL_OR_NULL = (pa.float64(), True)

TASKS_SCHEMA = _schema(
    task=_COUNT,
    client=_COUNT,
    base_version=_COUNT,
    dispatched_s=_REAL,
    download_end_s=_REAL_OR_NULL,
    train_end_s=_REAL_OR_NULL,
    ended_s=_REAL,
    outcome=(pa.dictionary(pa.int8(), pa.string()), False),
    aggregated_version=_COUNT_OR_NULL,
    staleness=_COUNT_OR_NULL,
    weight=_REAL_OR_NULL,
    samples=_COUNT,
    bytes_down=_COUNT,
    bytes_up=_COUNT,
    train_loss=_REAL_OR_NULL,
    energy_j=_REAL_OR_NULL,
    trust=_REAL_OR_NULL,
)
VERSIONS_SCHEMA = _schema(
    version=_COUNT,
    time_s=_REAL,
    tasks=_COUNT,
    mean_staleness=_REAL_OR_NULL,
    accuracy=_REAL_OR_NULL,
    loss=_REAL_OR_NULL,
    model_sha256=(pa.string(), True),
    epsilon=_REAL_OR_NULL,
    clip=_REAL_OR_NULL,
    clipped=_COUNT_OR_NULL,
    attack_success=_REAL_OR_NULL,
)
EDGE_VERSIONS_SCHEMA = _schema(
    edge=_COUNT,
    version=_COUNT,
    time_s=_REAL,
    tasks=_COUNT,
    mean_staleness=_REAL_OR_NULL,
)
CLIENTS_SCHEMA = _schema(
    client=_COUNT,
    device_class=(pa.string(), False),
    samples=_COUNT,
    speed_flops=_REAL_OR_NULL,
    downlink_bps=_REAL,
    uplink_bps=_REAL,
    latency_s=_REAL,
    tasks=_COUNT,
    aggregated=_COUNT,
    discarded=_COUNT,
    dropped=_COUNT,
    lost=_COUNT,
    rejected=_COUNT,
    unfinished=_COUNT,
    busy_s=_REAL,
    energy_j=_REAL_OR_NULL,
    bytes_down=_COUNT,
    bytes_up=_COUNT,
)
METADATA_SCHEMA = _schema(
    task=_COUNT,
    client=_COUNT,
    version=_COUNT,
    training_time_s=_REAL,
    converged=(pa.bool_(), True),
    losses=(pa.list_(pa.float64()), False),
    scalars=(pa.string(), True),
    rejected=(pa.string(), True),
)
SECURE_SESSIONS_SCHEMA = _schema(
    session=_COUNT,
    phase=(pa.string(), False),
    members=_COUNT,
    dropped=_COUNT,
    threshold=_COUNT,
    started_s=_REAL,
    ended_s=_REAL,
    bytes_up=_COUNT,
    bytes_down=_COUNT,
    mode=(pa.string(), False),
    outcome=(pa.string(), False),
)
SECURE_ERRANDS_SCHEMA = _schema(
    session=_COUNT,
    client=_COUNT,
    asked_s=_REAL_OR_NULL,
    ended_s=_REAL,
    outcome=(pa.string(), False),
    bytes_down=_COUNT,
    bytes_up=_COUNT,
    energy_j=_REAL_OR_NULL,
)
MESSAGES_SCHEMA = _schema(
    message=_COUNT,
    client=_COUNT,
    kind=(pa.string(), False),
    group=(pa.string(), False),
    version=_COUNT,
    pushed_s=_REAL,
    ended_s=_REAL,
    outcome=(pa.string(), False),
    task=_COUNT_OR_NULL,
    asked_s=_REAL_OR_NULL,
    download_end_s=_REAL_OR_NULL,
    compute_end_s=_REAL_OR_NULL,
    collected_s=_REAL_OR_NULL,
    error=_COUNT_OR_NULL,
    reason=(pa.string(), True),
    bytes_down=_COUNT,
    bytes_up=_COUNT,
    energy_j=_REAL_OR_NULL,
)
ABSENCES_SCHEMA = _schema(
    client=_COUNT,
    from_s=_REAL,
    until_s=_REAL_OR_NULL,
)
ENDING_SCHEMA = _schema(
    stop_reason=(pa.string(), False),
    stop_detail=(pa.string(), False),
    virtual_time_s=_REAL,
)
EDGE_OF_CLIENT = pa.field("edge", *_COUNT)  # a further column of the clients, in a hierarchy
CLIENT_ACCURACY_SCHEMA = _schema(
    version=_COUNT,
    client=_COUNT,
    samples=_COUNT,
    accuracy=_REAL_OR_NULL,
    loss=_REAL,
)
METRICS_SCHEMA = _schema(
    version=_COUNT,
    client=_COUNT_OR_NULL,
    metric=(pa.string(), False),
    value=_REAL_OR_NULL,
)
FACTORISATION_SCHEMA = _schema(
    version=_COUNT,
    lost=_REAL,
)
ATTACKED_TASKS_SCHEMA = _schema(
    task=_COUNT,
    client=_COUNT,
    dispatched_s=_REAL,
    outcome=(pa.string(), False),
    aggregated_version=_COUNT_OR_NULL,
)
ATTACKERS_SCHEMA = _schema(
    client=_COUNT,
    attacked_tasks=_COUNT,
    aggregated=_COUNT,
)
LEAKAGE_SCHEMA = _schema(
    version=_COUNT,
    seen=(pa.string(), False),
    client=_COUNT_OR_NULL,
    attack=(pa.string(), False),
    score=_REAL,
    baseline=_REAL,
    standard_error=_REAL_OR_NULL,
    sensitivity=_REAL_OR_NULL,
    pairs=_COUNT,
)
RECONSTRUCTIONS_SCHEMA = _schema(
    version=_COUNT,
    seen=(pa.string(), False),
    client=_COUNT_OR_NULL,
    nearness_db=_REAL,
    shape=(pa.list_(pa.int64()), False),
    true=(pa.list_(pa.float32()), False),
    guess=(pa.list_(pa.float32()), False),
)
