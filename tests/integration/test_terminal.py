"""What the command line looks like: help of every command, colours, lists, completion."""

import io
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

import click
import pytest
from rich.console import Console

from flsim.cli import cli, main
from flsim.cli.help import OTHERS, SECTIONS, colour, in_sections
from flsim.cli.listing import print_component, print_places
from flsim.policy import Sync
from flsim.scenario.catalogue import catalogue, parameters_of, summary_of
from flsim.scenario.keys import keys_beginning, keys_of
from tests.integration.command import DEADLINE_S, SMALL, command_line, environment
from tests.integration.test_command_line import on_a_terminal


def commands(group: click.Group = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command, and those of none, which is flsim itself."""
    yield path
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


COMMANDS = list(commands())


def said(args: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as end:
        main(args)
    assert end.value.code == 0
    return capsys.readouterr().out


# Help


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_fits_and_nothing_is_cut_off(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = said([*words, "--help"], capsys)
    assert max(map(len, text.splitlines())) <= 80
    for line in text.splitlines()[1:]:
        assert not line.endswith(("...", "…")), line
    assert "\x1b" not in text
    monkeypatch.setenv("COLUMNS", "60")
    narrow = said([*words, "--help"], capsys).partition("Examples:")[0]
    assert max(map(len, narrow.splitlines()), default=0) <= 60


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_says_what_it_does_and_what_its_options_do(words: tuple[str, ...]) -> None:
    command: click.Command = cli
    for word in words:
        assert isinstance(command, click.Group)
        command = command.commands[word]
    assert command.help
    for parameter in command.params:
        assert isinstance(parameter, click.Argument) or getattr(parameter, "help", None), parameter.name


def test_commands_stand_in_sections_with_a_whole_sentence_each(capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(said([], capsys).split())
    for name, command in cli.commands.items():
        sentence = " ".join((command.help or "").split("\n\n")[0].split())
        assert f"{name} {sentence}" in text
    for section in (*SECTIONS, OTHERS, "Examples"):
        assert f"{section}:" in text
    listed = [name for names in in_sections(cli.commands).values() for name in names]
    assert sorted(listed) == sorted(cli.commands)


def test_a_command_that_no_section_names_stands_among_the_others() -> None:
    assert in_sections(["run", "audit"]) == {"Run": ["run"], OTHERS: ["audit"]}


def test_examples_can_be_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.integration.documented import assert_can_be_typed

    for number, words in enumerate(COMMANDS):
        command: click.Command = cli
        for word in words:
            assert isinstance(command, click.Group)
            command = command.commands[word]
        lines = "\n".join(getattr(command, "examples", ())).replace("\\\n", "").splitlines()
        for place, line in enumerate(lines):
            if line.startswith("flsim ") and "|" not in line and "FILE" not in line:
                folder = tmp_path / f"{number}-{place}"
                folder.mkdir()
                assert_can_be_typed(line, folder, monkeypatch)
    capsys.readouterr()


# Colours


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, None),
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": ""}, None),
        ({"TERM": "dumb"}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_when_help_has_colours(
    variables: dict[str, str], expected: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert colour() is expected


def test_a_terminal_has_colours_unless_somebody_minds(tmp_path: Path) -> None:
    plain = said_in_a_pipe(tmp_path)
    assert "\x1b" not in plain
    _, coloured = on_a_terminal(["-h"], tmp_path, COLUMNS="80")
    assert "\x1b[36mrun" in coloured
    assert click.unstyle(coloured).replace("\r\n", "\n") == plain
    for variable in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        _, without = on_a_terminal(["-h"], tmp_path, **{"COLUMNS": "80", **variable})
        assert without.replace("\r\n", "\n") == plain
    assert "\x1b[36mrun" in said_in_a_pipe(tmp_path, FORCE_COLOR="1")


def said_in_a_pipe(cwd: Path, **variables: str) -> str:
    done = subprocess.run(
        command_line("-h"), cwd=cwd, env=environment(**variables), capture_output=True, text=True,
        timeout=DEADLINE_S, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout


def test_an_error_is_red_on_a_terminal_only(tmp_path: Path) -> None:
    _, shown = on_a_terminal(["lisst"], tmp_path)
    assert "\x1b[1;31merror:\x1b[0m no command or scenario file 'lisst'" in shown
    _, plain = on_a_terminal(["lisst"], tmp_path, TERM="dumb")
    assert plain.startswith("error: no command or scenario file 'lisst'; did you mean 'list'?")
    assert "Help: flsim --help" in plain


# Lists


def test_a_list_in_a_pipe_has_a_line_for_each_component(capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(["list"], capsys).splitlines()
    assert lines == [
        "\t".join((place.path, kind, summary_of(component), ", ".join(parameters_of(component))))
        for place in catalogue()
        for kind, component in place.kinds.items()
    ]


def test_a_list_on_a_terminal_fits() -> None:
    screen = Console(file=io.StringIO(), force_terminal=True, width=80, color_system=None)
    print_places(catalogue(), screen)
    text = screen.file.getvalue()  # type: ignore[attr-defined]
    lines = click.unstyle(text).splitlines()
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines if line.rstrip().endswith("…")]
    words = " ".join(text.split())
    for place in catalogue():
        assert all(kind in words for kind in place.kinds)


@pytest.mark.parametrize("place", catalogue(), ids=lambda place: place.path)
def test_every_component_can_be_shown_in_full(place: object) -> None:
    for kind, component in place.kinds.items():  # type: ignore[attr-defined]
        keys = keys_of(component)
        assert [key.name for key in keys] == [name for name in component.model_fields if name != "kind"]
        assert all(key.takes and "anything" not in key.takes for key in keys), (kind, keys)
        screen = Console(file=io.StringIO(), width=80)
        print_component(place.path, kind, component, screen)  # type: ignore[attr-defined]
        text = " ".join(screen.file.getvalue().split())  # type: ignore[attr-defined]
        assert " ".join((component.__doc__ or "").split()) in text


def test_one_component_has_its_keys_with_types_defaults_units_and_meanings(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = said(["list", "strategy", "sync"], capsys)
    assert "  cohort  a whole number from 1 or all; default 10\n" in text
    assert "  deadline  a time (bare numbers are in s) or none; default none\n" in text
    assert "  weighting  samples, equal; default samples\n" in text
    assert "No round starts before `min_available` clients are there" in text
    text = said(["list", "fleet.compute", "speed"], capsys)
    assert (
        "  flops  a compute speed or a distribution of it (bare numbers are in FLOP/s); required\n" in text
    )
    text = said(["list", "network.topology", "tree"], capsys)
    assert text.startswith("network.topology: tree\n")


class Terse(Sync):
    """A user's own strategy, which says nothing of one of its keys."""

    kind: Literal["tests.integration.test_terminal:Terse"] = "tests.integration.test_terminal:Terse"  # type: ignore[assignment]
    unsaid: int = 3


def test_a_key_that_its_component_does_not_explain_has_its_line_all_the_same() -> None:
    screen = Console(file=io.StringIO(), width=200)
    print_component("strategy", Terse.model_fields["kind"].default, Terse, screen)
    lines = screen.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert "  unsaid  a whole number; default 3" in lines
    unsaid, cohort = (
        next(at for at, line in enumerate(lines) if line.startswith(f"  {key}  "))
        for key in ("unsaid", "cohort")
    )
    assert lines[cohort + 1].startswith(" " * 6)  # what it means
    assert not any(line.startswith(" " * 6) for line in lines[unsaid + 1 : unsaid + 2])


# Standard output


def test_a_full_disk_under_standard_output_is_one_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    full = Path("/dev/full").open("w")  # noqa: SIM115 - it is closed below, and says so
    monkeypatch.setattr(sys, "stdout", full)
    with pytest.raises(SystemExit) as end:
        main(["list", "strategy"])
    with suppress(OSError):
        full.close()
    said = capsys.readouterr().err
    assert end.value.code == 1
    assert said.startswith("error: [Errno 28] No space left on device")
    assert said.count("error:") == 1


def test_a_closed_standard_output_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(SMALL)
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(SystemExit) as end:
        main(["validate", str(file)])
    assert end.value.code == 0


# Completion


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a scenario, a run, and what is neither."""
    (tmp_path / "small.yaml").write_text(SMALL)
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "outputs" / "small").mkdir(parents=True)
    (tmp_path / "outputs" / "small" / "summary.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["swe"], ["sweep"]),
        (["sm"], ["small.yaml"]),
        (["run", ""], ["outputs/", "small.yaml"]),
        (["run", "small.yaml", "--time"], []),
        (["run", "small.yaml", "--tim"], ["--timing-only"]),
        (["small.yaml", "--tim"], ["--timing-only"]),
        (["run", "small.yaml", "--set", "strategy.coh"], ["strategy.cohort="]),
        (["run", "small.yaml", "--set", "sele"], ["selection."]),
        (["run", "small.yaml", "--set", "strategy.kind", "=", "fedb"], ["fedbuff"]),
        (
            ["run", "small.yaml", "--set", "strategy.kind", "="],
            ["sync", "fedasync", "fedbuff", "port", "fedat", "flower", "server_app"],
        ),
        (["sweep", "small.yaml", "see"], ["seed="]),
        (["search", "small.yaml", "workload.training.optimizer.l"], ["workload.training.optimizer.lr="]),
        (["compare", "outputs/"], ["outputs/small"]),
        (["report", "out"], ["outputs/"]),
        (["list", "server_o"], ["server_optimizer"]),
        (["list", "strategy", "fed"], ["fedasync", "fedbuff", "fedat"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["compare", "--format", "m"], ["markdown"]),
        (["--vers"], ["--version"]),
        (["run", "nowhere/sm"], []),
    ],
    ids=" ".join,
)
def test_completion(
    here: Path,
    words: list[str],
    expected: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place = len(words)
    if words[-1] == "=":
        words = [*words, ""]
        place = len(words) - 1
    monkeypatch.setenv("_FLSIM_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", " ".join(["flsim", *words]))
    monkeypatch.setenv("COMP_CWORD", str(place))
    lines = said([], capsys).splitlines()
    assert [line.partition(",")[2] for line in lines if line] == expected


def test_a_shell_that_is_not_known_gets_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for instruction in ("tcsh_complete", "bash_eat"):
        monkeypatch.setenv("_FLSIM_COMPLETE", instruction)
        with pytest.raises(SystemExit) as end:
            main([])
        assert (end.value.code, capsys.readouterr().out) == (1, "")


def test_keys_go_on_level_by_level() -> None:
    assert {"name=", "workload.", "strategy."} <= set(keys_beginning(""))
    assert "strategy.staleness." in keys_beginning("strategy.st")
    assert keys_beginning("output.plots=") == ["output.plots=true", "output.plots=false"]
    assert keys_beginning("strategy.weighting=e") == ["strategy.weighting=equal"]
    assert keys_beginning("nothing.like.that") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_for_shells(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    script = said(["completion", shell], capsys)
    assert f"_FLSIM_COMPLETE={shell}_complete" in script


def test_completion_in_bash_itself(here: Path) -> None:
    """The script is sourced as somebody's .bashrc would, and asked as readline asks it."""
    program = here / "bin" / "flsim"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m flsim "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    typed = """
        eval "$(flsim completion bash)"
        complete -p flsim
        ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
                _flsim_completion flsim 2> /dev/null
                echo "${COMPREPLY[*]}"; }
        ask flsim run small.yaml --set strategy.coh
        ask flsim run small.yaml --set strategy.kind = fedb
        ask flsim val
    """
    done = subprocess.run(
        ["bash", "--norc", "-c", typed], cwd=here, capture_output=True, text=True, check=False,
        env=environment(PATH=f"{program.parent}:{os.environ['PATH']}"), timeout=DEADLINE_S,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    registered, *answers = done.stdout.splitlines()
    assert re.fullmatch(r"complete -o nosort -F _flsim_completion flsim", registered)
    assert answers == ["strategy.cohort=", "fedbuff", "validate"]


def test_completion_loads_nothing_heavy(here: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "flsim"]
    asked = environment(
        _FLSIM_COMPLETE="bash_complete", COMP_WORDS="flsim run small.yaml --set strategy.co", COMP_CWORD="4"
    )
    done = subprocess.run(command, cwd=here, env=asked, capture_output=True, text=True, check=True)
    modules = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert done.stdout == "plain,strategy.cohort=\nplain,strategy.concurrency=\n"
    assert not modules & {"torch", "simpy", "matplotlib", "scipy", "pyarrow", "optuna", "plotly"}
