"""The plots exist when there is something to see, and are pictures of a sane size."""

import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from flsim.observe.canvas import time_unit
from flsim.observe.plots import write_plots
from flsim.observe.plots.gantt import _shown, _title
from flsim.observe.tables import spans
from tests.unit.recorded import Run, asynchronous_run, synchronous_run, tables_of

ALL = [
    "accuracy.png",
    "loss.png",
    "convergence.png",
    "communication.png",
    "participation.png",
    "timeline.png",
    "utilisation.png",
    "fleet.png",
]


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
    "run",
    [synchronous_run(), synchronous_run(150, 20), asynchronous_run(80, 8)],
    ids=["small", "large", "asynchronous"],
)
def test_a_trained_run_has_four_pictures(tmp_path, run):
    paths = write_plots(tmp_path / "plots", tables_of(tmp_path, run))
    assert names(paths) == ALL
    for path in paths:
        width, height = size(path)
        assert 1000 <= width <= 2000
        assert 500 <= height <= 2000
        assert colours(path) > 10


def test_a_run_that_trained_nothing_has_no_curves(tmp_path):
    paths = write_plots(tmp_path, tables_of(tmp_path, synchronous_run(6, 3, trained=False)))
    assert names(paths) == ["participation.png", "timeline.png"]
    assert sorted(path.name for path in tmp_path.glob("*.png")) == names(paths)


def test_a_loss_that_is_never_finite_is_not_drawn(tmp_path):
    run = synchronous_run(6, 3)
    versions = [row._replace(loss=float("nan")) for row in run.versions]
    paths = write_plots(tmp_path, tables_of(tmp_path, run._replace(versions=versions)))
    assert names(paths) == ["accuracy.png", "participation.png", "timeline.png"]


def test_a_run_without_rows_has_no_pictures(tmp_path):
    assert write_plots(tmp_path / "plots", tables_of(tmp_path, Run([], [], []))) == []


def test_a_single_version_can_be_drawn(tmp_path):
    run = synchronous_run(6, 3)
    paths = write_plots(tmp_path, tables_of(tmp_path, Run([], run.versions[:1], run.clients)))
    assert names(paths) == ["accuracy.png", "loss.png"]


def test_versions_at_one_instant_can_be_drawn(tmp_path):
    run = synchronous_run(6, 3)
    versions = [row._replace(time_s=0.0) for row in run.versions]
    tasks = [
        task._replace(dispatched_s=0.0, download_end_s=0.0, train_end_s=0.0, ended_s=0.0)
        for task in run.tasks
    ]
    assert names(write_plots(tmp_path, tables_of(tmp_path, Run(tasks, versions, [])))) == ALL


def test_pictures_are_the_same_every_time(tmp_path):
    tables = tables_of(tmp_path, synchronous_run(6, 3))
    first, second = (write_plots(tmp_path / name, tables) for name in ("one", "two"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


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


def test_matplotlib_is_not_imported_before_the_first_picture():
    code = "import sys, flsim.observe.plots; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
