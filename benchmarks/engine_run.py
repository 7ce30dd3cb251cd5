"""What flsim does in benchmarks/engine.py: one run, one line of JSON.

python -m benchmarks.engine_run fedavg --images images.npz --executor serial
python -m benchmarks.engine_run timing --images images.npz      # the same timeline, nothing trained
python -m benchmarks.engine_run fedbuff --images images.npz --executor serial
python -m benchmarks.engine_run memory --executor serial        # 10,000 clients, cohort 1,000

An executor is a kind, with its options behind it: `vmap:chunk=5:threads=2`.
"""

import argparse
import json
import resource
import tempfile
import time
from typing import Any

import yaml

from benchmarks.peers import common
from flsim.running import run
from flsim.scenario import Scenario, scenario_from
from flsim.sim.surroundings import Moment

MODELS: dict[str, dict[str, Any]] = {
    "mlp": {"kind": "mlp", "hidden": [common.HIDDEN]},
    "logistic": {"kind": "logistic"},
    "cnn": {"kind": "cnn", "channels": list(common.CHANNELS), "groups": common.GROUPS},
}


def executor_from(text: str) -> dict[str, Any]:
    """Return the `executor` section that `kind:option=value` stands for.

    >>> executor_from("vmap:chunk=5")
    {'kind': 'vmap', 'chunk': 5}
    """
    kind, *options = text.split(":")
    return {"kind": kind, **{key: yaml.safe_load(value) for key, value in (o.split("=") for o in options)}}


def scenario(asked: argparse.Namespace, folder: str, **replaced: Any) -> Scenario:
    """Return the workload of `common` as a scenario whose tasks take virtual time, but no network."""
    data: dict[str, Any] = {
        "name": "engine",
        "seed": common.SEED,
        "workload": workload(asked.variant, {"kind": "benchmarks.mnist:MnistFile", "path": asked.images}),
        "executor": executor_from(asked.executor),
        "fleet": {
            "clients": common.CLIENTS,
            "compute": {"kind": "duration", "task": {"kind": "exponential", "mean": 1.0}},
        },
        "strategy": {"kind": "sync", "cohort": common.COHORT},
        "stop": {"updates": asked.rounds},
        "output": {"dir": folder, "plots": False, "timeline": False},
    }
    return scenario_from(data | replaced)


def workload(variant: str, dataset: dict[str, Any]) -> dict[str, Any]:
    return {
        "kind": "torch",
        "data": {"dataset": dataset, "partition": {"kind": "iid"}},
        "model": MODELS[variant],
        "training": {
            "epochs": common.EPOCHS,
            "batch_size": common.BATCH,
            "optimizer": {"kind": "sgd", "lr": common.LEARNING_RATE},
        },
    }


class Clock:
    """Watches a run, and takes down when each version was there."""

    def __init__(self, report: common.Report) -> None:
        self._report = report

    def __call__(self, moment: Moment) -> bool:
        if moment.version > len(self._report.round_ends):
            self._report.round_over(float("nan") if moment.accuracy is None else moment.accuracy)
        return True


def measured(asked: argparse.Namespace, folder: str, *, timing_only: bool = False) -> None:
    """The whole of flsim: a scenario in, a folder of results out (no pictures)."""
    report = common.Report(asked.started)
    finished = run(scenario(asked, folder), timing_only=timing_only, watch=Clock(report))
    report.print(training=finished.summary["training"])


def fedbuff(asked: argparse.Namespace, folder: str) -> None:
    """FedBuff with 50 clients at work: how many tasks are trained at a time."""
    report = common.Report(asked.started)
    buffered = {"kind": "fedbuff", "concurrency": 50, "buffer_size": common.COHORT}
    finished = run(scenario(asked, folder, strategy=buffered), watch=Clock(report))
    report.print(training=finished.summary["training"])


def memory(asked: argparse.Namespace, folder: str) -> None:
    """10,000 clients with four samples each, and a cohort of `--cohort`: peak memory."""
    clients = 10_000
    dataset = {"kind": "synthetic", "samples": 5 * clients, "features": 28 * 28, "classes": 10}
    replaced: dict[str, Any] = {
        "workload": workload("mlp", dataset),
        "fleet": {"clients": clients, "compute": {"kind": "duration", "task": 1.0}},
        "strategy": {"kind": "sync", "cohort": asked.cohort},
    }
    run(scenario(asked, folder, **replaced))
    line = {
        "peak_mb": _peak_mb(resource.RUSAGE_SELF),
        "largest_worker_mb": _peak_mb(resource.RUSAGE_CHILDREN),
        "seconds": time.time() - asked.started,
    }
    print(json.dumps(line), flush=True)


def _peak_mb(who: int) -> float:
    return resource.getrusage(who).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("fedavg", "timing", "fedbuff", "memory"))
    parser.add_argument("--images")
    parser.add_argument("--variant", choices=common.VARIANTS, default="mlp")
    parser.add_argument("--executor", default="serial")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--cohort", type=int, default=1000)
    parser.add_argument("--started", type=float, default=time.time())
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if asked.what == "fedbuff":
            fedbuff(asked, folder)
        elif asked.what == "memory":
            memory(asked, folder)
        else:
            measured(asked, folder, timing_only=asked.what == "timing")


if __name__ == "__main__":
    main()
