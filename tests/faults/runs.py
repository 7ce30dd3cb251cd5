"""Small runs to put faults into: between them, they write every file that a run can write."""

from pathlib import Path
from typing import Any

from flsim.running import run
from flsim.scenario import scenario_from
from tests.tiny import scenario_data

SYNC = {"kind": "sync", "cohort": 5, "weighting": "equal"}
FLEET = {
    "clients": 10,
    "compute": {"kind": "duration", "task": {"kind": "exponential", "mean": 10.0}},
    "availability": {"kind": "sessions", "on": {"kind": "exponential", "mean": 60.0}, "off": 5.0},
}
LINKS = {"downlink": "1 Mbit/s", "uplink": "1 Mbit/s"}


def learning(**sections: Any) -> dict[str, Any]:
    """Return a scenario that trains, with all that is recorded but for a hierarchy and sessions."""
    data = scenario_data(10, SYNC, fleet=FLEET, stop={"updates": 4})
    data["workload"]["data"]["client_test_share"] = 0.2
    data["workload"]["metadata"] = {"kind": "progress"}
    return data | {
        "name": "learning",
        "evaluation": {"clients": {"every": 2}, "metrics": ["f1"]},
        "leakage": {"clients": 1, "every": 2},
        "attack": {"kind": "sign_flip", "clients": {"share": 0.2}},
        "governance": {},
        "executor": {"kind": "serial"},
        "tracking": [{"kind": "csv"}],
        **sections,
    }


def hierarchy() -> dict[str, Any]:
    """Return a scenario with edge servers, in which nothing trains."""
    level = {"name": "edge", "nodes": 2, **LINKS}
    return {
        "name": "hierarchy",
        "workload": {"kind": "synthetic"},
        "fleet": {"clients": 8, "compute": FLEET["compute"]},
        "network": {"topology": {"kind": "tree", "levels": [level]}, **LINKS},
        "strategy": {"kind": "sync", "cohort": 2},
        "hierarchy": {"rounds": 1, "strategy": {"kind": "sync", "cohort": "all"}},
        "stop": {"updates": 2},
    }


def buffered() -> dict[str, Any]:
    """Return a scenario with secure sessions and holders' errands, in which nothing trains."""
    return {
        "name": "buffered",
        "workload": {"kind": "synthetic"},
        "fleet": {"clients": 12, "compute": FLEET["compute"]},
        "strategy": {"kind": "fedbuff", "concurrency": 6, "buffer_size": 3},
        "secure_aggregation": {"kind": "lightsecagg", "committee": 6, "threshold": 4, "colluding": 1},
        "stop": {"updates": 2},
    }


def run_in(folder: Path, data: dict[str, Any], **output: Any) -> Path:
    """Run a scenario with its timeline, without pictures; return the folder of its results."""
    where = {"dir": str(folder), "plots": False, "timeline": True, **output}
    return run(scenario_from(data | {"output": where})).folder
