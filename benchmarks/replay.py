"""Does every shipped scenario give every hash again, in a fresh virtual environment and another folder?

    python -m benchmarks.replay                    # all of scenarios/, in this environment and a fresh one
    python -m benchmarks.replay fedbuff privacy    # some of them
    python -m benchmarks.replay --here             # without the fresh environment

Each scenario is run with `governance: {}`, and then replayed by the flsim that was installed into a virtual
environment made for it, from another folder. Prints a line for each, and fails if one is not reproduced.
What needs files that nobody ships gets others in their place, and says so; a model without weights is not
trained.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
SCENARIOS = REPOSITORY / "scenarios"
_SHORT = "stop={updates: 10}"
STAND_INS = {
    "cifar10_resnet": ("ten updates, on digits", ["workload.data.dataset={kind: digits}", _SHORT]),
    "femnist_writers": ("ten updates, on noise", ["workload.data.dataset.root={folder}/noise", _SHORT]),
}
TIMING_ONLY = ("llama7b_lora_timing",)
EXTRAS = "privacy,secagg,llm,text,mnist5k,governance,tensorboard"


def main() -> int:
    """Replay what the command line names; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="of scenarios, without .yaml; by default, all")
    parser.add_argument("--here", action="store_true", help="replay in this environment")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    given = parser.parse_args()
    files = sorted(
        set(SCENARIOS.rglob("*.yaml")) - set(SCENARIOS.rglob("worlds/*.yaml"))
    )  # those have no app
    if given.names:
        files = [path for path in files if path.stem in given.names]
    with tempfile.TemporaryDirectory(prefix="flsim-replay-study-") as temporary:
        write_noise(Path(temporary) / "noise" / "femnist")
        python = sys.executable if given.here else str(fresh_environment(Path(temporary) / "fresh"))
        failed = [file for file in files if not reproduced(file, Path(temporary), python, given.overrides)]
    sys.stdout.write(f"{len(files) - len(failed)} of {len(files)} scenarios are reproduced\n")
    return 1 if failed or not files else 0


def fresh_environment(folder: Path) -> Path:
    """Return the Python of a new virtual environment with flsim and its extras in it."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    package = f"{REPOSITORY}[{EXTRAS}]"
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", package], check=True)
    return python


def reproduced(file: Path, folder: Path, python: str, overrides: Sequence[str]) -> bool:
    """Run a scenario here and replay it there; return whether that said the same."""
    began = time.perf_counter()
    instead, changes = STAND_INS.get(file.stem, ("", []))
    others = [change.format(folder=folder) if "{folder}" in change else change for change in changes]
    settings = [word for override in ["governance={}", *others, *overrides] for word in ("--set", override)]
    timing = ["--timing-only"] if file.stem in TIMING_ONLY else []
    command = [sys.executable, "-m", "flsim", "run", str(file), "--quiet", "--out", str(folder / "first")]
    ran = subprocess.run([*command, *timing, *settings], capture_output=True, text=True, check=False)
    if ran.returncode:
        _tell(file, began, f"no run: {ran.stderr.strip()}")
        return False
    away = folder / "elsewhere"
    away.mkdir(exist_ok=True)
    replay = [python, "-m", "flsim", "replay", str(folder / "first" / file.stem)]
    again = subprocess.run(replay, cwd=away, capture_output=True, text=True, check=False)
    said = (again.stdout or again.stderr).strip().splitlines()
    with_what = f" ({instead})" if instead else ""
    _tell(file, began, (said[0] if again.returncode == 0 else " ".join(said)) + with_what)
    return again.returncode == 0


def write_noise(folder: Path, writers: int = 120, samples: int = 15) -> None:
    """Write FEMNIST as LEAF does, with noise for letters: two files of so many writers' samples."""
    draw = random.Random(1)
    for part in ("train", "test"):
        data = {
            f"f{writer:04}_00": {
                "x": [[round(draw.random(), 3) for _ in range(28 * 28)] for _ in range(samples)],
                "y": [draw.randrange(62) for _ in range(samples)],
            }
            for writer in range(writers)
        }
        counts = [samples] * writers
        (folder / part).mkdir(parents=True)
        leaf = {"users": list(data), "num_samples": counts, "user_data": data}
        (folder / part / "all_data_0.json").write_text(json.dumps(leaf))


def _tell(file: Path, began: float, what: str) -> None:
    sys.stdout.write(f"{file.relative_to(SCENARIOS)} ({time.perf_counter() - began:.0f} s): {what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
