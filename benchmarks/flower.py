"""How long a Flower app of 1,000 nodes takes under flsim, and under Flower's own engine, in the same run.

    python -m benchmarks.flower                 # the table of docs/performance.md; eight minutes
    python -m benchmarks.flower --rounds 5 --repeats 1

The app is scenarios/flower/apps/quickstart: FedAvg with PyTorch on digits. A round trains 100 nodes, tests
the model on 20 and then on the server. Flower's engine is Ray's, with one CPU for a client; flsim runs the
app in scenarios/flower/worlds/ideal.yaml and writes all of its results. Both have the same cores, a process
of their own for every run, and turns: one after the other, and again for every repeat. Times are by the
clock, of whole processes: imports, starting Ray and ending it, writing results. Both number nodes in the
order of their partitions, so that the app samples the same ones.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.contenders import CORES
from benchmarks.flower_engine import KINDS, REPOSITORY, environment, run_config
from benchmarks.world import Row, print_table

FLOWER = REPOSITORY / "scenarios" / "flower"
NODES = 1000
CONTENDERS = ("Flower, Ray", "flsim")
Told = Mapping[str, Any]


def command(contender: str, values: Mapping[str, Any], folder: Path, options: Sequence[str]) -> list[str]:
    """Return what runs the app; its metrics will be in ideal/flower.json in the folder."""
    app = str(FLOWER / "apps" / "quickstart")
    if contender == "flsim":
        world = [str(FLOWER / "worlds" / "ideal.yaml"), "--set", f"fleet.clients={NODES}", *options]
        words = ["flsim", "flower", app, "--world", *world, "--out", str(folder), "-q", "--run-config"]
    else:
        file = str(folder / "ideal" / "flower.json")
        words = ["benchmarks.flower_engine", "--same-sampling", app, str(NODES), file]
    return [sys.executable, "-m", *words, run_config(values)]


def timed(words: Sequence[str], folder: Path) -> tuple[float, Told]:
    """Run a command; return the seconds that it took, and the metrics. Raises SystemExit if it fails."""
    started = time.perf_counter()
    process = subprocess.run(
        words, cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - started
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(words)} failed:\n{process.stderr[-5000:]}")
    return seconds, json.loads((folder / "ideal" / "flower.json").read_text())


def largest_difference(one: Told, other: Told) -> float:
    """Return how far any two metrics of any round are apart; infinite if one of them has others."""
    largest = 0.0
    for kind in KINDS:
        if {number: set(told) for number, told in one[kind].items()} != {
            number: set(told) for number, told in other[kind].items()
        }:
            return float("inf")
        for number, told in one[kind].items():
            largest = max(largest, *(abs(told[name] - other[kind][number][name]) for name in told))
    return largest


def main() -> int:
    """Print the table; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, nargs="+", default=[20, 100])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    given = parser.parse_args()
    options = [word for override in given.overrides for word in ("--set", override)]
    print(f"- {CORES} cores for this process; load average before: {os.getloadavg()[0]:.1f}")
    print(f"- {', '.join(f'{name} {version(name)}' for name in ('flwr', 'ray', 'torch'))}")
    print(f"- {given.repeats} repeats in turn\n", flush=True)
    rows, lines = [], []
    for rounds in given.rounds:
        seconds, told = measured(rounds, given.repeats, options)
        rows += [_row(name, rounds, seconds[name], told[name]) for name in CONTENDERS]
        theirs, ours = (statistics.median(seconds[name]) for name in CONTENDERS)
        lines += [
            f"{rounds} rounds: flsim is {theirs / ours:.1f} times as fast as Flower's engine, "
            f"and no metric of any round differs by more than {largest_difference(*told.values()):.1e}"
        ]
    titles = "1,000 nodes, 100 a round", "rounds", "seconds, median", "range", "updates/s"
    print_table((*titles, "final loss", "accuracy"), rows)
    print("\n".join(lines))
    return 0


def measured(
    rounds: int, repeats: int, options: Sequence[str]
) -> tuple[dict[str, list[float]], dict[str, Told]]:
    """Run both so many times, in turn; return the seconds that each took, and the metrics."""
    values = {
        "num-server-rounds": rounds,
        "fraction-train": 0.1,
        "fraction-evaluate": 0.02,
        "output-dir": "",
    }
    seconds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    told: dict[str, Told] = {}
    for repeat in range(repeats):
        for name in CONTENDERS:
            with tempfile.TemporaryDirectory() as folder:
                words = command(name, values, Path(folder), options)
                took, told[name] = timed(words, Path(folder))
            seconds[name].append(took)
            which = f"{rounds} rounds, {repeat + 1} of {repeats}"
            print(f"{which}: {name}, {took:.1f} s", file=sys.stderr, flush=True)
    return seconds, told


def _row(name: str, rounds: int, seconds: Sequence[float], told: Told) -> Row:
    median = statistics.median(seconds)
    tests = told["evaluate_metrics_serverapp"]
    final = tests[max(tests, key=int)]
    return (
        name,
        f"{rounds}",
        f"{median:.1f}",
        f"{min(seconds):.1f} to {max(seconds):.1f}",
        f"{100 * rounds / median:.0f}",
        f"{final['loss']:.5f}",
        f"{final['accuracy']:.4f}",
    )


if __name__ == "__main__":
    raise SystemExit(main())
