"""When clients were away: the rows against what a listener hears, and against the tasks."""

from collections import defaultdict
from pathlib import Path

import pytest

from flsim.observe.journal import ParquetJournal
from flsim.observe.tables import read_tables
from flsim.records import AbsenceRecord, Outcome
from flsim.scenario import scenario_from
from tests.comings import Followed, schedules_of
from tests.memory import simulated, timing
from tests.unit.recorded import synchronous_run, write_fleet

SESSIONS = {
    "kind": "sessions",
    "on": {"kind": "exponential", "mean": 40},
    "off": {"kind": "exponential", "mean": 25},
}
ENDLESS = {"kind": "fedasync", "concurrency": 5}


def coming_and_going(clients: int = 30, until: float = 500.0, **sections):
    data = timing(clients, 20.0, ENDLESS, {"time": until}, seed=4)
    data["fleet"] |= {"availability": SESSIONS, **sections}
    return data


def test_rows_are_what_a_listener_of_the_same_fleet_hears() -> None:
    data = coming_and_going()
    ended, journal = simulated(data)
    scenario = scenario_from(data)
    heard = Followed(30, schedules_of(scenario), ended.virtual_time_s)
    since = {client: 0.0 for client, there in enumerate(heard.start) if not there}
    expected = []
    for now, client, is_there in heard.heard:
        if not is_there:
            since.setdefault(client, now)
        elif client in since:
            expected.append(AbsenceRecord(client, since.pop(client), now))
    expected += [AbsenceRecord(client, since[client], None) for client in sorted(since)]
    assert len(expected) > 100
    assert any(row.from_s == 0.0 for row in expected)
    assert journal.absences == expected


def test_a_client_is_sent_nothing_while_it_is_away() -> None:
    _, journal = simulated(coming_and_going())
    away = defaultdict(list)
    for row in journal.absences:
        away[row.client].append((row.from_s, float("inf") if row.until_s is None else row.until_s))
    assert any(task.outcome is Outcome.DROPPED for task in journal.tasks)
    for task in journal.tasks:
        for left, back in away[task.client]:
            assert not left < task.dispatched_s < back
            assert task.ended_s <= left or task.dispatched_s >= back  # one that leaves drops its task


def test_who_is_gone_for_good_stays_away_until_the_end() -> None:
    """It may be said to be away twice; it is one absence, from when it was away first."""
    data = coming_and_going(failure={"lifetime": 60.0})
    data["stop"] = {"time": 100.0}
    _, journal = simulated(data)
    lasts = []
    for client in range(30):
        *_, last = [row for row in journal.absences if row.client == client]
        assert last.until_s is None
        lasts.append(last.from_s)
    assert max(lasts) == 60.0
    assert min(lasts) < 60.0  # it was away already when it left


def test_a_crash_is_an_absence_that_ends_with_the_repair() -> None:
    data = timing(6, 20.0, ENDLESS, {"updates": 9})
    data["fleet"]["failure"] = {"crash": {"probability": 0.5, "repair": 7.0}}
    _, journal = simulated(data)
    dropped = [task for task in journal.tasks if task.outcome is Outcome.DROPPED]
    assert dropped
    crashes = {(task.client, task.ended_s) for task in dropped}
    assert {(row.client, row.from_s) for row in journal.absences} == crashes
    for row in journal.absences:
        assert row.until_s is None or row.until_s == pytest.approx(row.from_s + 7.0)


def test_nobody_is_away_for_no_reason() -> None:
    assert simulated(timing(5, 20.0, ENDLESS, {"updates": 9}))[1].absences == []


def test_the_key_turns_them_off_and_changes_nothing_else() -> None:
    _, with_them = simulated(coming_and_going())
    _, without = simulated(coming_and_going() | {"output": {"absences": False}})
    assert without.absences == []
    assert without.tasks == with_them.tasks
    assert without.versions == with_them.versions


def test_a_hierarchy_writes_down_its_clients(tmp_path: Path) -> None:
    _, flat = simulated(coming_and_going(until=200.0))
    data = coming_and_going(until=200.0)
    data["network"] = {
        "topology": {
            "kind": "tree",
            "levels": [{"name": "edge", "nodes": 3, "downlink": 1e9, "uplink": 1e9}],
        },
        "downlink": 1e9,
        "uplink": 1e9,
        "server": {"downlink": 1e9, "uplink": 1e9},
        "sharing": "fair",
    }
    data["hierarchy"] = {"strategy": {"kind": "fedbuff", "concurrency": 2, "buffer_size": 2}}
    data["strategy"] = {"kind": "fedasync", "concurrency": 3}
    _, journal = simulated(data)
    assert journal.edge_tasks
    assert journal.absences == flat.absences


def test_the_file_holds_the_rows_and_is_none_without(tmp_path: Path) -> None:
    run = synchronous_run(6, 3)
    rows = [AbsenceRecord(2, 0.0, 17.25), AbsenceRecord(0, 3.5, None)]
    for folder, absences in ((tmp_path / "some", rows), (tmp_path / "none", [])):
        with ParquetJournal(folder) as journal:
            for task in run.tasks:
                journal.task(task)
            before = journal.records_sha256()
            for row in absences:
                journal.absence(row)
            assert journal.records_sha256() == before
        write_fleet(folder, run)
        table = read_tables(folder).absences
        if absences:
            assert [AbsenceRecord(**row) for row in table.to_pylist()] == absences
        else:
            assert table is None
            assert not (folder / "absences.parquet").exists()
