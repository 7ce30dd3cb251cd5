"""`python -m tests.fuzz --inputs 100000`: fuzz every parser, and say what came of it."""

import argparse
import importlib.util
import sys
from pathlib import Path

_KEPT = Path("outputs/fuzz")
_NO_ATHERIS = "error: atheris cannot be imported; pip install atheris, or leave out --engine atheris"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000, help="how many, over all targets")
    parser.add_argument("--seed", type=int, default=0, help="the number of the first input")
    parser.add_argument("--target", action="append", help="only this one; can be repeated")
    parser.add_argument(
        "--engine",
        choices=("structured", "atheris"),
        default="structured",
        help="atheris looks for inputs that reach new code, with one target",
    )
    parser.add_argument("--kept", type=Path, default=_KEPT, help="where inputs at fault are put")
    given = parser.parse_args()
    if given.engine == "atheris":
        return _atheris(parser, given)
    from tests.fuzz.study import study
    from tests.fuzz.targets import TARGETS

    targets = [TARGETS[name] for name in _names(parser, given.target, list(TARGETS))]
    inputs, faults, slowest_s, grown_mib = 0, 0, 0.0, 0.0
    for told in study(targets, given.inputs, given.seed, given.kept):
        inputs, faults = inputs + told.inputs, faults + len(told.faults)
        slowest_s, grown_mib = max(slowest_s, told.slowest_s), max(grown_mib, told.grown_mib)
        print(
            f"{told.target:22} {told.inputs:7,} inputs, slowest {told.slowest_s:.2f} s, "
            f"memory +{told.grown_mib:.0f} MiB, {len(told.faults)} faults",
            flush=True,
        )
        for fault in told.faults:
            print(fault, flush=True)
    print(
        f"{inputs:,} inputs over {len(targets)} parsers, slowest {slowest_s:.2f} s, "
        f"memory +{grown_mib:.0f} MiB, {faults} faults"
    )
    return 1 if faults else 0


def _names(parser: argparse.ArgumentParser, asked: list[str] | None, known: list[str]) -> list[str]:
    if unknown := sorted(set(asked or ()) - set(known)):
        parser.error(f"no target {unknown[0]!r}; targets: {', '.join(known)}")
    return asked or known


def _atheris(parser: argparse.ArgumentParser, given: argparse.Namespace) -> int:
    """Let atheris look for inputs that reach new code. It ends the process itself."""
    if importlib.util.find_spec("atheris") is None:
        print(_NO_ATHERIS, file=sys.stderr)
        return 2
    try:
        import atheris
    except ImportError as error:
        print(f"{_NO_ATHERIS} ({error})", file=sys.stderr)
        return 2

    with atheris.instrument_imports(include=["flsim"], enable_loader_override=False):
        from tests.fuzz.targets import TARGETS  # so that flsim is imported here, and watched
    from flsim.errors import FlsimError
    from tests.fuzz.target import corpus

    target = TARGETS[_names(parser, given.target, list(TARGETS))[0]]
    given.kept.mkdir(parents=True, exist_ok=True)
    found, seeds = given.kept / f"atheris-{target.name}", given.kept / f"seeds-{target.name}"
    for folder in (found, seeds):
        folder.mkdir(exist_ok=True)
    for number, content in enumerate(corpus(target)):
        (seeds / str(number)).write_bytes(content)

    def one(content: bytes) -> None:
        try:
            target.parse(content)
        except FlsimError as error:
            if not str(error).strip():
                raise AssertionError("an error without a message") from error

    options = [f"-runs={given.inputs}", "-timeout=10", "-rss_limit_mb=4096", "-max_len=65536"]
    options += [f"-artifact_prefix={given.kept}/{target.name}-", str(found), str(seeds)]
    atheris.Setup([sys.argv[0], *options], one)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
