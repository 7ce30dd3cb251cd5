"""A Flower app under Flower's own simulation engine, for comparisons with what flsim makes of it.

    python -m benchmarks.flower_engine APP NODES FILE ["key=value key=value"]

runs the app in the folder APP on so many nodes, as `flwr run` does once it has unpacked an app, and writes
what came of it to FILE: see `Told`. The engine is Ray's with one CPU for each client. It has a process of
its own, since Ray and the app's modules stay in one that has loaded them.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.contenders import CORES, QUIET

REPOSITORY = Path(__file__).parents[1]
KINDS = ("train_metrics_clientapp", "evaluate_metrics_clientapp", "evaluate_metrics_serverapp")
Metrics = dict[str, dict[str, Any]]  # of rounds, by their number


@dataclass(frozen=True)
class Told:
    """The metrics that a strategy returned, and the wall-clock seconds that the engine took."""

    train_metrics_clientapp: Metrics
    evaluate_metrics_clientapp: Metrics
    evaluate_metrics_serverapp: Metrics
    seconds: float


def environment() -> dict[str, str]:
    """Return the environment in which Flower tells nobody that it was used, and Ray neither.

    Python keeps what it has compiled, as it does for installed packages, if it finds a place for it.
    """
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, **QUIET, "PYTHONPATH": str(REPOSITORY)}


def run_config(values: Mapping[str, Any]) -> str:
    """Return a run config as `flwr run --run-config` and `flsim flower --run-config` take it."""
    return " ".join(f"{key}={json.dumps(value)}" for key, value in values.items())


def under_flower(
    app: Path, nodes: int, values: Mapping[str, Any], folder: Path, *, same_sampling: bool = False
) -> Told:
    """Run an app in a process of its own, with `folder` as the current one.

    With `same_sampling`, nodes have the ids 2, 3, ... in the order of their partitions, where Flower draws
    them, and nobody else draws what strategies sample by: an app that seeds `random` then samples the same
    partitions every time.
    """
    file = folder / "told.json"
    command = [
        sys.executable,
        "-m",
        "benchmarks.flower_engine",
        str(app),
        str(nodes),
        str(file),
        run_config(values),
    ]
    if same_sampling:
        command.append("--same-sampling")
    finished = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=600, check=False
    )
    assert finished.returncode == 0, finished.stderr[-5000:]
    return Told(**json.loads(file.read_text()))


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("app", type=Path)
    parser.add_argument("nodes", type=int)
    parser.add_argument("file", type=Path)
    parser.add_argument("run_config", nargs="?", default="")
    parser.add_argument("--same-sampling", action="store_true")
    given = parser.parse_args()
    told = _told(given.app.resolve(), given.nodes, given.run_config, given.same_sampling)
    given.file.parent.mkdir(parents=True, exist_ok=True)
    given.file.write_text(json.dumps(asdict(told)))


def _told(app: Path, nodes: int, run_config: str, same_sampling: bool) -> Told:
    """Run an app under the engine in this process; imports what only that needs."""
    from flwr.app import Context, RecordDict
    from flwr.common.config import get_fused_config_from_dir, get_project_config, parse_config_args
    from flwr.simulation.run_simulation import _run_simulation
    from flwr.supercore.constant import NOOP_FEDERATION_ID
    from flwr.supercore.run import Run
    from flwr.supercore.task_identity import TaskIdentity
    from flwr.supercore.telemetry import EventType

    overrides = parse_config_args([run_config])
    components = get_project_config(app)["tool"]["flwr"]["app"]["components"]
    run = Run.create_empty(run_id=1)
    run.primary_task_id, run.federation_id, run.override_config = 1, NOOP_FEDERATION_ID, overrides
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 1
    context = Context(
        run_id=1, node_id=0, node_config={}, state=RecordDict(),
        run_config=get_fused_config_from_dir(app, overrides),
    )  # fmt: skip
    told = _listening()
    if same_sampling:
        _number_nodes()
        _sample_apart()
    started = time.perf_counter()
    _run_simulation(
        num_supernodes=nodes,
        exit_event=EventType.FLWR_SIMULATION_RUN_LEAVE,
        backend_config={
            "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
            "init_args": {"num_cpus": CORES},
        },
        server_app_attr=components["serverapp"],
        client_app_attr=components["clientapp"],
        server_app_context=context,
        app_dir=str(app),
        is_app=True,
        run=run,
    )
    return Told(**{**{kind: {} for kind in KINDS}, **told}, seconds=time.perf_counter() - started)


def _listening() -> dict[str, Any]:
    """Return a dictionary that will have what a strategy's `start` returns, or a legacy one's history."""
    import flwr.server.compat.app as compat
    from flwr.serverapp.strategy import Strategy

    told: dict[str, Any] = {}
    start, run_fl = Strategy.start, compat.run_fl

    def listening_start(*args: Any, **kwargs: Any) -> Any:
        result = start(*args, **kwargs)
        for kind in KINDS:
            told[kind] = {number: dict(record) for number, record in getattr(result, kind).items()}
        return result

    def listening_run_fl(*args: Any, **kwargs: Any) -> Any:
        history = run_fl(*args, **kwargs)
        told.update(
            train_metrics_clientapp=_by_round(history.metrics_distributed_fit),
            evaluate_metrics_clientapp=_by_round(
                history.metrics_distributed, {"loss": history.losses_distributed}
            ),
            evaluate_metrics_serverapp=_by_round(
                history.metrics_centralized, {"loss": history.losses_centralized}
            ),
        )
        return history

    Strategy.start = listening_start
    compat.run_fl = listening_run_fl
    return told


def _by_round(*histories: Mapping[str, list[tuple[int, Any]]]) -> dict[int, dict[str, Any]]:
    """Return by round what histories have by metric."""
    rounds: dict[int, dict[str, Any]] = {}
    for history in histories:
        for metric, values in history.items():
            for number, value in values:
                rounds.setdefault(number, {})[metric] = value
    return rounds


def _number_nodes() -> None:
    """Let the ids of nodes be 2, 3, ...; a set of such small numbers is in their order. 1 is the server."""
    import itertools

    import flwr.server.superlink.linkstate.in_memory_linkstate as linkstate

    draw, numbers = linkstate.generate_rand_int_from_bytes, itertools.count(2)

    def numbered(num_bytes: int, exclude: Any = ()) -> int:
        return next(numbers) if exclude else draw(num_bytes, exclude)  # only nodes' ids exclude any

    linkstate.generate_rand_int_from_bytes = numbered


def _sample_apart() -> None:
    """Give strategies a generator of their own, which `random.seed` seeds.

    Ray draws from the common one while it starts, which is after the app has seeded it.
    """
    import random

    from flwr.serverapp.strategy import strategy_utils

    strategy_utils.random = generator = random.Random()
    random.seed = generator.seed


if __name__ == "__main__":
    _main()
