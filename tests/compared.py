"""Made-up runs of methods over seeds, as metrics.json tells of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flsim.observe.comparison import FinishedRun

Curve = Sequence[tuple[float, float | None]]  # seconds and accuracies


def run_of(curve: Curve, strategy: str = "sync", seed: int = 0, **scenario: Any) -> FinishedRun:
    """Return a run whose version v took 100 v bytes up and 10 v down."""
    versions = [
        {
            "version": version,
            "time_s": time_s,
            "accuracy": accuracy,
            "bytes_up_cumulative": 100 * version,
            "bytes_down_cumulative": 10 * version,
        }
        for version, (time_s, accuracy) in enumerate(curve)
    ]
    data = {"name": f"{strategy}-{seed}", "seed": seed, "strategy": {"kind": strategy}, **scenario}
    return FinishedRun(Path(data["name"]), data, versions, curve[-1][0] + 1.0)


SYNC = [run_of([(0, 0.1), (10 + s, None), (20 + s, 0.8), (30 + s, 0.9)], seed=s) for s in range(3)]
ASYNC = [run_of([(0, 0.1), (5, 0.7), (9 + s, 0.85)], "fedbuff", seed=s) for s in range(4)]
