"""Recorded availability and recorded capacities, as CSV and as Parquet."""

from flsim.sim.network.recorded import read_capacity
from flsim.sim.schedules.trace_file import read_intervals
from tests.fuzz.place import placed
from tests.fuzz.target import Target


def availability_csv(content: bytes) -> None:
    read_intervals(str(placed("availability.csv", content)))


def availability_parquet(content: bytes) -> None:
    read_intervals(str(placed("availability.parquet", content)), 10_000.0)


def capacity_csv(content: bytes) -> None:
    read_capacity(str(placed("capacity.csv", content)), None)


def capacity_parquet(content: bytes) -> None:
    read_capacity(str(placed("capacity.parquet", content)), 100.0)


TARGETS = (
    Target("availability_csv", availability_csv),
    Target("availability_parquet", availability_parquet, "table"),
    Target("capacity_csv", capacity_csv),
    Target("capacity_parquet", capacity_parquet, "table"),
)
