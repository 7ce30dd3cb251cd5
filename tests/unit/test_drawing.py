"""A run's pictures are the same if two processes draw them, whatever becomes of the other one."""

from pathlib import Path
from typing import Any

import pytest

from flsim.children import is_running, start_importing
from flsim.errors import RunError
from flsim.observe import drawing
from flsim.observe.drawing import Drawing
from flsim.observe.plots import PICTURES, write_plots
from flsim.observe.tables import Tables, read_tables
from tests.unit.recorded import synchronous_run, tables_of

ALONE = [
    "accuracy",
    "loss",
    "convergence",
    "communication",
    "participation",
    "timeline",
    "utilisation",
    "fleet",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder, with the pictures that one process draws in `alone`."""
    start_importing("flsim.observe.drawing")
    folder = tmp_path_factory.mktemp("run")
    tables_of(folder, synchronous_run(6, 3))
    write_plots(folder / "alone", read_tables(folder))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(autouse=True)
def no_pictures(folder: Path) -> None:
    for path in (folder / "plots").glob("*"):
        path.unlink()


def drawn_by_two(
    folder: Path, monkeypatch: pytest.MonkeyPatch, before: Any = lambda helper: None
) -> set[str]:
    """Draw with another process; return what this one has drawn. `before`: what happens to the other."""
    mine: set[str] = set()

    def counted(plots: Path, tables: Tables, formats: Any, only: set[str]) -> list[Path]:
        mine.update(only)
        return write_plots(plots, tables, formats, only)

    monkeypatch.setattr("flsim.observe.plots.write_plots", counted)
    with Drawing(["png"]) as both:
        both.prepare()
        both.prepare()  # as often as the run goes on
        helper = both._helper
        assert helper is not None
        before(helper)
        both.begin(folder)
        both.draw(folder, read_tables(folder))
    assert not helper._process.is_alive()
    return mine


def test_two_processes_draw_what_one_does(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(contents(folder / "alone")) == set(ALONE)
    drawn_by_two(folder, monkeypatch)
    assert contents(folder / "plots") == contents(folder / "alone")


def test_each_picture_is_taken_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other process has taken all but two."""

    def has_taken(helper: Any) -> None:
        helper.taken.value = len(PICTURES) - 2

    assert len(drawn_by_two(folder, monkeypatch, has_taken)) <= 2
    assert set(contents(folder / "plots")) == {"accuracy", "loss"}  # the last ones go first


def test_pictures_of_a_process_that_died_are_drawn_here(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(helper: Any) -> None:
        helper.taken.value = 6  # which it has begun
        helper._process.kill()
        helper._process.join()

    assert drawn_by_two(folder, monkeypatch, dies) == set(PICTURES)
    assert contents(folder / "plots") == contents(folder / "alone")


def test_what_goes_wrong_there_is_told_here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other process cannot write the first picture that it takes, and ends without a word."""
    in_the_way = folder / "plots" / "fleet.png" / "something"
    in_the_way.mkdir(parents=True)

    def takes_it(helper: Any) -> None:
        helper.taken.value = list(PICTURES)[::-1].index("fleet")
        helper.tell(folder, ["png"])
        helper._process.join()

    try:
        with pytest.raises(RunError, match=r"fleet\.png"):
            drawn_by_two(folder, monkeypatch, takes_it)
    finally:
        in_the_way.rmdir()
        in_the_way.parent.rmdir()


def test_without_workers_there_is_one_process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_running()
    monkeypatch.setattr(drawing, "is_running", lambda: False)
    with Drawing(["png"]) as alone:
        alone.prepare()
        assert alone._helper is None
        alone.begin(folder)
        alone.draw(folder, read_tables(folder))
    assert contents(folder / "plots") == contents(folder / "alone")


def test_a_run_without_pictures_has_no_other_process(folder: Path) -> None:
    with Drawing([]) as nothing:
        nothing.prepare()
        assert nothing._helper is None
        nothing.draw(folder, read_tables(folder))
    assert not contents(folder / "plots")
