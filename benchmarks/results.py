"""Methods against each other on the scenarios in scenarios/papers: the tables of docs/results.md.

    python -m benchmarks.results            # five seeds each, about three minutes on two cores
    python -m benchmarks.results --tune     # how the settings of each method were found

A method's settings are those that reached the target first, in virtual time, on a seed of its own (0);
then it runs on seeds 1 to 5. Everything else is the scenario's. Means are over the runs that reached the
target, with their standard deviation.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet

from benchmarks.world import Row, print_table
from flsim.running import run
from flsim.scenario import read_scenario

SCENARIOS = Path(__file__).resolve().parent.parent / "scenarios" / "papers"
SEEDS = range(1, 6)
TUNING_SEED = 0

LR = "workload.training.optimizer.lr"
OBJECTIVE = "workload.training.objective"
POLYNOMIAL = "{kind: polynomial, a: 0.5}"
BY_GROUP = "weighting: equal, participation: {kind: group, sizes: [80, 20]}"
Settings = dict[str, str]


@dataclass(frozen=True)
class Method:
    """What makes the scenario the method's, and the settings to choose from: the chosen ones come first."""

    name: str
    fixed: Settings
    grid: dict[str, tuple[str, ...]]

    @property
    def chosen(self) -> Settings:
        return {key: values[0] for key, values in self.grid.items()}

    def candidates(self) -> Iterator[Settings]:
        for values in product(*self.grid.values()):
            yield dict(zip(self.grid, values, strict=True))


@dataclass(frozen=True)
class Study:
    """Methods on one scenario: how soon they reach its target, or how device classes fare at its end."""

    title: str
    file: str
    methods: tuple[Method, ...]
    by_class: bool = False


def _rates(chosen: str, *others: str) -> dict[str, tuple[str, ...]]:
    return {LR: (chosen, *others)}


STUDIES = (
    Study(
        "Half-normal delays, 150 clients at work",
        "delays.yaml",
        (
            Method(
                "FedAvgM, synchronous, 130 % selected",
                {"strategy": "{kind: sync, cohort: 150, over_selection: 1.3}"},
                {
                    **_rates("1.0", "0.3", "3.0"),
                    "server_optimizer": (
                        "{kind: fedavgm, lr: 1.0}",
                        "{kind: fedavgm, lr: 0.3}",
                        "{kind: fedavgm, lr: 2.0}",
                    ),
                },
            ),
            Method(
                "FedAsync",
                {"server_optimizer": "{kind: sgd}"},
                {
                    **_rates("1.0", "0.3", "3.0"),
                    "strategy": tuple(
                        f"{{kind: fedasync, concurrency: 150, mixing: {mixing}, staleness: {POLYNOMIAL}}}"
                        for mixing in (0.6, 0.3, 0.9)
                    ),
                },
            ),
            Method(
                "FedBuff, buffer of 10",
                {
                    "strategy": "{kind: fedbuff, concurrency: 150, buffer_size: 10, "
                    f"staleness: {POLYNOMIAL}}}"
                },
                {
                    **_rates("0.3", "0.1", "1.0"),
                    "server_optimizer": (
                        "{kind: fedavgm, lr: 0.7, momentum: 0.5}",
                        "{kind: fedavgm, lr: 0.3, momentum: 0.5}",
                        "{kind: fedavgm, lr: 1.0, momentum: 0.5}",
                    ),
                },
            ),
        ),
    ),
    Study(
        "Two digits a client, 20 local epochs, 20 of 100 clients a round",
        "shards.yaml",
        (
            Method("FedAvg", {OBJECTIVE: "{kind: loss}"}, _rates("0.3", "0.1", "1.0")),
            Method(
                "FedProx",
                {},
                {
                    **_rates("0.3", "0.1", "1.0"),
                    OBJECTIVE: ("{kind: fedprox, mu: 0.1}", "{kind: fedprox, mu: 1.0}"),
                },
            ),
            Method("SCAFFOLD", {OBJECTIVE: "{kind: scaffold}"}, _rates("0.3", "0.1", "1.0")),
            Method(
                "FedDyn",
                {},
                {
                    **_rates("0.3", "0.1", "1.0"),
                    OBJECTIVE: ("{kind: feddyn, alpha: 0.1}", "{kind: feddyn, alpha: 1.0}"),
                },
            ),
        ),
    ),
    Study(
        "Phones, 20 of 300 a round",
        "phones.yaml",
        tuple(
            Method(name, {}, {"selection": (f"{{kind: {kind}}}",)})
            for name, kind in (
                ("uniform", "uniform"),
                ("power of choice", "power_of_choice"),
                ("TiFL", "tifl"),
                ("Oort", "oort"),
            )
        ),
    ),
    Study(
        "80 fast clients and 20 slow ones with digits of their own, 300 server updates",
        "groups.yaml",
        (
            Method("FedBuff", {}, {"aggregation": ("{kind: mean}",)}),
            Method("CA2FL", {}, {"aggregation": ("{kind: ca2fl}",)}),
            Method("unbiased FedBuff", {}, {"aggregation": (f"{{kind: unbiased, {BY_GROUP}}}",)}),
            Method("unbiased CA2FL", {}, {"aggregation": (f"{{kind: unbiased_ca2fl, {BY_GROUP}}}",)}),
            Method(
                "FedStaleAsync",
                {},
                {
                    "aggregation": (
                        f"{{kind: fedstale_async, beta: {POLYNOMIAL}, {BY_GROUP}}}",
                        f"{{kind: fedstale_async, {BY_GROUP}}}",
                    )
                },
            ),
        ),
        by_class=True,
    ),
    Study(
        "50 fast clients and 50 slow ones with digits of their own, after ten minutes",
        "tiers.yaml",
        (
            Method(
                "FedAvg, cohorts of 20",
                {"aggregation": "{kind: mean}"},
                {"strategy": ("{kind: sync, cohort: 20}",)},
            ),
            Method(
                "FedBuff, 20 at work",
                {"aggregation": "{kind: mean}"},
                {"strategy": ("{kind: fedbuff, concurrency: 20, buffer_size: 10}",)},
            ),
            Method("FedAT's tiers, updates added up", {}, {"aggregation": ("{kind: mean}",)}),
            Method("FedAT", {}, {"aggregation": ("{kind: fedat}",)}),
            Method(
                "FedAT, tiers counted equally",
                {},
                {"aggregation": ("{kind: fedat, tier_weights: equal}",)},
            ),
        ),
        by_class=True,
    ),
)


