"""The harness itself: what an input may not do is a fault, and is said; so is that atheris is not there."""

import importlib.util
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flsim.errors import RunError
from tests.fuzz.__main__ import main
from tests.fuzz.place import folder
from tests.fuzz.study import Told, in_its_own, study
from tests.fuzz.target import Target


def _said(kept: Path, does: Callable[[], object]) -> list[str]:
    """Return what the harness says of a parser that does something with each input."""

    def parse(content: bytes) -> None:
        if content != b"known":  # which is read first, and is no fault
            does()

    told = in_its_own(Target("tried", parse, "bytes", lambda: [b"known"]), 3, 0, kept)
    return told.faults


def _refuse() -> None:
    raise RunError("a sentence")


def _says_nothing() -> None:
    raise RunError("")


def _hangs() -> None:
    while True:
        pass


def _takes_much() -> None:
    assert len(b"x" * (650 * 2**20))


def _within() -> None:
    (folder() / "within").write_text("x")
    (folder() / "within").unlink()


@pytest.mark.parametrize("does", [_refuse, _within, lambda: None], ids=["refuses", "writes", "accepts"])
def test_what_a_parser_may_do_is_no_fault(tmp_path: Path, does: Callable[[], object]) -> None:
    assert _said(tmp_path, does) == []


def test_what_an_input_may_not_do_is_a_fault(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("theirs")
    link = folder() / "link"
    link.symlink_to(outside)

    def into_nothing() -> None:
        os.close(os.open(tmp_path / "new", os.O_WRONLY | os.O_CREAT))

    def out_of_it() -> None:
        (folder() / "x").write_text("")
        (folder() / "x").rename(tmp_path / "y")

    faults = {
        "ZeroDivisionError": lambda: 1 // 0,
        "an error without a message": _says_nothing,
        "more than 1 s of the processor's time": _hangs,
        "took 6": _takes_much,
        f"open {tmp_path}": into_nothing,
        f"open {outside}": lambda: link.write_text("mine"),
        f"os.remove {outside}": outside.unlink,
        f"os.mkdir {tmp_path}": (tmp_path / "made").mkdir,
        f"os.rename {tmp_path}": out_of_it,
        f"os.symlink {tmp_path}": lambda: (tmp_path / "z").symlink_to("."),
        "subprocess.Popen": lambda: subprocess.run(["true"], check=True),
        "socket.connect": lambda: socket.create_connection(("127.0.0.1", 9)),
        "the process has died": lambda: os._exit(0),
    }
    for said, does in faults.items():
        found = _said(tmp_path / "kept", does)
        assert found, said
        assert any(said in each for each in found), (said, found)  # what takes much may take long, too
    assert outside.read_text() == "theirs"
    assert (tmp_path / "kept" / "tried.0").exists()  # the input is kept


def test_inputs_are_dealt_by_shares(tmp_path: Path) -> None:
    targets = [Target(str(share), lambda content: None, "bytes", share=share) for share in (1.0, 0.4, 0.6)]
    told: list[Told] = list(study(targets, 100, 0, tmp_path))
    assert [each.inputs for each in told] == [50, 20, 30]


def test_the_driver_says_that_there_is_no_atheris(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["fuzz", "--engine", "atheris", "--target", "grid"])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main() == 2
    assert capsys.readouterr().err == (
        "error: atheris cannot be imported; pip install atheris, or leave out --engine atheris\n"
    )


def test_an_unknown_target_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["fuzz", "--target", "grids"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert "no target 'grids'; targets: scenario, grid, " in capsys.readouterr().err
