"""A Flower app as its folder has it: its two apps, and its run config."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flsim.errors import ScenarioError, nearest
from flsim.flower.loading import Source
from flsim.from_flower import flatten_dict, get_project_config
from flsim.scenario.flower import FlowerWorkload, Setting

_SOURCES = (".py", ".toml")


@dataclass(frozen=True)
class FlowerApp:
    """A folder, where in it the apps are, the run config, and the hash of its sources."""

    folder: Path
    server: Source
    client: Source
    config: dict[str, Setting]
    sha256: str


def read_app(spec: FlowerWorkload) -> FlowerApp:
    """Return the app that a scenario names, with its config. Raises ScenarioError."""
    folder = Path(spec.app)
    try:
        config = get_project_config(folder)
        flower = config["tool"]["flwr"]["app"]
        components = flower["components"]
        references = str(components["serverapp"]), str(components["clientapp"])
    except FileNotFoundError as error:
        what = "no pyproject.toml in it" if folder.is_dir() else "no such folder"
        raise ScenarioError(f"workload.app: {folder}: {what}; a Flower app is a folder with one") from error
    except (KeyError, TypeError) as error:
        why = f"its pyproject.toml has no [tool.flwr.app.components] with serverapp and clientapp ({error})"
        raise ScenarioError(f"workload.app: {folder}: {why}") from error
    except (OSError, ValueError) as error:
        raise ScenarioError(f"workload.app: {folder}: {error}") from error
    here, own = folder.absolute(), flower.get("config", {})
    server, client = (Source(here, reference) for reference in references)
    return FlowerApp(here, server, client, _fused(own, spec), _sha256(folder))


def _fused(own: dict[str, Any], spec: FlowerWorkload) -> dict[str, Setting]:
    """Return the app's config with the scenario's entries in place of its own, as Flower fuses them."""
    config: dict[str, Setting] = dict(flatten_dict(own))
    for key, value in spec.config.items():
        if key not in config:
            accepted = ", ".join(config) or "none"
            why = f"the app's config has no such entry; it has: {accepted}{nearest(key, config)}"
            raise ScenarioError(f"workload.config.{key}: {why}")
        given, wanted = type(value), type(config[key])
        if given is not wanted and not (given is int and wanted is float):
            why = f"must be {wanted.__name__}, as it is in the app's config (given: {value!r})"
            raise ScenarioError(f"workload.config.{key}: {why}")
        config[key] = wanted(value)
    return config


def _sha256(folder: Path) -> str:
    """Return the hash of the app's sources: their paths and what is in them."""
    digest = hashlib.sha256()
    paths = (path for path in folder.rglob("*") if path.suffix in _SOURCES and path.is_file())
    for path in sorted(paths, key=lambda path: path.relative_to(folder).as_posix()):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
