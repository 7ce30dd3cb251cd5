"""Small governed runs, and what a forger does to their files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flsim.govern.audit_log import Link, document_of, lines_of
from flsim.govern.canonical import GENESIS, canonical, linked, sha256
from flsim.govern.manifest import rendered, sealed
from flsim.running import run
from flsim.scenario import scenario_from
from tests.tiny import scenario_data

FLEET = {"clients": 20, "compute": {"kind": "duration", "task": {"kind": "exponential", "mean": 10.0}}}
NOISY = {"kind": "central", "clip": 1.0, "noise_multiplier": 20.0, "delta": 1e-6, "accounting": "rdp"}
EQUAL = {"kind": "sync", "cohort": 5, "weighting": "equal"}


def timed(**sections: Any) -> dict[str, Any]:
    """Return a scenario in which nothing trains."""
    plain = {
        "name": "timed",
        "seed": 1,
        "workload": {"kind": "synthetic"},
        "fleet": FLEET,
        "strategy": {"kind": "sync", "cohort": 5},
        "stop": {"updates": 6},
        "governance": {},
    }
    return plain | sections


def trained(**sections: Any) -> dict[str, Any]:
    """Return a scenario in which ten clients train, and some of them drop out."""
    fleet = FLEET | {"clients": 10, "failure": {"dropout": 0.1}}
    plain = {"fleet": fleet, "stop": {"updates": 6}, "governance": {}}
    own = plain | sections
    strategy = own.pop("strategy", {"kind": "sync", "cohort": 5})
    return scenario_data(10, strategy, **own)


def run_in(folder: Path, data: dict[str, Any]) -> Path:
    """Run a scenario without pictures; return the folder of its results."""
    output = {"dir": str(folder), "plots": False, "timeline": True}
    return run(scenario_from(data | {"output": output})).folder


def records_of(folder: Path) -> list[dict[str, Any]]:
    """Return what the records of a run's audit log say."""
    lines = (folder / "governance" / "audit_log.jsonl").read_text().splitlines()
    return [json.loads(line)["record"] for line in lines]


def rewrite_log(folder: Path, change: Callable[[list[dict[str, Any]]], None]) -> None:
    """Change what the log says, and make its chain anew: a log that holds together, and is not true."""
    records = records_of(folder)
    change(records)
    links: list[Link] = []
    for record in records:
        previous = links[-1].sha256 if links else GENESIS
        links.append(Link(record, previous, linked(previous, sha256(canonical(record)))))
    (folder / "governance" / "audit_log.jsonl").write_bytes(lines_of(links))
    (folder / "governance" / "audit_log.json").write_bytes(document_of(links))


def reseal(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the manifest and seal it anew, as somebody can who knows how."""
    path = folder / "governance" / "manifest.json"
    data = json.loads(path.read_bytes())
    del data["seal"]
    change(data)
    path.write_bytes(rendered(sealed(data)))
