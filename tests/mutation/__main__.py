"""How many small faults the tests find, module by module.

    python -m tests.mutation [--group GROUP]... [--module TEXT] [--sample N] [--seed N] [--least SHARE]

Prints a table in Markdown, and below it the mutants that survive without a reason in `survivors.toml`. A
mutant with a reason there does what the code does as it stands: it is counted apart, and so is the score
with such mutants among the survivors. With `--least`, ends with 1 where the score of all is less.
"""

import argparse
import os
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest

os.environ.update(OMP_NUM_THREADS="1")  # before torch comes: a fork has none of its parent's threads

from tests.mutation.scope import GROUPS, ROOT
from tests.mutation.trial import KILLED, UNREACHED, Trial

OPTIONS = (
    *("-o", "addopts=", "-s", "-p", "no:cacheprovider", "-p", "no:terminal", "-m", "not slow"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # hypothesis is imported here, and it is no test
)
REASONS = Path(__file__).parent / "survivors.toml"


def reasons() -> dict[str, str]:
    """Why a mutant that survives is none, by its id."""
    return {
        entry["mutant"]: entry["why"] for entry in tomllib.loads(REASONS.read_text("utf-8"))["survivor"]
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--group", action="append", choices=GROUPS, help="may be repeated; all unless given"
    )
    parser.add_argument("--module", default="", help="only mutants with this text in their id")
    parser.add_argument("--sample", type=int, help="so many mutants of each group; all unless given")
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--tell", action="store_true", help="tell of survivors as they come, on stderr")
    parser.add_argument("--least", type=float, default=0.0, help="the score below which this fails")
    arguments = parser.parse_args()
    groups = {name: GROUPS[name] for name in arguments.group or GROUPS}
    trial = Trial(
        groups, arguments.sample, arguments.seed, arguments.module, arguments.jobs, arguments.tell
    )
    tests = sorted({str(ROOT / "tests" / test) for group in groups.values() for test in group.tests})
    status = pytest.main([*OPTIONS, *tests], plugins=[trial])
    if status:
        print(f"the tests cannot be used: {trial.baseline.failed or status}", file=sys.stderr)
        return 2
    return _told(trial, arguments.least)


def _told(trial: Trial, least: float) -> int:
    """Print what became of the mutants; return the exit status."""
    known = reasons()
    print("| group | module | mutants | tried | killed | equivalent | survived | score |")
    print("|---|---|---|---|---|---|---|---|")
    survivors: list[str] = []
    stale: list[str] = []
    whole: Counter[str] = Counter()
    for name, outcomes in trial.outcomes.items():
        counts: dict[str, Counter[str]] = {}
        for mutant, outcome in outcomes:
            if outcome == KILLED:
                stale += [mutant.id] if mutant.id in known else []
            elif mutant.id in known:
                outcome = "equivalent"
            else:
                survivors.append(f"{mutant.id}{' (no test comes by)' if outcome == UNREACHED else ''}")
                outcome = "survived"
            counts.setdefault(mutant.module, Counter())[outcome] += 1
        total = sum(counts.values(), Counter[str]())
        for module, count in counts.items():
            print(_row(name, module.removeprefix("flsim."), "", count))
        print(_row(f"**{name}**", "", str(trial.candidates[name]), total))
        whole += total
    print(_row("**all**", "", "", whole))
    print("\nSurvivors without a reason:\n")
    print("\n".join(f"- `{survivor}`" for survivor in survivors) or "none")
    if stale:
        print("\nWith a reason, and killed:\n")
        print("\n".join(f"- `{mutant}`" for mutant in stale))
    return 1 if _score(whole) < least else 0


def _row(group: str, module: str, mutants: str, count: Counter[str]) -> str:
    outcomes = " | ".join(str(count[outcome]) for outcome in (KILLED, "equivalent", "survived"))
    return f"| {group} | {module} | {mutants} | {count.total()} | {outcomes} | {_score(count):.1%} |"


def _score(count: Counter[str]) -> float:
    """Killed, of those that do not do what the code does as it stands."""
    tried = count[KILLED] + count["survived"]
    return count[KILLED] / tried if tried else 1.0


if __name__ == "__main__":
    sys.exit(main())
