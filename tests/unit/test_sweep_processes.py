"""The processes of a sweep: what they end with is text, in whatever colours the user wants the screen."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from flsim.errors import EXIT_INTERRUPTED, ScenarioError
from flsim.sweeping.grid import Variation, grid_from
from flsim.sweeping.processes import Command, Ended, here
from flsim.sweeping.runs import run_all
from tests.integration.command import SMALL


def test_what_a_run_says_has_no_colours_though_the_screen_is_to_have_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    said = "from rich.console import Console; Console(stderr=True).print('[bold red]error:[/] no')"
    commands = [[sys.executable, "-c", said], [sys.executable, "-c", "raise SystemExit(3)"]]
    assert sorted(here(commands, workers=1)) == [(0, 0, "error: no\n"), (1, 3, "")]


def test_whoever_stops_listening_stops_the_runs_that_have_not_begun(tmp_path: Path) -> None:
    begun = f"from uuid import uuid4; open(r'{tmp_path}/' + uuid4().hex, 'x')"
    ended = here([[sys.executable, "-c", begun]] * 40, workers=1)
    next(ended)
    ended.close()  # type: ignore[attr-defined]
    assert 1 <= len(list(tmp_path.iterdir())) < 20


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    file = tmp_path / "small.yaml"
    file.write_text(SMALL)
    return file


@pytest.mark.parametrize(
    ("code", "said", "error"),
    [
        (EXIT_INTERRUPTED, "error: never mind", "interrupted"),
        (1, "error: the disk is full\n", "the disk is full"),
        (137, "", "exit code 137"),
    ],
)
def test_a_run_that_fails_is_told_by_what_it_said_or_by_its_exit_code(
    scenario: Path, code: int, said: str, error: str
) -> None:
    def failing(commands: Sequence[Command], *, workers: int | None) -> Iterator[Ended]:
        yield 0, code, said

    [outcome] = run_all(
        scenario, [Variation("one", {})], folder=scenario.parent / "runs", carry_out=failing
    )
    assert (outcome.error, outcome.summary, outcome.resumed) == (error, {}, False)


@pytest.mark.parametrize("left", ["[]", "{", '{"stop_reason": "interrupted"}', "{}", None])
def test_what_did_not_come_to_its_end_is_run_again(scenario: Path, left: str | None) -> None:
    folder = scenario.parent / "runs"
    if left is not None:
        (folder / "one").mkdir(parents=True)
        (folder / "one" / "summary.json").write_text(left)
    ran = []

    def noted(commands: Sequence[Command], *, workers: int | None) -> Iterator[Ended]:
        for number, command in enumerate(commands):
            ran.append(command[-1])
            yield number, 1, "error: once more"

    [outcome] = run_all(scenario, [Variation("one", {})], folder=folder, carry_out=noted)
    assert ran == ['name="one"']
    assert outcome.error == "once more"


def test_a_key_has_no_more_values_than_a_sweep_has_runs() -> None:
    most = 100_000
    with pytest.raises(ScenarioError, match=rf"seed: at most {most:,} values"):
        grid_from({"seed": [f"0..{most - 1}", "5..6"]}, "grid.yaml")
