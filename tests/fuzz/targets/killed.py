"""What a run that was killed leaves: its journal, and its checkpoints, from which it goes on."""

import hashlib
import json
import shutil
from functools import cache
from pathlib import Path

from flsim.learn.state import read_state
from flsim.resuming import resume
from flsim.running import run
from flsim.scenario import scenario_from
from flsim.sim.surroundings import Moment
from tests.fuzz.folded import folded
from tests.fuzz.journals import frames_in, journal_of
from tests.fuzz.place import folder, placed
from tests.fuzz.target import Target

_SCENARIO = {
    "name": "killed",
    "seed": 1,
    "workload": {
        "kind": "torch",
        "data": {
            "dataset": {"kind": "synthetic", "samples": 40, "features": 3, "classes": 2},
            "client_test_share": 0.2,
        },
        "model": {"kind": "logistic"},
        "training": {"batch_size": 4, "optimizer": {"kind": "sgd", "lr": 0.1, "momentum": 0.9}},
    },
    "fleet": {"clients": 4, "compute": {"kind": "speed", "flops": 1e6}},
    "network": {"downlink": "1 Mbit/s", "uplink": "1 Mbit/s", "latency": "50 ms"},
    "strategy": {"kind": "fedbuff", "concurrency": 3, "buffer_size": 2},
    "compression": {"uplink": {"kind": "top_k", "share": 0.5}},
    "evaluation": {"clients": {"every": 2}},
    "checkpoint": {"every": 2},
    "stop": {"updates": 6},
    "executor": {"kind": "serial"},
}
_JOURNAL, _CHECKPOINTS = "journal.flsim", "checkpoints"


class _Killed(BaseException):
    """The end of the process, as far as one can have that within a process."""


@cache
def _home() -> Path:
    """Return the folder of a run that was killed at its fifth version, with two checkpoints."""
    quiet = {"dir": str(folder() / "begun"), "plots": False, "report": False}

    def watch(moment: Moment) -> bool:
        if moment.version >= 5:
            raise _Killed
        return True

    try:
        run(scenario_from(_SCENARIO | {"output": quiet}), watch=watch)
    except _Killed:
        return folder() / "begun" / "killed"
    raise AssertionError("the run came to its end")


def _journals() -> list[bytes]:
    return [(_home() / _JOURNAL).read_bytes()]


def _checkpoints() -> list[bytes]:
    return [(_home() / _CHECKPOINTS / "version-4.safetensors").read_bytes()]  # the last one


def _anew(journal: bytes, checkpoint: bytes | None = None) -> Path:
    """Return a copy of the run's folder with other files, and nothing of the last time."""
    path = folder() / "again" / "killed"
    shutil.rmtree(path, ignore_errors=True)
    (path / _CHECKPOINTS).mkdir(parents=True)
    shutil.copyfile(_home() / "scenario.yaml", path / "scenario.yaml")
    for file in (_home() / _CHECKPOINTS).iterdir():
        (path / _CHECKPOINTS / file.name).write_bytes(
            file.read_bytes() if checkpoint is None else checkpoint
        )
    (path / _JOURNAL).write_bytes(journal)
    return path


def journal(content: bytes) -> None:
    """The records of a run that was killed, and what is made of them."""
    placed("killed/scenario.yaml", (_home() / "scenario.yaml").read_bytes())
    path = placed(f"killed/{_JOURNAL}", content)
    folded(path.parent, path)


def resumed(content: bytes) -> None:
    """The journal that a run goes on from."""
    resume(_anew(content))


def checkpoint(content: bytes) -> None:
    """The state that a run goes on from, of which the journal says that it is the right one."""
    read_state(placed("state.safetensors", content))
    sha256 = hashlib.sha256(content).hexdigest()
    frames = [
        (name, _said(json.loads(body) | {"sha256": sha256}) if name.startswith(b"checkpoint") else body)
        for name, body in frames_in(_journals()[0])
    ]
    resume(_anew(journal_of(frames), content))


def _said(data: object) -> bytes:
    return json.dumps(data, sort_keys=True, separators=(",", ":")).encode()


TARGETS = (
    Target("journal", journal, "journal", _journals, share=0.4),
    Target("resumed", resumed, "journal", _journals, share=0.4),
    Target("checkpoint", checkpoint, "state", _checkpoints, share=0.4),
)
