"""The numbers behind the report's figures, against closed forms and slow references; no chart is drawn."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from flsim.observe.clients import write_clients
from flsim.observe.ending import ending_of, write_ending
from flsim.observe.report.breakdown import _classes
from flsim.observe.report.critical_path import PARTS, critical_path, most_critical
from flsim.observe.report.curves import curve
from flsim.observe.report.distributions import _stages, round_seconds, staleness
from flsim.observe.report.endings import endings
from flsim.observe.report.fairness import shared_out
from flsim.observe.report.headline import headline
from flsim.observe.report.parts import Table as PageTable
from flsim.observe.report.run_facts import Recorded
from flsim.observe.report.spread import gini, histogram, jain, lorenz, quantiles
from flsim.observe.report.timeline import MOST_BARS, MOST_LINES, gantt, shown
from flsim.observe.states import (
    STATES,
    Stretches,
    end_of_run,
    mean_level,
    seconds_by_client,
    stage_seconds,
    stretches,
    used_at,
)
from flsim.observe.tables import Tables, read_tables
from flsim.records import Devices, EndingRecord, Outcome, TaskRecord, VersionRecord
from tests.unit.recorded import Run, asynchronous_run, synchronous_run, tables_of, write

AGGREGATED, DISCARDED, UNFINISHED = Outcome.AGGREGATED, Outcome.DISCARDED, Outcome.UNFINISHED
Instants = tuple[float, float | None, float | None, float]


def task(
    number: int, client: int, instants: Instants, outcome: Outcome, version: int | None = None
) -> TaskRecord:
    stale = None if version is None else 0
    return TaskRecord(number, client, 0, *instants, outcome, version, stale, None, 5, 30, 10, None)


def version(number: int, time_s: float) -> VersionRecord:
    return VersionRecord(number, time_s, 1, 0.0, None, None, None)


def nobody_special(clients: int) -> Devices:
    same = np.ones(clients)
    return Devices(("phone",), np.zeros(clients, np.uint8), same, same, same, same)


def recorded(
    folder: Path, tasks: list[TaskRecord], versions: list[VersionRecord], clients: int, end_s: float
) -> Tables:
    write(folder, Run(tasks, versions, []))
    write_clients(folder, nobody_special(clients), [5] * clients)
    write_ending(folder, EndingRecord("updates", "2 server updates were made", end_s))
    return read_tables(folder)


# Client 0: a task that is used late, one that is dropped while it computes, one that is thrown away after
# its arrival, one that the end cuts off. Client 1: two that are used, and one that arrives in vain.
# Client 2 is never asked. The run lasts for 20 s.
TASKS = [
    task(0, 0, (0, 1, 4, 6), AGGREGATED, 1),
    task(1, 1, (0, 2, 7, 9), AGGREGATED, 1),
    task(2, 0, (8, 9, None, 12), Outcome.DROPPED),
    task(3, 1, (11, 12, 14, 15), AGGREGATED, 2),
    task(4, 0, (13, 14, 16, 17), DISCARDED),
    task(5, 1, (18, 19, 19.5, 19.75), UNFINISHED),
    task(6, 0, (18, None, None, 20), UNFINISHED),
]
VERSIONS = [version(0, 0.0), version(1, 10.0), version(2, 18.0)]


@pytest.fixture
def made_by_hand(tmp_path: Path) -> Tables:
    return recorded(tmp_path, TASKS, VERSIONS, clients=3, end_s=20.0)


# Where time went


def test_every_second_of_a_client_is_in_one_state(made_by_hand: Tables) -> None:
    assert STATES == ("download", "compute", "upload", "waiting", "idle")
    assert_allclose(
        seconds_by_client(made_by_hand),
        [
            [1 + 1 + 1 + 2, 3 + 3 + 2, 2 + 1, 8 - 6, 1 + 1],
            [2 + 1 + 1, 5 + 2 + 0.5, 2 + 1 + 0.25, (10 - 9) + (18 - 15) + (20 - 19.75), 11 - 10],
            [0, 0, 0, 0, 20],
        ],
    )


def test_waiting_ends_with_the_version_the_next_dispatch_or_the_run(made_by_hand: Tables) -> None:
    waits = stretches(made_by_hand)["waiting"]
    found = sorted(zip(*(column.tolist() for column in waits), strict=True))
    assert found == [(0, 6.0, 8.0), (1, 9.0, 10.0), (1, 15.0, 18.0), (1, 19.75, 20.0)]


def test_what_was_used_and_when(made_by_hand: Tables) -> None:
    nothing = np.nan
    assert_allclose(used_at(made_by_hand), [10, 10, nothing, 18, nothing, 20, nothing])


def test_a_stage_that_was_not_reached_has_no_seconds(made_by_hand: Tables) -> None:
    assert_allclose(stage_seconds(made_by_hand.tasks)[:, 2], [1, 3, np.nan])
    assert_allclose(stage_seconds(made_by_hand.tasks)[:, 6], [2, np.nan, np.nan])


@pytest.mark.parametrize("run", [synchronous_run(), asynchronous_run(), synchronous_run(150, 20)])
def test_the_states_of_a_client_add_up_to_the_run(tmp_path: Path, run: Run) -> None:
    tables = tables_of(tmp_path, run)
    seconds = seconds_by_client(tables)
    assert (seconds >= 0).all()
    assert_allclose(seconds.sum(axis=1), end_of_run(tables))
    busy = np.zeros(len(seconds))
    for row in run.tasks:
        busy[row.client] += row.ended_s - row.dispatched_s
    assert_allclose(seconds[:, :3].sum(axis=1), busy)


def test_a_run_that_was_killed_ends_with_its_last_record(tmp_path: Path) -> None:
    write(tmp_path, Run(TASKS[:4], VERSIONS[:2], []))
    tables = read_tables(tmp_path)
    assert ending_of(tables.ending) is None
    assert end_of_run(tables) == 15.0
    assert end_of_run(tables_of(tmp_path, Run([], [], []))) == 0.0


def test_how_a_run_ended_is_read_as_it_was_written(tmp_path: Path) -> None:
    tables = recorded(tmp_path, [], VERSIONS, clients=1, end_s=20.0)
    assert ending_of(tables.ending) == EndingRecord("updates", "2 server updates were made", 20.0)


def test_in_a_hierarchy_an_update_waits_for_its_edge(tmp_path: Path, made_by_hand: Tables) -> None:
    from flsim.observe.schemas import EDGE_VERSIONS_SCHEMA
    from flsim.observe.tables import EdgeTables

    rows = [(0, 1, 7.0), (1, 1, 9.5), (1, 2, 16.0), (0, 2, 30.0)]
    versions = pa.Table.from_pylist(
        [{"edge": e, "version": v, "time_s": t, "tasks": 1, "mean_staleness": 0.0} for e, v, t in rows],
        EDGE_VERSIONS_SCHEMA,
    )
    edges = EdgeTables(made_by_hand.tasks, versions, np.array([0, 1, 1]))
    tables = Tables(made_by_hand.tasks, made_by_hand.versions, made_by_hand.clients, edges=edges)
    assert_allclose(used_at(tables)[[0, 1, 3]], [7.0, 9.5, 16.0])


@given(
    st.lists(st.tuples(st.floats(0, 50), st.floats(0, 20)), max_size=12),
    st.lists(st.floats(0.5, 10), min_size=1, max_size=8),
)
def test_the_level_is_the_overlap_with_each_bin(
    spans: list[tuple[float, float]], widths: list[float]
) -> None:
    start = np.array([low for low, _ in spans])
    end = np.array([low + length for low, length in spans])
    edges = np.concatenate([[0.0], np.cumsum(widths)])
    expected = [
        sum(max(0.0, min(e, high) - max(s, low)) for s, e in zip(start, end, strict=True)) / (high - low)
        for low, high in pairwise(edges)
    ]
    level = mean_level(Stretches(np.zeros(len(start), np.int64), start, end), edges)
    assert_allclose(level, expected, atol=1e-9)


# The critical path


def test_the_critical_task_is_the_last_one_that_was_used(made_by_hand: Tables) -> None:
    path = critical_path(made_by_hand)
    assert PARTS == ("before", "download", "compute", "upload", "after")
    assert path.version.tolist() == [1, 2]
    assert path.task.tolist() == [1, 3]
    assert path.client.tolist() == [1, 1]
    assert_allclose(path.parts_s.T, [[0, 2, 5, 2, 1], [1, 1, 2, 1, 3]])
    assert_allclose(path.parts_s.sum(axis=0), path.interval_s)
    assert_allclose(path.shares, np.array([1, 3, 7, 3, 4]) / 18)
    assert most_critical(path, 5) == [(1, 2, pytest.approx((9 + 4) / 2))]


def test_of_those_that_arrive_together_the_last_id_is_critical(tmp_path: Path) -> None:
    tasks = [task(n, n, (0, 1, 2 + n / 10, 5), AGGREGATED, 1) for n in (2, 0, 1)]
    path = critical_path(recorded(tmp_path, tasks, VERSIONS[:2], 3, 10.0))
    assert path.task.tolist() == [2]


def test_a_task_from_before_the_last_version_makes_a_path_longer_than_the_interval(tmp_path: Path) -> None:
    tasks = [task(0, 0, (0, 1, 2, 3), AGGREGATED, 1), task(1, 1, (2, 3, 9, 14), AGGREGATED, 2)]
    path = critical_path(recorded(tmp_path, tasks, [*VERSIONS[:2], version(2, 14.0)], 2, 14.0))
    assert_allclose(path.parts_s[:, 1], [0, 1, 6, 5, 0])
    assert path.interval_s.tolist() == [10.0, 4.0]


def test_tasks_that_came_to_nothing_are_on_no_path(tmp_path: Path) -> None:
    late = task(1, 1, (0, 1, 2, 9), Outcome.REJECTED, 1)
    path = critical_path(recorded(tmp_path, [TASKS[0], late], VERSIONS[:2], 2, 10.0))
    assert path.task.tolist() == [0]
    nothing = critical_path(recorded(tmp_path / "nothing", [TASKS[2]], VERSIONS[:1], 2, 10.0))
    assert len(nothing.version) == 0


@pytest.mark.parametrize("run", [synchronous_run(), asynchronous_run()])
def test_the_critical_task_against_a_slow_search(tmp_path: Path, run: Run) -> None:
    path = critical_path(tables_of(tmp_path, run))
    made = {row.version for row in run.versions}
    used: dict[int, TaskRecord] = {}
    for row in run.tasks:
        if row.outcome is AGGREGATED and row.aggregated_version in made:
            best = used.get(row.aggregated_version)
            if best is None or (row.ended_s, row.task) > (best.ended_s, best.task):
                used[row.aggregated_version] = row
    assert dict(zip(path.version.tolist(), path.task.tolist(), strict=True)) == {
        number: row.task for number, row in used.items()
    }


# Spreads


amounts = st.lists(st.integers(0, 1000), min_size=1, max_size=40).map(
    lambda values: np.array(values, float)
)


@given(amounts)
def test_gini_is_the_mean_difference_of_pairs(values: np.ndarray) -> None:
    mean = values.mean()
    pairs = np.abs(values[:, None] - values[None, :]).mean()
    assert gini(values) == pytest.approx(pairs / (2 * mean) if mean else 0.0, abs=1e-9)


@given(amounts)
def test_gini_is_twice_the_area_above_the_lorenz_curve(values: np.ndarray) -> None:
    x, y = lorenz(values)
    if values.sum():
        area = float((np.diff(x) * (y[1:] + y[:-1]) / 2).sum())
        assert gini(values) == pytest.approx(1 - 2 * area, abs=1e-9)
    assert x[0] == y[0] == 0.0


def test_who_has_everything_is_as_unfair_as_it_gets() -> None:
    alone = np.array([0.0, 0.0, 0.0, 8.0])
    assert gini(alone) == pytest.approx(3 / 4)
    assert jain(alone) == pytest.approx(1 / 4)
    assert gini(np.zeros(3)) == 0.0
    assert jain(np.zeros(3)) == 1.0


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60))
def test_a_histogram_holds_every_value(values: list[float]) -> None:
    found = histogram(np.array(values))
    assert found.counts.sum() == len(values)
    assert len(found.counts) <= 42
    assert found.edges[0] <= min(values)
    assert found.edges[-1] >= max(values)
    assert (np.diff(found.edges) > 0).all()


def test_whole_numbers_have_a_bin_each_and_shares_end_at_one() -> None:
    found = histogram(np.array([3.0, 3.0, 5.0]))
    assert found.edges.tolist() == [2.5, 3.5, 4.5, 5.5]
    assert found.counts.tolist() == [2, 0, 1]
    huge = histogram(np.full(9, 2.0**63))  # no half lies beside it
    assert (huge.counts.sum(), huge.edges[0] <= 2.0**63 <= huge.edges[-1]) == (9, True)
    shares = histogram(np.array([0.0, 0.31, 0.99, 1.0, 1.0]))
    assert shares.edges[-1] == 1.0
    assert shares.counts[-1] == 3


def test_quantiles_are_interpolated() -> None:
    assert quantiles(np.arange(101.0)) == [5.0, 25.0, 50.0, 75.0, 95.0]


# What the figures read


def of(tables: Tables, **scenario: object) -> Recorded:
    return Recorded(tables, "", {"name": "made", "seed": 0, **scenario})


def test_staleness_and_round_times(made_by_hand: Tables) -> None:
    run = of(made_by_hand)
    assert staleness(run).tolist() == [0, 0, 0]
    assert round_seconds(run).tolist() == [10.0, 8.0]


def test_what_everybody_has_had(made_by_hand: Tables) -> None:
    shares = shared_out(of(made_by_hand))
    assert list(shares) == ["tasks", "aggregated updates"]  # no task has a weight
    assert shares["tasks"].tolist() == [4, 3, 0]
    assert shares["aggregated updates"].tolist() == [1, 2, 0]


def test_a_curve_knows_what_it_took(tmp_path: Path) -> None:
    tested = [row._replace(accuracy=y) for row, y in zip(VERSIONS, (0.1, float("nan"), 0.5), strict=True)]
    found = curve(recorded(tmp_path, TASKS, tested, 3, 20.0), lambda row: row.accuracy)
    assert found.version.tolist() == [0, 2]
    assert found.value.tolist() == [0.1, 0.5]
    assert found.time_s.tolist() == [0.0, 18.0]
    assert found.traffic.tolist() == [0, 5 * 40]  # the tasks that had ended by second 18


def test_a_small_run_is_drawn_whole(made_by_hand: Tables) -> None:
    what = shown(of(made_by_hand))
    assert what.tasks.num_rows == len(TASKS)
    assert what.clients.tolist() == [0, 1, 2]  # the idle one has a row, too
    assert what.end_s == 20.0
    assert what.note == ""


def test_a_large_run_is_sampled_and_says_so(tmp_path: Path) -> None:
    tables = tables_of(tmp_path, asynchronous_run(clients=400, tasks_each=60))
    what = shown(of(tables))
    bars = int((~np.isnan(stage_seconds(what.tasks))).sum())
    assert 0.8 * MOST_BARS < bars <= MOST_BARS
    assert len(what.clients) == 30
    assert what.end_s < end_of_run(tables)
    assert what.note.startswith(
        "Shown: 30 of the 400 clients that had tasks, evenly spaced by id, and the first "
    )
    kept = set(what.clients.tolist())
    early = {
        row
        for row, client, at in zip(
            *(tables.tasks[name].to_pylist() for name in ("task", "client", "dispatched_s")), strict=True
        )
        if client in kept and at < what.end_s
    }
    assert set(what.tasks["task"].to_pylist()) == early  # nothing of the stretch is missing


def test_time_is_told_by_device_class_and_then_of_all(made_by_hand: Tables) -> None:
    """Phone 0 computes for 3 + 3 + 2 s of its 20 s, phone 2 never, and sensor 1 for 5 + 2 + 0.5 s."""
    seconds = seconds_by_client(made_by_hand)
    assert [row[:2] for row in _classes(of(made_by_hand), seconds).rows] == [("phone", "3")]
    classes = pa.array(["phone", "sensor", "phone"])
    place = made_by_hand.clients.column_names.index("device_class")
    clients = made_by_hand.clients.set_column(place, "device_class", classes)
    rows = _classes(of(replace(made_by_hand, clients=clients)), seconds).rows
    assert [row[:2] for row in rows] == [("phone", "2"), ("sensor", "1"), ("all", "3")]
    compute = 2 + STATES.index("compute")
    assert [row[compute] for row in rows] == ["8 s (20.0 %)", "7.5 s (37.5 %)", "15.5 s (25.8 %)"]


def test_a_stage_that_no_task_reached_has_no_box(tmp_path: Path) -> None:
    cut = [task(0, 0, (0, 1, None, 3), Outcome.DROPPED), task(1, 0, (4, 6, None, 7), Outcome.DROPPED)]
    found = _stages(of(recorded(tmp_path, cut, VERSIONS[:1], 1, 20.0)))
    assert [row[0] for row in found.table.rows] == ["download", "compute"]
    assert [trace["name"] for trace in found.views[0][1]["data"]] == ["download", "compute"]


def test_a_run_that_ended_as_it_began_has_no_outcomes_over_time(tmp_path: Path) -> None:
    at_once = [task(0, 0, (0, None, None, 0), UNFINISHED)]
    [sums] = endings(of(recorded(tmp_path, at_once, VERSIONS[:1], 1, 0.0)))
    assert isinstance(sums, PageTable)


def test_energy_is_a_number_of_the_run_where_it_was_measured(made_by_hand: Tables, tmp_path: Path) -> None:
    assert not any(tile.label == "Energy" for tile in headline(of(made_by_hand)).tiles)
    metered = [row._replace(energy_j=1.5) for row in TASKS[:3]] + TASKS[3:]
    found = headline(of(recorded(tmp_path / "metered", metered, VERSIONS, 3, 20.0)))
    [energy] = [tile for tile in found.tiles if tile.label == "Energy"]
    assert (energy.value, energy.detail) == ("4.5 J", "drawn by the devices")


def test_more_server_updates_than_can_be_told_apart_are_not_drawn(tmp_path: Path) -> None:
    few, many = (
        [version(number, 20 * number / count) for number in range(count + 1)]
        for count in (MOST_LINES, MOST_LINES + 1)
    )
    for versions, drawn, says in (
        (few, True, "A thin line is a server update."),
        (many, False, f"The {MOST_LINES + 1:,} server updates are too many to be drawn."),
    ):
        figure = gantt(of(recorded(tmp_path / str(len(versions)), TASKS, versions, 3, 20.0)))
        assert figure is not None
        traces = figure.views[0][1]["data"]
        assert any(trace["name"] == "server update" for trace in traces) == drawn
        assert says in figure.says
