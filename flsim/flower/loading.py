"""One object of a Flower app, imported from the app's folder, here or in another process."""

from pathlib import Path
from typing import Any, NamedTuple, cast

from flsim.errors import ScenarioError
from flsim.from_flower import ClientApp, LoadClientAppError, LoadServerAppError, ServerApp, load_app
from flsim.interpreter import importing


class Source(NamedTuple):
    """Where an object is: a folder, and a reference such as `my_app.client_app:app`."""

    folder: Path
    reference: str

    def load_server_app(self) -> ServerApp:
        """Import the ServerApp that is here. Raises ScenarioError."""
        return cast(ServerApp, self._load(ServerApp, LoadServerAppError))

    def load_client_app(self) -> ClientApp:
        """Import the ClientApp that is here. Raises ScenarioError."""
        return cast(ClientApp, self._load(ClientApp, LoadClientAppError))

    def _load(self, kind: type, failure: type[Exception]) -> Any:
        try:
            with importing():
                found = load_app(self.reference, failure, self.folder)
        except (Exception, SystemExit) as error:  # the app's module may raise anything
            why = f"{self.reference} cannot be loaded: {type(error).__name__}: {error}"
            raise ScenarioError(f"workload.app: {self.folder}: {why}") from error
        if not isinstance(found, kind):
            raise ScenarioError(f"workload.app: {self.folder}: {self.reference} is no {kind.__name__}")
        return found
