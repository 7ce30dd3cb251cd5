"""What holds of a command that a text tells the reader to type: it exists, and its options parse."""

import importlib.util
import itertools
import re
import shlex
import shutil
import tomllib
from pathlib import Path

import pytest

from flsim.cli import cli, main
from flsim.scenario.app_in_world import read_app_in_world
from tests.integration.command import REPOSITORY, SCENARIOS, SMALL

ON_RUNS = (
    "compare",
    "export",
    "lineage",
    "plot",
    "replay",
    "report",
    "resume",
    "rollback",
    "sign",
    "track",
    "ui",
    "verify",
)
PLACEHOLDER = "SCENARIO.yaml"


def words_of(line: str) -> list[str]:
    """Return the words of a line of shell, without its comment and without `> FILE`."""
    words = shlex.split(line, comments=True)
    return words[: words.index(">")] if ">" in words else words


def assert_can_be_typed(line: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Assert that the command could be typed in the repository. `folder` is an empty one to work in."""
    match words_of(line):
        case []:
            pass
        case ["make", *targets]:
            rules = re.findall(r"^(\w+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
            assert targets
            assert set(targets) <= set(rules), line
        case ["pip", "install", "-e", what] | ["pip", "install", what]:
            found = re.fullmatch(r"(?:\.|flsim-des)(?:\[([\w,]+)\])?", what)
            assert found is not None, line
            project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
            extras = found[1].split(",") if found[1] else []
            assert set(extras) <= set(project["optional-dependencies"]), line
        case ["python", "-m", "flsim", *args] | ["flsim", *args]:
            _assert_flsim_takes(args, folder, monkeypatch)
        case ["python", "-m", module, *_]:
            assert importlib.util.find_spec(module) is not None, line
        case ["python", script, *_]:
            assert (REPOSITORY / script).is_file(), line
        case ["pytest", *paths]:
            for path in paths:
                assert path.startswith("-") or (REPOSITORY / path.split("::")[0]).exists(), line
        case _:
            pytest.fail(f"nothing here knows how to check the command {line!r}; teach assert_can_be_typed")


def _assert_flsim_takes(args: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run what is cheap; of a run of a shipped scenario, check the options and that it is valid."""
    shutil.copytree(SCENARIOS, folder / "scenarios")
    (folder / PLACEHOLDER).write_text(SMALL)
    monkeypatch.chdir(folder)
    if (
        len(args) == 1
        and args[0] in cli.commands
        and any(each.required for each in cli.commands[args[0]].params)
    ):
        return  # it is only named
    if args and args[0] in ON_RUNS:  # there are no runs here
        cli.commands[args[0]].make_context(args[0], args[1:])
        return
    if args and args[0] == "flower":
        context = cli.commands["flower"].make_context("flower", args[1:])
        app, world = context.params["app"], context.params["world"]
        if world.parts[0] == "scenarios":
            read_app_in_world(app, world, context.params["run_config"], context.params["overrides"])
        return
    if args and args[0].startswith("outputs/"):
        cli.commands["run"].make_context("run", args)
        return
    shipped = [word for word in args if word.startswith("scenarios/")]
    if not shipped or "validate" in args:
        assert _exit_code(args) == 0, args
        return
    assert _exit_code([*args, "-h"]) == 0, args
    overrides = [word for flag, word in itertools.pairwise(args) if flag == "--set"]
    for scenario in shipped:
        given = [word for override in overrides for word in ("--set", override)]
        assert _exit_code(["validate", scenario, *given]) == 0, args


def _exit_code(args: list[str]) -> object:
    with pytest.raises(SystemExit) as end:
        main(args)
    return end.value.code
