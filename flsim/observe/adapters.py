"""What summary.json says of a model that is frozen but for a part, and `factorisation.parquet`."""

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

import pyarrow as pa

from flsim.observe.schemas import FACTORISATION_SCHEMA
from flsim.observe.table_file import write_table
from flsim.scenario.codec import FLOAT_BYTES
from flsim.tasks import TaskCosts, TrainingReport


def write_factorisation(folder: Path, lost: Mapping[int, float]) -> None:
    """Write what each version lacks of the mean that led to it. Raises RunError if that is impossible."""
    rows = [{"version": version, "lost": share} for version, share in lost.items()]
    write_table(folder / "factorisation.parquet", pa.Table.from_pylist(rows, FACTORISATION_SCHEMA))


def adapters_summary(costs: TaskCosts, training: TrainingReport | None) -> Mapping[str, object] | None:
    """Return how much of the model travels and how much stays; None where all of it travels.

    `lost`: what versions lack of the means that led to them, where adapters are factorised.
    """
    if not costs.frozen_parameters or costs.parameters is None:
        return None
    of_clients = costs.client_bytes or [FLOAT_BYTES * costs.parameters]
    sizes = {
        "parameters": costs.parameters,
        "frozen_parameters": costs.frozen_parameters,
        "smallest_bytes": min(of_clients),
        "largest_bytes": max(of_clients),
    }
    if training is None or not training.lost:
        return sizes
    shares = list(training.lost.values())
    return sizes | {"lost": {"mean": fmean(shares), "largest": max(shares), "last": shares[-1]}}
