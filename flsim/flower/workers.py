"""How many worker processes run the ClientApps of a scenario. Torch is not imported here."""

import ast
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from flsim.children import start_importing
from flsim.scenario import Scenario
from flsim.scenario.executor import Auto, Processes
from flsim.scenario.flower import FlowerWorkload

_QUIET = frozenset(("scipy", "sklearn", "torchvision"))
"""Libraries that start no threads and open no devices when they are imported: processes can be forked."""

PRELOADED = "flsim.flower.preloaded"


def workers(scenario: Scenario) -> int:
    """Return how many worker processes there will be; 0 if this process answers, or a Ray cluster.

    `auto`: one for every core. An only core, or an only client, is served here.
    """
    cores, clients = os.cpu_count() or 1, scenario.fleet.clients
    match scenario.executor:
        case Processes(workers=wanted):
            return min(wanted or cores, clients)
        case Auto() if cores > 1 and clients > 1:
            return min(cores, clients)
        case _:
            return 0


def start_ahead(scenario: Scenario) -> None:
    """Let the fork server import what workers need, if there will be any, while this process does, too."""
    workload = scenario.workload
    if isinstance(workload, FlowerWorkload) and workers(scenario):
        start_importing(PRELOADED, _imported_by(Path(workload.app)))


def _imported_by(app: Path) -> list[str]:
    """Return which modules of _QUIET the sources of an app import, in the order of their names."""
    found: set[str] = set()
    for path in app.rglob("*.py"):
        if "site-packages" in path.parts:  # of a virtual environment in the app's folder
            continue
        with suppress(OSError, ValueError, SyntaxError):  # which importing it will tell
            found.update(_imports(ast.parse(path.read_bytes())))
    return sorted(name for name in found if name.split(".")[0] in _QUIET)


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None and node.level == 0:
            yield node.module
