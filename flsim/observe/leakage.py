"""`leakage.parquet` and `reconstructions.parquet`: what attacks on updates and versions gave."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

import pyarrow as pa

from flsim.observe.schemas import LEAKAGE_SCHEMA, RECONSTRUCTIONS_SCHEMA
from flsim.observe.table_file import write_table
from flsim.observe.tables import Tables
from flsim.records import LeakageRecord, LeakageReport


def write_leakage(folder: Path, report: LeakageReport) -> None:
    """Write both tables into `folder`. Raises RunError if a file cannot be written."""
    rows = [record._asdict() for record in report.records]
    guesses = [
        {
            "version": each.version,
            "seen": each.seen,
            "client": each.client,
            "nearness_db": each.sample.nearness_db,
            "shape": list(each.sample.true.shape),
            "true": each.sample.true.ravel(),
            "guess": each.sample.guess.ravel(),
        }
        for each in report.reconstructed
    ]
    tables = {
        "leakage.parquet": pa.Table.from_pylist(rows, LEAKAGE_SCHEMA),
        "reconstructions.parquet": pa.Table.from_pylist(guesses, RECONSTRUCTIONS_SCHEMA),
    }
    for name, table in tables.items():
        write_table(folder / name, table)


def leakage_summary(tables: Tables) -> Mapping[str, object] | None:
    """Return the means over all observations, for each that is seen and each attack on it.

    None without a leakage meter. `standard_error` is that of the mean: different clients count as
    independent; of one client, and of releases, the same samples are seen time and again, so there it is
    the mean of the observations' own, which that of their mean does not exceed.
    """
    if tables.leakage is None:
        return None
    groups: defaultdict[str, defaultdict[str, list[LeakageRecord]]] = defaultdict(lambda: defaultdict(list))
    for row in tables.leakage.to_pylist():
        record = LeakageRecord(**row)
        groups[record.seen][record.attack].append(record)
    return {
        seen: {attack: _means(records) for attack, records in attacks.items()}
        for seen, attacks in groups.items()
    }


def _means(records: Sequence[LeakageRecord]) -> dict[str, object]:
    means: dict[str, object] = {
        "score": fmean(each.score for each in records),
        "baseline": fmean(each.baseline for each in records),
    }
    found = [each.sensitivity for each in records if each.sensitivity is not None]
    if found:
        means |= {"standard_error": _error_of_mean(records), "sensitivity": fmean(found)}
    return means | {"observations": len(records)}


def _error_of_mean(records: Sequence[LeakageRecord]) -> float:
    of_clients: defaultdict[int | None, float] = defaultdict(float)
    for each in records:
        of_clients[each.client] += each.standard_error or 0.0
    return math.hypot(*of_clients.values()) / len(records)
