"""`python -m tests.fuzz --inputs 100000`: fuzz every parser, and say what came of it."""

import argparse
import sys
from contextlib import suppress
from pathlib import Path

from tests.fuzz.study import study
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000, help="how many, over all targets")
    parser.add_argument("--seed", type=int, default=0, help="the number of the first input")
    parser.add_argument(
        "--target", action="append", choices=sorted(TARGETS), help="only this one; can be repeated"
    )
    parser.add_argument("--engine", choices=("structured", "atheris"), default="structured")
    parser.add_argument(
        "--kept", type=Path, default=Path("outputs/fuzz"), help="where inputs at fault are put"
    )
    given = parser.parse_args()
    targets = [TARGETS[name] for name in given.target or TARGETS]
    if given.engine == "atheris":
        return _atheris(targets[0], given.inputs)
    inputs, faults = 0, 0
    for told in study(targets, given.inputs, given.seed, given.kept):
        inputs, faults = inputs + told.inputs, faults + len(told.faults)
        print(
            f"{told.target:20} {told.inputs:7,} inputs, slowest {told.slowest_s:.2f} s, "
            f"memory +{told.grown_mib:.0f} MiB, {len(told.faults)} faults",
            flush=True,
        )
        for fault in told.faults:
            print(fault, flush=True)
    print(f"{inputs:,} inputs over {len(targets)} parsers, {faults} faults")
    return 1 if faults else 0


def _atheris(target: Target, inputs: int) -> int:
    """Let atheris look for inputs that reach new code. It ends the process itself."""
    import atheris

    from flsim.errors import FlsimError
    from tests.fuzz.target import CORPUS

    def one(content: bytes) -> None:
        with suppress(FlsimError):
            target.parse(content)

    atheris.instrument_all()
    seeds = [str(CORPUS / target.name)] if (CORPUS / target.name).is_dir() else []
    options = [f"-runs={inputs}", "-timeout=10", "-max_len=65536", "-close_fd_mask=1"]
    atheris.Setup([sys.argv[0], *options, *(["outputs/fuzz/atheris", *seeds] if seeds else [])], one)
    Path("outputs/fuzz/atheris").mkdir(parents=True, exist_ok=True)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
