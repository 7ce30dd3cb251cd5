"""The plots exist when there is something to see, and are pictures of a sane size."""

import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from flsim.errors import RunError
from flsim.observe.canvas import prefixed, save, time_unit
from flsim.observe.client_accuracy import write_client_accuracy
from flsim.observe.plots import PICTURES, write_plots
from flsim.observe.plots.gantt import _shown, _title
from flsim.observe.tables import read_tables, spans
from tests.unit.drawn import as_evaluations, with_tests
from tests.unit.recorded import Run, asynchronous_run, synchronous_run, tables_of

TIMING = ["communication.png", "participation.png", "timeline.png", "utilisation.png"]
ALL = ["accuracy.png", "loss.png", "convergence.png", *TIMING, "fleet.png"]


def names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


def size(path: Path) -> tuple[int, int]:
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", content[16:24])
    return width, height


def colours(path: Path) -> int:
    from matplotlib.image import imread

    pixels = (imread(path) * 255).astype(np.uint8)
    return len(np.unique(np.ascontiguousarray(pixels).view(np.uint32)))


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (synchronous_run(), ALL),
        (asynchronous_run(80, 8), [*ALL[:-1], "staleness.png", "fleet.png"]),
    ],
    ids=["synchronous", "asynchronous"],
)
def test_a_run_has_pictures_of_a_column_or_a_page(tmp_path, run, expected):
    paths = write_plots(tmp_path / "plots", tables_of(tmp_path, run))
    assert names(paths) == expected
    for path in paths:
        width, height = size(path)
        assert width in (1050, 2160)  # 3.5 and 7.2 inches, of 300 dots
        assert 500 <= height <= 2300
        assert colours(path) > 10


def drawn(tables) -> list[str]:
    """The names of the pictures that are not empty, without writing them."""
    return [f"{name}.png" for name, picture in PICTURES.items() if picture(tables) is not None]


def test_a_run_that_trained_nothing_has_no_curves(tmp_path):
    tables = tables_of(tmp_path, synchronous_run(6, 3, trained=False))
    assert drawn(tables) == [*TIMING, "fleet.png"]


def test_a_loss_that_is_never_finite_is_not_drawn(tmp_path):
    run = synchronous_run(6, 3)
    versions = [row._replace(loss=float("nan")) for row in run.versions]
    tables = tables_of(tmp_path, run._replace(versions=versions))
    assert drawn(tables) == [name for name in ALL if name != "loss.png"]


def test_a_run_without_rows_has_no_pictures(tmp_path):
    assert write_plots(tmp_path / "plots", tables_of(tmp_path, Run([], [], []))) == []


def test_a_single_version_can_be_drawn(tmp_path):
    run = synchronous_run(6, 3)
    paths = write_plots(tmp_path, tables_of(tmp_path, Run([], run.versions[:1], run.clients)))
    assert names(paths) == ["accuracy.png", "loss.png", "convergence.png", "fleet.png"]


def test_versions_at_one_instant_can_be_drawn(tmp_path):
    run = synchronous_run(6, 3)
    versions = [row._replace(time_s=0.0) for row in run.versions]
    tasks = [
        task._replace(dispatched_s=0.0, download_end_s=0.0, train_end_s=0.0, ended_s=0.0)
        for task in run.tasks
    ]
    tables = tables_of(tmp_path, Run(tasks, versions, []))
    assert drawn(tables) == [name for name in ALL if name not in ("utilisation.png", "fleet.png")]


def test_only_what_is_asked_for_is_written_in_the_formats_asked_for(tmp_path):
    tables = tables_of(tmp_path, synchronous_run(6, 3))
    paths = write_plots(tmp_path / "plots", tables, ("svg", "pdf"), {"timeline", "accuracy", "leakage"})
    assert names(paths) == ["accuracy.svg", "accuracy.pdf", "timeline.svg", "timeline.pdf"]
    assert sorted(paths) == sorted((tmp_path / "plots").iterdir())


_REDRAW = """
import sys
from pathlib import Path
from flsim.observe.plots import PICTURES, write_plots
from flsim.observe.tables import read_tables
write_plots(Path(sys.argv[2]), read_tables(Path(sys.argv[1])), sys.argv[3].split(","))
"""


