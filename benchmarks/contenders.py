"""The contenders of benchmarks/engine.py: processes that report when each of their rounds ended."""

import json
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

VARIANTS = ("mlp", "logistic", "cnn")
CORES = len(os.sched_getaffinity(0))
FLOWER = "Flower, Ray"
PFL = "pfl, one process"
PFL_THREADS = f"pfl, one process, {CORES} threads"
PFL_PROCESSES = f"pfl, {CORES} processes"
LOOP = "hand-written loop, one thread"
FLOOR = "floor: by hand, once per core"
RIVALS = (FLOWER, PFL, PFL_THREADS, PFL_PROCESSES, LOOP, FLOOR)

ROOT = Path(__file__).resolve().parent.parent
QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
TIMEOUT_S = 900


@dataclass(frozen=True)
class Outcome:
    """What a contender's process reported."""

    updates: int
    round_ends: list[float]
    finished: float
    accuracy: float
    more: dict[str, Any]  # the whole line

    @property
    def rate(self) -> float:
        """Updates a second in the steady state: without the first fifth of the rounds."""
        skipped = max(1, len(self.round_ends) // 5)
        per_round = self.updates / len(self.round_ends)
        steady = self.round_ends[-1] - self.round_ends[skipped - 1]
        return per_round * (len(self.round_ends) - skipped) / steady

    @property
    def overhead_s(self) -> float:
        """What the process took beyond its updates at the steady rate, from start to results."""
        return self.finished - self.updates / self.rate


class FailedError(Exception):
    """A process that reported nothing, with what it said last."""


@dataclass
class Contender:
    """One way of carrying out the workload, and how it fared."""

    name: str
    command: list[str]
    outcomes: list[Outcome] = field(default_factory=list)
    failure: str | None = None

    @property
    def rates(self) -> list[float]:
        return [outcome.rate for outcome in self.outcomes]

    @property
    def best(self) -> float:
        """The best steady rate, nan if there is none."""
        return max(self.rates, default=math.nan)

    @property
    def cold_s(self) -> float:
        return self.outcomes[0].overhead_s if self.outcomes else math.nan

    @property
    def warm_s(self) -> float:
        return min((outcome.overhead_s for outcome in self.outcomes[1:]), default=math.nan)

    def measure(self, variant: str, rounds: int, images: Path, environment: dict[str, str]) -> None:
        """Run once. A failure is kept and told, and ends this contender's part."""
        if self.failure:
            return
        options = ["--variant", variant, "--rounds", str(rounds), "--images", str(images)]
        try:
            line = reported([*self.command, *options], environment)
        except FailedError as error:
            self.failure = str(error)
            return
        self.outcomes.append(
            Outcome(
                updates=line["updates"],
                round_ends=line["round_ends"],
                finished=line["finished"],
                accuracy=line["accuracy"],
                more=line,
            )
        )


def reported(command: list[str], environment: dict[str, str]) -> dict[str, Any]:
    """Run a process, and return the line of JSON that it printed last."""
    timed = [*command, "--started", str(time.time())]
    try:
        done = subprocess.run(
            timed, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise FailedError(f"not done after {TIMEOUT_S} s") from None
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        raise FailedError(f"exit status {done.returncode}: {_cause(done.stderr or done.stdout)}")
    line: dict[str, Any] = json.loads(lines[-1])
    return line


def _cause(said: str) -> str:
    """Return the first error that a process named, or else its last line.

    >>> _cause("Traceback\\n  in f\\nValueError: no such thing\\nthe launcher gives up")
    'ValueError: no such thing'
    """
    lines = said.strip().splitlines() or ["it said nothing"]
    return next((line for line in lines if re.match(r"[\w.]+(Error|Exception|Exit)\b", line)), lines[-1])


def flsim_name(executor: str) -> str:
    return f"flsim, {executor}"


def flsim_command(what: str, executor: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.engine_run", what, "--executor", executor]


@dataclass(frozen=True)
class Plan:
    """What is measured, how often and for how long."""

    peers: str | None
    executors: Sequence[str]
    variants: Sequence[str]
    repeats: int
    quick: bool
    images: Path
    environment: dict[str, str]

    def rounds(self, variant: str) -> int:
        """A CNN's rounds take ten times as long."""
        rounds = 30 if variant == "cnn" else 100
        return rounds // 5 if self.quick else rounds

    def contenders(self, variant: str) -> list[Contender]:
        """Return those of a variant, in the order in which they are measured."""
        ours = [Contender(flsim_name(name), flsim_command("fedavg", name)) for name in self.executors]
        by_hand = [
            Contender(LOOP, [sys.executable, "-m", "benchmarks.peers.loop"]),
            Contender(FLOOR, [sys.executable, "-m", "benchmarks.peers.floor"]),
        ]
        return [*self._frameworks(variant), *by_hand, *ours]

    def _frameworks(self, variant: str) -> Iterator[Contender]:
        if self.peers is None:
            return
        yield Contender(FLOWER, [self.peers, "-m", "benchmarks.peers.flower_fedavg"])
        script = ["-m", "benchmarks.peers.pfl_fedavg"]
        yield Contender(PFL, [self.peers, *script])
        if variant == "cnn":  # where torch's own threads may pay
            yield Contender(PFL_THREADS, [self.peers, *script, "--threads", str(CORES)])
        launcher = ["-m", "torch.distributed.run", "--nproc-per-node", str(CORES)]
        yield Contender(PFL_PROCESSES, [self.peers, *launcher, *script])
