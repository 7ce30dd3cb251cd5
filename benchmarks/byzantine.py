"""Attacks against defences on scenarios/byzantine/matrix.yaml: the tables of docs/results.md.

    python -m benchmarks.byzantine

A cell is the mean final accuracy over seeds 1 to 3; **bold** is within three points of plain federated
averaging without attackers on the same seeds. Of backdoors it also has the mean success, in brackets, and
is bold if that is under a tenth as well. Defences do not know how many attackers there are: f is 6 of 20.
"""

import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from benchmarks.world import print_table
from flsim.running import run
from flsim.scenario import read_scenario

SCENARIO = Path(__file__).resolve().parent.parent / "scenarios" / "byzantine" / "matrix.yaml"
SEEDS = range(1, 4)
SHARES = (0.2, 0.3)
WITHIN = 0.03
WORKS = 0.1  # from which success on a backdoor counts as one

ATTACKS = {
    "sign flip": "kind: sign_flip",
    "ALIE, z = 1.5": "kind: alie, z: 1.5",
    "ALIE, z = 10": "kind: alie, z: 10",
    "IPM, epsilon = 5": "kind: ipm, epsilon: 5",
    "model replacement, each alone": "kind: model_replacement, colluding: false",
    "backdoor by model replacement": "kind: backdoor, boost: replacement",
}
DEFENCES = {
    "FedAvg": "{kind: mean}",
    "Multi-Krum": "{kind: multi_krum, f: 6}",
    "median": "{kind: median}",
    "trimmed mean": "{kind: trimmed_mean, f: 6}",
    "RFA": "{kind: geometric_median}",
    "DnC": "{kind: dnc, f: 6}",
    "norm bound": "{kind: norm_bound, bound: 1}",
    "filter": "{kind: filter}",
}


@dataclass(frozen=True)
class Job:
    """One run: picklable. `attack`: None for nobody."""

    attack: str | None
    share: float
    defence: str
    seed: int

    @property
    def overrides(self) -> tuple[str, ...]:
        attack = "null" if self.attack is None else f"{{{self.attack}, clients: {{share: {self.share}}}}}"
        return (f"attack={attack}", f"aggregation={self.defence}", f"seed={self.seed}")


@dataclass(frozen=True)
class Result:
    """How accurate the model was in the end, and how often a trigger decided; None without a backdoor."""

    accuracy: float
    success: float | None = None


def result_of(job: Job) -> Result:
    """Run the scenario in one variation."""
    with tempfile.TemporaryDirectory() as folder:
        output = f"output={{dir: {folder}, plots: false, timeline: false}}"
        quick = "executor={kind: vmap, threads: 1}"
        summary = run(read_scenario(SCENARIO, (*job.overrides, output, quick))).summary
    success = None if summary["attack"] is None else summary["attack"]["success"]
    return Result(summary["final_accuracy"], success)


def mean(results: Sequence[Result]) -> Result:
    successes = [each.success for each in results if each.success is not None]
    return Result(
        statistics.fmean(each.accuracy for each in results),
        statistics.fmean(successes) if successes else None,
    )


def holds(result: Result, clean: Result) -> bool:
    """Return whether a defence kept its word: as good as an undisturbed run, and no backdoor."""
    return result.accuracy >= clean.accuracy - WITHIN and (result.success or 0.0) < WORKS


def cell(result: Result, clean: Result) -> str:
    shown = f"{result.accuracy:.3f}"
    if result.success is not None:
        shown += f" ({result.success:.2f})"
    return f"**{shown}**" if holds(result, clean) else shown


def jobs() -> list[Job]:
    """Return every run of the tables."""
    attacks = [(None, 0.0), *((attack, share) for share in SHARES for attack in ATTACKS.values())]
    return [
        Job(attack, share, defence, seed)
        for attack, share in attacks
        for defence in DEFENCES.values()
        for seed in SEEDS
    ]


def print_tables(results: Mapping[Job, Result]) -> None:
    def at(attack: str | None, share: float, defence: str) -> Result:
        return mean([results[Job(attack, share, defence, seed)] for seed in SEEDS])

    clean = at(None, 0.0, DEFENCES["FedAvg"])
    nobody = ("nobody", *(cell(at(None, 0.0, rule), clean) for rule in DEFENCES.values()))
    for share in SHARES:
        print(f"{share:.0%} attackers: `scenarios/byzantine/{SCENARIO.name}`\n")
        rows = [
            (name, *(cell(at(attack, share, rule), clean) for rule in DEFENCES.values()))
            for name, attack in ATTACKS.items()
        ]
        print_table(("attack", *DEFENCES), [nobody, *rows])
    sys.stdout.flush()


def main() -> None:
    planned = jobs()
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        print_tables(dict(zip(planned, pool.map(result_of, planned), strict=True)))


if __name__ == "__main__":
    main()
