"""A Flower app as its folder has it: its two apps, and its run config."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from flsim.errors import ScenarioError, nearest
from flsim.from_flower import (
    ClientApp,
    LoadClientAppError,
    LoadServerAppError,
    ServerApp,
    flatten_dict,
    get_project_config,
    load_app,
)
from flsim.scenario.flower import FlowerWorkload, Setting

_SOURCES = (".py", ".toml")


@dataclass(frozen=True)
class FlowerApp:
    """A folder, which of its objects are the apps, the run config, and the hash of its sources."""

    folder: Path
    server_app: str
    client_app: str
    config: dict[str, Setting]
    sha256: str

    def load_server_app(self) -> ServerApp:
        """Import the ServerApp. Raises ScenarioError."""
        return cast(ServerApp, self._load(self.server_app, ServerApp, LoadServerAppError))

    def load_client_app(self) -> ClientApp:
        """Import the ClientApp. Raises ScenarioError."""
        return cast(ClientApp, self._load(self.client_app, ClientApp, LoadClientAppError))

    def _load(self, reference: str, kind: type, failure: type[Exception]) -> Any:
        try:
            found = load_app(reference, failure, self.folder)
        except (Exception, SystemExit) as error:  # the app's module may raise anything
            why = f"{reference} cannot be loaded: {type(error).__name__}: {error}"
            raise ScenarioError(f"workload.app: {self.folder}: {why}") from error
        if not isinstance(found, kind):
            raise ScenarioError(f"workload.app: {self.folder}: {reference} is no {kind.__name__}")
        return found


def read_app(spec: FlowerWorkload) -> FlowerApp:
    """Return the app that a scenario names, with its config. Raises ScenarioError."""
    folder = Path(spec.app)
    try:
        config = get_project_config(folder)
        flower = config["tool"]["flwr"]["app"]
        components = flower["components"]
        server_app, client_app = str(components["serverapp"]), str(components["clientapp"])
    except FileNotFoundError as error:
        what = "no pyproject.toml in it" if folder.is_dir() else "no such folder"
        raise ScenarioError(f"workload.app: {folder}: {what}; a Flower app is a folder with one") from error
    except (KeyError, TypeError) as error:
        why = f"its pyproject.toml has no [tool.flwr.app.components] with serverapp and clientapp ({error})"
        raise ScenarioError(f"workload.app: {folder}: {why}") from error
    except (OSError, ValueError) as error:
        raise ScenarioError(f"workload.app: {folder}: {error}") from error
    return FlowerApp(
        folder.absolute(), server_app, client_app, _fused(flower.get("config", {}), spec), _sha256(folder)
    )


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
