"""Replaying a run: once more from its own scenario.yaml, somewhere else, and then compared."""

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flsim.errors import RunError
from flsim.govern.differences import Compared, compare_folders
from flsim.govern.environment import environment
from flsim.govern.manifest import is_governed, manifest_bytes, parsed
from flsim.observe.folder import SCENARIO
from flsim.running import run
from flsim.scenario import Scenario, read_scenario
from flsim.scenario.tracking import CsvTracker
from flsim.scenario.workload import TorchWorkload
from flsim.sim.surroundings import Watch
from flsim.sim.world import unwatched
from flsim.untrusted import read_json


@dataclass(frozen=True)
class Replayed:
    """What a replay gave. `hashes`: those that both runs have, by name: of the records, and of models.

    `elsewise`: what of the environment is not as the run's manifest has it, before and now.
    """

    compared: Compared
    hashes: dict[str, str | None]
    versions: int
    elsewise: dict[str, tuple[str | None, str | None]]

    @property
    def reproduced(self) -> bool:
        """Whether the replay says the same as the run did."""
        return not self.compared.differences


def replay(folder: Path, out: Path | None = None, watch: Watch = unwatched) -> Replayed:
    """Run the scenario of a finished run again, and compare all records and what is folded from them.

    `out`: where the replay's files go; None: nowhere for long. The replay is not signed. Raises RunError
    where the folder has no finished run, or the replay is interrupted.
    """
    scenario, summary = read_scenario(folder / SCENARIO), _summary(folder)
    if summary.get("stop_reason") == "interrupted":
        raise RunError(f"{folder}: the run was interrupted, which cannot be repeated")
    if out is not None and (out / scenario.name).resolve() == folder.resolve():
        raise RunError(f"{folder} is the run itself; a replay needs another folder")
    with _somewhere(out) as parent:
        again = run(_moved(scenario, parent), timing_only=_trained_nothing(scenario, summary), watch=watch)
        if again.interrupted:
            raise RunError("the replay was interrupted")
        compared = compare_folders(folder, again.folder)
    hashes = {key: summary.get(key) for key in ("records_sha256", "model_sha256")}
    return Replayed(compared, hashes, int(summary.get("updates", 0)) + 1, _elsewise(folder))


def _moved(scenario: Scenario, parent: Path) -> Scenario:
    """Return the scenario of the replay: its files go elsewhere, and nobody signs them.

    No tracker hears of it, but for the one whose file is among the run's.
    """
    output = scenario.output.model_copy(update={"dir": str(parent)})
    governance = scenario.governance
    if governance is not None:
        governance = governance.model_copy(update={"sign": None})
    tracking = tuple(tracker for tracker in scenario.tracking if isinstance(tracker, CsvTracker))
    changes = {"output": output, "governance": governance, "tracking": tracking}
    return scenario.model_copy(update=changes)


def _elsewise(folder: Path) -> dict[str, tuple[str | None, str | None]]:
    """Return what of the environment has changed since a run that was governed."""
    if not is_governed(folder):
        return {}
    manifest, _ = parsed(manifest_bytes(folder))
    before, now = ({} if manifest is None else manifest.environment), environment()
    return {key: (value, now.get(key)) for key, value in before.items() if value != now.get(key)}


def _trained_nothing(scenario: Scenario, summary: dict[str, Any]) -> bool:
    return isinstance(scenario.workload, TorchWorkload) and summary.get("training") is None


def _summary(folder: Path) -> dict[str, Any]:
    path = folder / "summary.json"
    try:
        summary = read_json(path)
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing; is {folder} the folder of a finished run?") from error
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {error}") from error
    if not isinstance(summary, dict):
        raise RunError(f"{path} is not a run's summary")
    return summary


@contextlib.contextmanager
def _somewhere(out: Path | None) -> Iterator[Path]:
    """Yield a folder to write into: the one that is given, or one that is gone afterwards."""
    if out is not None:
        yield out.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="flsim-replay-") as temporary:
        yield Path(temporary)