def test_files_are_the_same_in_another_process_in_another_order_and_say_no_date(tmp_path):
    tables = with_tests(tables_of(tmp_path, asynchronous_run(12, 4)))
    write_client_accuracy(tmp_path, as_evaluations(tables))
    first = write_plots(tmp_path / "one", read_tables(tmp_path), ("png", "svg", "pdf"))
    assert "client_accuracy_map.svg" in names(first)
    command = [sys.executable, "-c", _REDRAW, tmp_path, tmp_path / "two", "pdf,svg"]
    user = tmp_path / "user"
    user.mkdir()
    (user / "matplotlibrc").write_text("font.size: 20\naxes.facecolor: red\nsvg.fonttype: none\n")
    others = {"PYTHONHASHSEED": "7", "MATPLOTLIBRC": str(user), "SOURCE_DATE_EPOCH": "86400"}
    subprocess.run(command, check=True, env={**os.environ, **others})
    again = sorted((tmp_path / "two").iterdir())
    assert len(again) == 2 / 3 * len(first)
    for path in again:
        assert path.read_bytes() == (tmp_path / "one" / path.name).read_bytes(), path.name
        said = path.read_bytes()
        assert b"Date" not in said
        assert re.search(rb"\b(19|20)\d\d-[01]\d-", said) is None


def test_letters_of_an_svg_are_outlines_and_a_pdf_has_its_font(tmp_path):
    tables = tables_of(tmp_path, synchronous_run(6, 3))
    drawing, paper = write_plots(tmp_path, tables, ("svg", "pdf"), {"accuracy"})
    assert "<text" not in drawing.read_text()
    assert 'width="252pt"' in drawing.read_text()  # 3.5 inches
    assert b"/FontFile2" in paper.read_bytes()  # TrueType
    assert b"/Type3" not in paper.read_bytes()


def test_a_name_that_ends_otherwise_is_refused(tmp_path):
    figure = PICTURES["fleet"](tables_of(tmp_path, synchronous_run(3, 1)))
    with pytest.raises(
        RunError, match=r"x\.gif: the name of a picture ends with one of \.png, \.svg, \.pdf"
    ):
        save(figure, tmp_path / "x.gif")


def test_the_timeline_shows_at_most_forty_clients_and_a_thousand_spans(tmp_path):
    run = asynchronous_run(clients=100, tasks_each=20)
    shown, end_s = _shown(tables_of(tmp_path, run).tasks)
    assert len({task.client for task in shown}) == 40
    assert 900 < sum(len(spans(task)) for task in shown) <= 1_000
    assert end_s < max(task.ended_s for task in run.tasks)
    clients = {task.client for task in shown}
    early = {t.task for t in run.tasks if t.client in clients and t.dispatched_s < end_s}
    assert {task.task for task in shown} == early


def test_the_timeline_of_a_small_run_shows_everything(tmp_path):
    run = synchronous_run(6, 3)
    shown, end_s = _shown(tables_of(tmp_path, run).tasks)
    assert {task.task for task in shown} == {task.task for task in run.tasks}
    assert end_s == max(task.ended_s for task in run.tasks)


def test_the_title_counts_the_fleet_also_without_rows_of_clients(tmp_path):
    run = asynchronous_run(clients=50, tasks_each=2)
    whole = tables_of(tmp_path / "whole", run)
    interrupted = tables_of(tmp_path / "interrupted", run._replace(clients=[]))
    assert _title(whole, 40, 0.0, 30.0).startswith("Tasks of 40 of 50 clients, the first 30 s of ")
    assert _title(interrupted, 40, 0.0, 30.0) == _title(whole, 40, 0.0, 30.0)


@pytest.mark.parametrize(
    ("seconds", "unit"), [(0.0, "s"), (179, "s"), (180, "min"), (5 * 3600, "h"), (4 * 86400, "d")]
)
def test_time_is_in_the_unit_that_reads_best(seconds, unit):
    assert time_unit(seconds)[0] == unit


def test_the_page_lists_the_pictures_in_their_order():
    page = (Path(__file__).parents[2] / "docs" / "plots.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == list(PICTURES)


@pytest.mark.parametrize(
    ("largest", "unit", "factor"),
    [(0.0, "B", 1), (999.0, "B", 1), (1000.0, "kB", 1e3), (2.5e9, "GB", 1e9), (1e20, "PB", 1e15)],
)
def test_amounts_are_in_the_unit_that_reads_best(largest, unit, factor):
    assert prefixed("B", largest) == (unit, factor)


def test_matplotlib_is_not_imported_before_the_first_picture():
    code = "import sys, flsim.observe.plots; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
