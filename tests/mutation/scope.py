"""Which modules are held to a mutation score, in groups, and which tests have to find their faults."""

from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]


class Group(NamedTuple):
    """Modules that belong together: patterns of files in `flsim/`, and of tests in `tests/`."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]


WORLD = (
    "property/test_world.py",
    "property/test_world_machine.py",
    "unit/test_server.py",
    "validation/test_links.py",
)
STRATEGIES = ("unit/test_sync.py", "unit/test_fedasync.py", "unit/test_fedbuff.py", "unit/test_fedat.py")

GROUPS = {
    "staleness": Group(
        ("policy/staleness.py", "policy/weighting.py"),
        ("unit/test_staleness.py", "unit/test_weighting.py", *STRATEGIES),
    ),
    "strategies": Group(
        (
            "policy/sync.py",
            "policy/fedasync.py",
            "policy/fedbuff.py",
            "policy/fedat.py",
            "policy/port.py",
            "policy/concurrent.py",
            "policy/tiers.py",
            "policy/strategy.py",
        ),
        (
            *STRATEGIES,
            "unit/test_strategies.py",
            "unit/test_port.py",
            "unit/test_tiers.py",
            "unit/test_weighting.py",
        ),
    ),
    "selections": Group(
        ("policy/selections/*.py", "policy/selection.py"),
        (
            "unit/test_selection.py",
            "unit/test_selections.py",
            "unit/test_tifl_adaptive.py",
            "unit/test_tiers.py",
            "property/test_selections.py",
        ),
    ),
    "max-min": Group(
        ("sim/network/fair.py", "sim/network/mesh.py", "sim/network/basin.py", "sim/network/sharing.py"),
        (
            "unit/test_basin.py",
            "unit/test_mesh.py",
            "unit/test_sharing.py",
            "property/test_fair_sharing.py",
            "validation/test_fair_clock.py",
            "validation/test_links.py",
            "validation/test_topologies.py",
            "validation/test_capacities.py",
        ),
    ),
    "world": Group(
        (
            "sim/server.py",
            "sim/dispatcher.py",
            "sim/flight.py",
            "sim/presence.py",
            "sim/fleet.py",
            "sim/stopping.py",
        ),
        (
            *WORLD,
            *STRATEGIES,
            "unit/test_absences.py",
            "unit/test_flight.py",
            "unit/test_hierarchy.py",
            "unit/test_history.py",
            "unit/test_idle.py",
            "unit/test_presence.py",
            "unit/test_stopping.py",
            "unit/test_told.py",
            "validation/test_failures.py",
            "validation/test_secure_sessions.py",
        ),
    ),
    "aggregation": Group(
        ("learn/aggregations/*.py",),
        (
            "unit/test_aggregations.py",
            "unit/test_fedat_models.py",
            "unit/test_flexlora.py",
            "unit/test_robust.py",
            "unit/test_robust_runs.py",
            "unit/test_screening.py",
            "unit/test_participation.py",
        ),
    ),
    "server optimisers": Group(
        ("learn/server_optimizers/*.py",),
        ("unit/test_server_optimizers.py",),
    ),
}


def files_of(group: Group) -> list[Path]:
    """The modules of a group that hold a function, in order."""
    files = [file for pattern in group.modules for file in sorted((ROOT / "flsim").glob(pattern))]
    return [file for file in files if file.name != "__init__.py"]


def module_name(file: Path) -> str:
    """A file's module.

    >>> module_name(ROOT / "flsim" / "policy" / "sync.py")
    'flsim.policy.sync'
    """
    return ".".join(file.relative_to(ROOT).with_suffix("").parts)
