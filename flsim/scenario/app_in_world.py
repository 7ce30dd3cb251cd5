"""A Flower app and a world to a scenario: what `flsim flower` runs."""

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flsim.errors import ScenarioError
from flsim.scenario.overrides import Change
from flsim.scenario.reading import read_scenario
from flsim.scenario.scenario import Scenario

_ENTRY = re.compile(r"""([^\s=]+)\s*=\s*('[^']*'|"[^"]*"|\S+)""")
_BY = "--run-config"


def read_app_in_world(
    app: Path, world: Path, run_config: str = "", overrides: Sequence[str] = ()
) -> Scenario:
    """Return the scenario of an app in the world that a file describes. Raises ScenarioError.

    The file is a scenario that may leave out workload, strategy, stop and name. `run_config`: entries in
    place of the app's own, such as "num-server-rounds=5 lr=0.05".
    """
    fixed = [
        Change(("workload", "kind"), "flower", "flsim flower", "workload.kind"),
        Change(("workload", "app"), str(app.absolute()), "flsim flower", "workload.app"),
    ]
    entries = [Change(("workload", "config", key), value, _BY, key) for key, value in _entries(run_config)]
    defaults = [
        Change(("name",), re.sub(r"[^A-Za-z0-9_-]", "_", app.absolute().name), "flsim flower", "name"),
        Change(("strategy",), {"kind": "server_app"}, "flsim flower", "strategy"),
        Change(("stop",), {}, "flsim flower", "stop"),
    ]
    return read_scenario(world, [*fixed, *entries, *overrides], defaults)


def _entries(text: str) -> list[tuple[str, Any]]:
    """Return the entries of a run config as Flower's command line has them: TOML, one after the other."""
    if _ENTRY.sub("", text).strip():
        raise ScenarioError(f"{_BY} {text!r}: expected entries such as num-server-rounds=5 lr=0.05")
    found = []
    for key, value in _ENTRY.findall(text):
        try:
            found.append((key, tomllib.loads(f"value = {value}")["value"]))
        except tomllib.TOMLDecodeError as error:
            why = f"{value} is neither a number, nor true or false, nor text in quotes"
            raise ScenarioError(f"{_BY} {key}: {why}") from error
    return found
