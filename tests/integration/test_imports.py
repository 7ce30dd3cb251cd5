"""Who loads what: a strategy is tested without SimPy, and timing is simulated without torch."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.command import DEADLINE_S, REPOSITORY, command_line, environment

HEAVY = {"torch", "torchvision", "simpy"}
LINT_IMPORTS = Path(sys.executable).parent / "lint-imports"

# Imports a package with everything in it, and says what that has loaded.
PROBE = """\
import importlib, json, pkgutil, sys

root = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(getattr(root, "__path__", []), root.__name__ + "."):
    importlib.import_module(module.name)
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def _loaded_by(package: str, cwd: Path) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, package],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout)) & HEAVY


@pytest.mark.parametrize(
    ("package", "loaded"),
    [
        ("flsim.policy", set()),
        ("flsim.scenario", set()),
        ("flsim.observe", set()),
        ("flsim.govern", set()),
        ("flsim.cli", set()),
        ("flsim.sim", {"simpy"}),
        ("flsim.results", set()),
        ("flsim.running", {"simpy"}),
        ("flsim.api", {"simpy"}),
        ("flsim.terminal", {"simpy"}),
    ],
)
def test_importing_a_layer_loads_no_more_than_it_needs(
    tmp_path: Path, package: str, loaded: set[str]
) -> None:
    assert _loaded_by(package, tmp_path) == loaded


@pytest.mark.parametrize(
    ("used", "unloaded"),
    [
        ("flsim", {"numpy", "pandas", "pyarrow", "pydantic", "rich", *HEAVY}),
        ("flsim.FlsimError", {"numpy", "pandas", "pyarrow", "pydantic", "rich", *HEAVY}),
        ("flsim.read_scenario", {"pandas", "matplotlib", *HEAVY}),
        ("flsim.FLMetrics, flsim.load", {"pandas", "matplotlib", *HEAVY}),
        ("flsim.run, flsim.sweep, flsim.compare", {"matplotlib", "IPython", "torch"}),
    ],
)
def test_a_program_loads_what_it_uses(tmp_path: Path, used: str, unloaded: set[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import flsim, sys; {used}; print(*sys.modules)"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not {name.partition(".")[0] for name in done.stdout.split()} & unloaded


@pytest.mark.parametrize("args", [["small.yaml"], ["small.yaml", "--set", "output={plots: true}"]])
def test_a_synthetic_run_never_loads_torch(small: Path, args: list[str]) -> None:
    """From end to end, with and without pictures. `-X importtime` names every module that is loaded."""
    command = command_line(*args)
    command[1:1] = ["-X", "importtime"]
    done = subprocess.run(
        command,
        cwd=small.parent,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert {"flsim.running", "simpy"} <= modules
    assert not {name for name in modules if name.partition(".")[0] in {"torch", "torchvision"}}


def _lint(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LINT_IMPORTS, "--no-cache"],
        cwd=root,
        env=environment(PYTHONPATH=str(root)),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def test_the_contracts_hold() -> None:
    done = _lint(REPOSITORY)
    assert done.returncode == 0, done.stdout
    assert " 0 broken" in done.stdout


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("policy/sync.py", "import torch", "only learn imports torch"),
        ("sim/server.py", "import torch.nn", "only learn imports torch"),
        ("policy/sync.py", "import simpy", "only sim imports simpy"),
        ("policy/sync.py", "import flsim.scenario", "imports go down only"),
        ("sim/server.py", "import flsim.observe.journal", "imports go down only"),
        ("observe/journal.py", "import flsim.govern.audit", "imports go down only"),
        ("govern/verify.py", "import torch", "only learn imports torch"),
        ("learn/learner.py", "import flsim.sim.clock", "imports go down only"),
        ("running.py", "import flsim.cli", "imports go down only"),
        ("flower/grid.py", "from flwr.serverapp import Grid", "only from_flower imports flwr"),
    ],
)
def test_a_violation_breaks_its_contract(tmp_path: Path, module: str, line: str, contract: str) -> None:
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    shutil.copytree(REPOSITORY / "flsim", tmp_path / "flsim", ignore=shutil.ignore_patterns("__pycache__"))
    planted = tmp_path / "flsim" / module
    planted.write_text(f"{planted.read_text()}\n{line}\n")
    done = _lint(tmp_path)
    assert done.returncode == 1, done.stdout
    assert f"{contract} BROKEN" in done.stdout
