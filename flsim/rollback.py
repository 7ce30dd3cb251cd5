"""Rolling back: the model of an earlier version as a file, to be used instead of the last one."""

from collections.abc import Iterator
from pathlib import Path

from flsim.errors import RunError
from flsim.learn.export import write_model
from flsim.learn.kept import Kept, models_in
from flsim.observe.folder import CHECKPOINTS, below
from flsim.observe.tables import read_tables, version_records


def rollback(folder: Path, version: int, out: Path | None = None) -> Path:
    """Write the model of a version that a checkpoint has kept as `version-N.pt` and `.safetensors`.

    `out`: the folder to write to; None: `export/` in the run's. Returns the path without the suffix. The
    model is the one that the run's records say by their hash; for killed runs, too. Raises RunError
    if there is no such version, none of its models is kept, or a file is damaged.
    """
    hashes = {row.version: row.model_sha256 for row in version_records(read_tables(folder).versions)}
    if version not in hashes:
        raise RunError(f"{folder}: there is no version {version}; the last is {max(hashes)}")
    kept: set[int] = set()
    for path in _checkpoints(folder):
        models = models_in(path)
        if version in models:
            return _written(models[version], hashes[version], path, version, out or below(folder, "export"))
        kept |= models.keys()
    if not kept:
        raise RunError(f"{folder}: no version is kept, as there are no checkpoints; see the key checkpoint")
    listed = ", ".join(map(str, sorted(kept)))
    raise RunError(f"{folder}: version {version} is not kept; those that are: {listed}")


def _checkpoints(folder: Path) -> Iterator[Path]:
    """Yield a run's checkpoints, the latest first."""
    found = below(folder, CHECKPOINTS).glob("version-*.safetensors")
    numbered = [(int(path.stem.removeprefix("version-")), path) for path in found if _is_numbered(path)]
    return (path for _, path in sorted(numbered, reverse=True))


def _is_numbered(path: Path) -> bool:
    return path.stem.removeprefix("version-").isdecimal()


def _written(model: Kept, wanted: str | None, source: Path, version: int, out: Path) -> Path:
    if model.sha256 != wanted:
        raise RunError(f"{source}: its version {version} is another model than the run's records have")
    path = out / f"version-{version}"
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error
    write_model(out, path.name, model.entries)
    return path
