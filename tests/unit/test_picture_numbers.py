"""What the pictures show is what the records say."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from flsim.observe.plots import PICTURES
from flsim.observe.plots.client_map import accuracies
from flsim.observe.plots.convergence import first_reached
from flsim.observe.plots.utilisation import link_rates
from flsim.observe.schemas import SECURE_ERRANDS_SCHEMA
from flsim.observe.tables import spans, task_records
from flsim.records import Outcome, VersionRecord
from tests.unit.drawn import below, with_tests
from tests.unit.recorded import Run, asynchronous_run, synchronous_run, tables_of


def heights(axes) -> np.ndarray:
    return np.array([patch.get_height() for patch in axes.patches])


def test_a_link_is_as_fast_as_its_bytes_are_many(tmp_path):
    task = (
        synchronous_run(3, 1)
        .tasks[0]
        ._replace(
            dispatched_s=0.0,
            download_end_s=2.0,
            train_end_s=5.0,
            ended_s=9.0,
            bytes_down=1_000,
            bytes_up=500,
        )
    )
    halted = task._replace(
        task=1, dispatched_s=4.0, download_end_s=None, train_end_s=None, ended_s=6.0, bytes_up=0,
        outcome=Outcome.LOST, aggregated_version=None, staleness=None,
    )  # fmt: skip
    tables = tables_of(tmp_path, Run([task, halted], [], []))
    up, down = link_rates(tables, np.arange(11.0))
    assert up == pytest.approx([0, 0, 0, 0, 0, 1000, 1000, 1000, 1000, 0])  # 500 B in 4 s
    assert down == pytest.approx([4000, 4000, 0, 0, 4000, 4000, 0, 0, 0, 0])
    _, coarse = link_rates(tables, np.array([0.0, 1.0, 5.0, 10.0]))
    assert coarse == pytest.approx([4000, 2000, 800])


def test_a_link_carries_every_byte_that_took_time(tmp_path):
    run = asynchronous_run(20, 5)
    tables = tables_of(tmp_path, run)
    bounds = np.linspace(0, max(task.ended_s for task in run.tasks), 38)
    up, down = link_rates(tables, bounds)
    carried_up = sum(task.bytes_up for task in run.tasks if task.train_end_s is not None)
    assert up @ np.diff(bounds) == pytest.approx(8 * carried_up)
    assert down @ np.diff(bounds) == pytest.approx(8 * sum(task.bytes_down for task in run.tasks))


def test_the_map_has_every_test_where_it_belongs_and_the_best_client_on_top(tmp_path):
    tables = with_tests(tables_of(tmp_path, synchronous_run(9, 4)))
    clients, versions, accuracy = accuracies(tables)
    own: dict[int, list[float]] = {}
    for row in tables.client_accuracy.to_pylist():
        place = clients.tolist().index(row["client"]), versions.tolist().index(row["version"])
        assert accuracy[place] == row["accuracy"]
        own.setdefault(row["client"], []).append(row["accuracy"])
    assert np.isnan(accuracy).sum() == 2  # the last client misses versions 1 and 3
    means = [np.mean(own[client]) for client in clients.tolist()]
    assert means == sorted(means, reverse=True)


def test_rows_of_a_large_map_are_means_of_ranks(tmp_path):
    tables = with_tests(tables_of(tmp_path, synchronous_run(200, 2)))
    _, _, accuracy = accuracies(tables)
    shown = PICTURES["client_accuracy_map"](tables).axes[0].images[0].get_array()
    assert shown.shape == (100, 3)
    assert shown[0].data == pytest.approx(accuracy[:2].mean(axis=0))
    hole = int(np.flatnonzero(np.isnan(accuracy[:, 1]))[0])
    beside = accuracy[hole ^ 1, 1]
    assert shown[hole // 2, 1] == pytest.approx(beside)  # of those that have a number


@pytest.mark.parametrize(("share", "version"), [(0.5, 4), (0.9, 7), (1.0, 9)])
def test_what_is_marked_is_where_a_share_of_the_best_was_first_reached(share, version):
    points = {0: 0.1, 4: 0.45, 5: 0.3, 7: 0.8, 9: 0.8001, 11: 0.79}
    assert first_reached(points, share) == version


def test_staleness_is_that_of_used_updates_and_adds_up(tmp_path):
    run = asynchronous_run(30, 10)
    stale = [task.staleness for task in run.tasks if task.outcome is Outcome.AGGREGATED]
    above, beneath = PICTURES["staleness"](tables_of(tmp_path, run)).axes
    assert heights(above) == pytest.approx(100 * np.bincount(stale) / len(stale))
    labels = [text.get_text() for text in above.get_legend().get_texts()]
    assert labels[0] == f"mean: {np.mean(stale):.3g}"
    largest, means = (line.get_ydata() for line in beneath.lines)
    last = [t.staleness for t in run.tasks if t.outcome is Outcome.AGGREGATED and t.aggregated_version == 9]
    assert (largest[8], means[8]) == pytest.approx((max(last), np.mean(last)))


def test_curves_of_bytes_end_at_the_totals_and_accuracy_stands_over_both_ways(tmp_path):
    run = synchronous_run(12, 5)
    panel, accuracy = PICTURES["communication"](tables_of(tmp_path, run)).axes
    up, down = (line.get_ydata() for line in panel.lines)
    assert up[-1] == pytest.approx(sum(task.bytes_up for task in run.tasks) / 1e6)
    assert down[-1] == pytest.approx(sum(task.bytes_down for task in run.tasks) / 1e6)
    third = run.versions[3]
    spent = sum(task.bytes_up + task.bytes_down for task in run.tasks if task.ended_s <= third.time_s)
    assert accuracy.lines[0].get_xdata()[3] == pytest.approx(spent / 1e6)
    assert accuracy.lines[0].get_ydata()[3] == third.accuracy


def test_clients_at_work_and_waiting_add_up_to_their_seconds(tmp_path):
    run = synchronous_run(12, 5)
    figure = PICTURES["utilisation"](tables_of(tmp_path, run))
    clients = figure.axes[0]
    busy = sum(task.ended_s - task.dispatched_s for task in run.tasks)
    end_s = max(task.ended_s for task in run.tasks)
    share = 100 * busy / end_s / 12
    assert clients.get_title(loc="left").startswith(f"On average {share:.3g} % of 12 clients are at work")
    assert figure.axes[2].get_ylim()[1] == pytest.approx(100 * clients.get_ylim()[1] / 12)


def test_edges_have_rows_above_the_clients(tmp_path):
    (tmp_path / "clients").mkdir()
    leaves = tables_of(tmp_path / "clients", synchronous_run(6, 3))
    tables = below(leaves, tables_of(tmp_path, synchronous_run(4, 2)))
    axes = PICTURES["timeline"](tables).axes[0]
    edges = sorted({f"edge {edge}" for edge in tables.edges.tasks["client"].to_pylist()})
    assert [text.get_text() for text in axes.get_yticklabels()] == edges + [str(n) for n in range(6)]
    rows = [round(patch.get_y() + patch.get_height() / 2) for patch in axes.patches]
    _, end_s = axes.get_xlim()
    first = [task for task in task_records(tables.edges.tasks) if f"edge {task.client}" == edges[0]]
    drawn = [span for task in first for span in spans(task) if task.dispatched_s < end_s]
    assert rows.count(0) == sum(span.end_s > span.start_s for span in drawn)


def test_the_fleet_is_that_of_the_records_by_class(tmp_path):
    run = synchronous_run(30, 2)
    speed, bandwidth, _, samples = PICTURES["fleet"](tables_of(tmp_path, run)).axes
    assert heights(speed).sum() == 29  # of one client no speed is known
    assert [text.get_text() for text in bandwidth.get_legend().get_texts()] == ["downlink", "uplink"]
    assert heights(samples).sum() == 30


def test_of_many_device_classes_the_smallest_are_drawn_as_one(tmp_path):
    tables = tables_of(tmp_path, synchronous_run(40, 2))
    names = [f"class {number % 8 if number < 32 else number % 4}" for number in range(40)]
    place = tables.clients.column_names.index("device_class")
    tables = replace(tables, clients=tables.clients.set_column(place, "device_class", pa.array(names)))
    speed = PICTURES["fleet"](tables).axes[0]
    told = [text.get_text() for text in speed.get_legend().get_texts()]
    assert told[:4] == ["class 0 (6)", "class 1 (6)", "class 2 (6)", "class 3 (6)"]
    assert sum(int(text.partition("(")[2].rstrip(")")) for text in told) == 40
    alone = sum(names.count(text.partition(" (")[0]) for text in told[:-1])
    assert told[-1] == f"{8 - len(told) + 1} others ({40 - alone})"
    assert 1 < len(told) < 8


def test_errands_of_a_recovery_are_on_the_servers_link(tmp_path):
    """Two errands of 100 B down and 50 B up, in [0, 4] s and [2, 4] s; no task sends anything."""
    tables = tables_of(tmp_path, Run([], [], []))
    columns = {
        "session": [0, 0], "client": [1, 2], "asked_s": [0.0, 2.0], "ended_s": [4.0, 4.0],
        "outcome": ["completed"] * 2, "bytes_down": [100, 100], "bytes_up": [50, 50],
        "energy_j": [None, None],
    }  # fmt: skip
    errands = pa.table(columns, schema=SECURE_ERRANDS_SCHEMA)
    bounds = np.array([0.0, 2.0, 4.0])
    assert [rate.tolist() for rate in link_rates(tables, bounds)] == [[0, 0], [0, 0]]
    up, down = link_rates(replace(tables, secure_errands=errands), bounds)
    assert up.tolist() == pytest.approx([100, 300])  # 12.5 B/s and, later, 25 B/s more, in bits
    assert down.tolist() == pytest.approx([200, 600])


def test_numbers_of_versions_that_would_touch_are_left_out(tmp_path):
    times = [0.0, 0.5, 1.0, 50.0, 100.0]
    versions = [VersionRecord(n, at, 1, 0.0, 0.1 * n, 1.0, None) for n, at in enumerate(times)]
    figure = PICTURES["accuracy"](tables_of(tmp_path, Run([], versions, [])))
    top = figure.axes[-1]
    assert [text.get_text() for text in top.get_xticklabels()] == ["0", "3", "4"]
