"""Who has which samples, from a file."""

import numpy as np

from flsim.learn.partitions.dealing import Rows, partition
from flsim.scenario.partition import FilePartition
from tests.fuzz.place import placed
from tests.fuzz.target import Target


def _read(name: str, content: bytes) -> None:
    parts = partition(FilePartition(path=str(placed(name, content)), min_samples=1), Rows(4), 3, 0)
    assert sorted(np.concatenate(parts).tolist()) == [0, 1, 2, 3]


def csv(content: bytes) -> None:
    _read("partition.csv", content)


def parquet(content: bytes) -> None:
    _read("partition.parquet", content)


def json(content: bytes) -> None:
    _read("partition.json", content)


TARGETS = (
    Target("partition_csv", csv),
    Target("partition_parquet", parquet, "table"),
    Target("partition_json", json, "json"),
)
