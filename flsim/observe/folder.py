"""The folder of a run: `<dir>/<name>/`, made anew for every run and never anybody else's."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from flsim.errors import RunError
from flsim.observe.blocks import JOURNAL
from flsim.observe.files import write_bytes
from flsim.observe.framed import check_free

SCENARIO = "scenario.yaml"
_FILES = (
    "absences.parquet",
    "attacked_tasks.parquet",
    "attackers.parquet",
    "best_model.pt",
    "best_model.safetensors",
    "client_accuracy.parquet",
    "clients.parquet",
    "communication.json",
    "metadata.parquet",
    "edge_tasks.parquet",
    "edge_versions.parquet",
    "factorisation.parquet",
    JOURNAL,
    "ending.parquet",
    "flower.json",
    "leakage.parquet",
    "messages.parquet",
    "metrics.csv",
    "metrics.json",
    "metrics.parquet",
    "model.pt",
    "model.safetensors",
    "progress.jsonl",
    "reconstructions.parquet",
    "secure_errands.parquet",
    "report.html",
    "secure_sessions.parquet",
    "summary.json",
    "tasks.parquet",
    "timeline.json.gz",
    "tracked.csv",
    "versions.parquet",
)
RECORDS = tuple(file for file in _FILES if file.endswith(".parquet"))
"""The names of the tables that a run may have."""

CHECKPOINTS = "checkpoints"
_FOLDERS = (CHECKPOINTS, "export", "governance", "mlflow", "plots", "tensorboard", "wandb")


def open_folder(parent: Path, name: str, scenario_yaml: str) -> Path:
    """Return the folder `parent/name`, empty but for the resolved scenario.

    The files of an earlier run are removed, so that nothing of two runs is mixed. Raises RunError if
    the folder holds something that is not a run's, or cannot be written.
    """
    folder = parent / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()) and not (folder / SCENARIO).is_file():
            raise RunError(
                f"{folder}: holds files that are not a run's; choose another folder with --out, "
                "or another name"
            )
        check_free(folder / JOURNAL)
        _remove_earlier_run(folder)
        write_bytes(folder / SCENARIO, scenario_yaml.encode())
    except OSError as error:
        raise RunError(f"{folder}: cannot be written: {error.strerror or error}") from error
    return folder


def reopen_folder(folder: Path) -> Path:
    """Return the folder of a run that goes on, with nothing in it but what it goes on from."""
    try:
        check_free(folder / JOURNAL)
        for file in _FILES:
            if file != JOURNAL:
                (folder / file).unlink(missing_ok=True)
        below(folder, CHECKPOINTS)
        _remove_folders(folder, [name for name in _FOLDERS if name != CHECKPOINTS])
    except OSError as error:
        raise RunError(f"{folder}: cannot be written: {error.strerror or error}") from error
    return folder


def _remove_earlier_run(folder: Path) -> None:
    for file in _FILES:
        (folder / file).unlink(missing_ok=True)
    _remove_folders(folder, _FOLDERS)


def below(folder: Path, name: str) -> Path:
    """Return a run's folder below its own one, for something to be written into it.

    Raises RunError if it is a link: what is written there would be written elsewhere.
    """
    path = folder / name
    if path.is_symlink():
        raise RunError(
            f"{path} is a link to {path.readlink()}; what is of a run is written into its own folder"
        )
    return path


def _remove_folders(folder: Path, names: Sequence[str]) -> None:
    for subfolder in names:
        if (folder / subfolder).is_symlink():  # what is written below it would be written elsewhere
            (folder / subfolder).unlink()
        shutil.rmtree(folder / subfolder, ignore_errors=True)
