"""The processes of a sweep: what they end with is text, in whatever colours the user wants the screen."""

import sys

import pytest

from flsim.sweeping.processes import here


def test_what_a_run_says_has_no_colours_though_the_screen_is_to_have_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    said = "from rich.console import Console; Console(stderr=True).print('[bold red]error:[/] no')"
    commands = [[sys.executable, "-c", said], [sys.executable, "-c", "raise SystemExit(3)"]]
    assert sorted(here(commands, workers=1)) == [(0, 0, "error: no\n"), (1, 3, "")]