@dataclass(frozen=True)
class Job:
    """One run: picklable."""

    file: str
    overrides: tuple[str, ...]


def job(study: Study, method: Method, settings: Settings, seed: int) -> Job:
    overrides = method.fixed | settings | {"seed": str(seed)}
    return Job(study.file, tuple(f"{key}={value}" for key, value in overrides.items()))


def summary_of(job: Job) -> dict[str, Any]:
    """Run a scenario and return its summary, with the clients' mean accuracy by device class."""
    with tempfile.TemporaryDirectory() as folder:
        quiet = (f"output={{dir: {folder}, plots: false, timeline: false}}", "executor={kind: serial}")
        finished = run(read_scenario(SCENARIOS / job.file, (*job.overrides, *quiet)))
        return finished.summary | {"by_class": by_class(finished.folder)}


def by_class(folder: Path) -> dict[str, float]:
    """Return the mean accuracy of each class's clients on their own samples, after the last version."""
    if not (folder / "client_accuracy.parquet").exists():
        return {}
    classes = parquet.read_table(folder / "clients.parquet")["device_class"].to_pylist()
    rows = parquet.read_table(folder / "client_accuracy.parquet").to_pylist()
    last = max(row["version"] for row in rows)
    accuracies: dict[str, list[float]] = {}
    for row in rows:
        if row["version"] == last:
            accuracies.setdefault(classes[row["client"]], []).append(row["accuracy"])
    return {name: statistics.fmean(values) for name, values in sorted(accuracies.items())}


def mean_and_deviation(values: Sequence[float], digits: int = 0) -> str:
    if not values:
        return "-"
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.fmean(values):,.{digits}f} ± {spread:,.{digits}f}"


def settings_of(method: Method) -> str:
    return ", ".join(f"`{key.rpartition('.')[2]}: {value}`" for key, value in method.chosen.items())


def class_row(method: Method, summaries: Sequence[dict[str, Any]]) -> Row:
    everybody = [summary["final_accuracy"] for summary in summaries]
    classes = [[summary["by_class"][name] for summary in summaries] for name in ("fast", "slow")]
    cells = (mean_and_deviation(values, 3) for values in (everybody, *classes))
    return (method.name, settings_of(method), *cells)


def result_row(method: Method, summaries: Sequence[dict[str, Any]]) -> Row:
    ways = [summary["to_accuracy"] for summary in summaries]
    reached = [way for way in ways if way["time_s"] is not None]
    columns = ("client_updates", "updates", "time_s")
    cells = (mean_and_deviation([way[column] for way in reached]) for column in columns)
    return (method.name, settings_of(method), f"{len(reached)} of {len(ways)}", *cells)


def print_results(pool: ProcessPoolExecutor) -> None:
    for study in STUDIES:
        print(f"{study.title}: `scenarios/papers/{study.file}`\n")
        rows = []
        for method in study.methods:
            jobs = [job(study, method, method.chosen, seed) for seed in SEEDS]
            summaries = list(pool.map(summary_of, jobs))
            rows.append((class_row if study.by_class else result_row)(method, summaries))
        measures: Row = ("reached", "client updates", "server updates", "virtual seconds")
        if study.by_class:
            measures = ("accuracy, central", "of fast clients", "of slow clients")
        print_table(("method", "settings", *measures), rows)
        sys.stdout.flush()


def print_tuning(pool: ProcessPoolExecutor) -> None:
    for study in (study for study in STUDIES if not study.by_class):
        print(f"{study.title}\n")
        for method in study.methods:
            candidates = list(method.candidates())
            jobs = [job(study, method, settings, TUNING_SEED) for settings in candidates]
            timed = []
            for settings, summary in zip(candidates, pool.map(summary_of, jobs), strict=True):
                reached_s = summary["to_accuracy"]["time_s"]
                timed.append((float("inf") if reached_s is None else reached_s, settings))
            timed.sort(key=lambda pair: pair[0])
            chosen = "as chosen" if timed[0][1] == method.chosen else "NOT WHAT IS CHOSEN"
            print(f"- {method.name}, {chosen}:")
            for seconds, settings in timed:
                print(f"  {seconds:8.0f} s  {settings}")
        print()
        sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tune", action="store_true")
    asked = parser.parse_args()
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        (print_tuning if asked.tune else print_results)(pool)


if __name__ == "__main__":
    main()
