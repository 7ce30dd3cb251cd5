"""Loss, pauses, crashes, outages and energy, against what follows by hand."""

import math
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from flsim.draws import Stream
from flsim.records import Outcome, TaskRecord
from tests.memory import simulated

MB = 1_000_000
# 1 MB each way at 8 Mbit/s is 1 s down and 1 s up; training takes 10 s.
SYNC_OF_ONE = {"kind": "sync", "cohort": 1}


def scenario(**changes: Any) -> dict[str, Any]:
    data: dict[str, Any] = {
        "name": "failures",
        "seed": 3,
        "workload": {"kind": "synthetic", "download": "1 MB", "upload": "1 MB"},
        "fleet": {"clients": 1, "compute": {"kind": "duration", "task": 10}},
        "network": {"downlink": "8 Mbit/s", "uplink": "8 Mbit/s"},
        "strategy": SYNC_OF_ONE,
        "stop": {"updates": 1},
    }
    for key, value in changes.items():
        data[key] = {**data[key], **value} if isinstance(value, dict) and key != "strategy" else value
    return data


def rows(**changes: Any) -> list[TaskRecord]:
    _, journal = simulated(scenario(**changes))
    return journal.tasks


# Loss


def test_attempts_until_one_comes_through_are_geometric():
    loss = {"probability": 0.3, "retries": 30, "timeout": 0}
    tasks = rows(network={"loss": loss}, stop={"updates": 20_000})
    attempts = [(task.bytes_down + task.bytes_up) / (2 * MB) for task in tasks]
    # The deviation of a mean of 40,000 geometric numbers is sqrt(p) / (1 - p) / 200 = 0.004.
    assert sum(attempts) / len(attempts) == pytest.approx(1 / 0.7, abs=0.012)


def test_a_failed_attempt_costs_its_bytes_its_time_and_the_timeout():
    loss = {"probability": 0.5, "retries": 30, "timeout": 2, "backoff": 3}
    for task in rows(network={"loss": loss}, stop={"updates": 200}):
        failed_down, failed_up = task.bytes_down // MB - 1, task.bytes_up // MB - 1
        down_s = task.download_end_s - task.dispatched_s
        up_s = task.ended_s - task.train_end_s
        for failed, seconds in ((failed_down, down_s), (failed_up, up_s)):
            waited = sum(2 * 3**k for k in range(failed))
            assert seconds == pytest.approx(failed + 1 + waited, rel=1e-9)


def test_a_task_without_retries_left_is_lost():
    loss = {"probability": 0.9, "retries": 2, "timeout": 1}
    tasks = rows(network={"loss": loss}, stop={"time": 20_000})
    lost = [task for task in tasks if task.outcome is Outcome.LOST]
    assert lost
    for task in lost:
        stage_bytes = task.bytes_down if task.download_end_s is None else task.bytes_up
        assert stage_bytes == 3 * MB
    ended = len(tasks) - 1  # the last one is unfinished
    # A task comes through with probability (1 - 0.9^3)^2.
    share = (1 - 0.9**3) ** 2
    error = math.sqrt(share * (1 - share) / ended)
    assert 1 - len(lost) / ended == pytest.approx(share, abs=4 * error)


# Leaving and coming back


def trace(tmp_path, *intervals: tuple[float, float]) -> dict[str, Any]:
    file = tmp_path / "trace.csv"
    file.write_text("client,on_s,off_s\n" + "".join(f"0,{on},{off}\n" for on, off in intervals))
    return {"kind": "trace", "file": str(file)}


def test_who_leaves_drops_the_task(tmp_path):
    availability = trace(tmp_path, (0, 5), (20, 100))
    tasks = rows(fleet={"availability": availability})
    assert [(task.outcome, task.ended_s) for task in tasks] == [
        (Outcome.DROPPED, 5.0),
        (Outcome.AGGREGATED, 32.0),
    ]


def test_a_pause_continues_the_training(tmp_path):
    availability = {**trace(tmp_path, (0, 5), (20, 100)), "on_leave": "pause"}
    (task,) = rows(fleet={"availability": availability})
    # 1 s down and 4 s of training until the client leaves; 6 s of training and 1 s up from 20 s on.
    assert (task.download_end_s, task.train_end_s, task.ended_s) == (1.0, 26.0, 27.0)
    assert (task.bytes_down, task.bytes_up) == (MB, MB)


def test_a_pause_starts_a_transfer_again(tmp_path):
    availability = {**trace(tmp_path, (0, 0.25), (20, 31.5), (40, 100)), "on_leave": "pause"}
    (task,) = rows(fleet={"availability": availability})
    # A quarter of the download and half of the upload were in vain.
    assert (task.download_end_s, task.train_end_s, task.ended_s) == (21.0, 31.0, 41.0)
    assert (task.bytes_down, task.bytes_up) == (MB + MB // 4, MB + MB // 2)


def test_whoever_leaves_for_good_drops_the_task_even_if_tasks_pause():
    availability = {
        "kind": "sessions",
        "on": 1e6,
        "off": {"kind": "uniform", "low": 1e-3, "high": 1.1e-3},
        "on_leave": "pause",
    }
    fleet = {"availability": availability, "failure": {"lifetime": 5}}
    ended, journal = simulated(scenario(fleet=fleet))
    assert [task.outcome for task in journal.tasks] == [Outcome.DROPPED]
    assert ended.ending.reason == "no clients"


def test_a_crash_takes_the_client_away_until_it_is_repaired():
    fleet = {"failure": {"crash": {"probability": 0.5, "repair": 1000}}}
    tasks = rows(fleet=fleet, stop={"updates": 200})
    gaps = Counter[bool]()
    for before, after in pairwise(tasks):
        crashed = before.outcome is Outcome.DROPPED
        expected = before.ended_s + (1000 if crashed else 0)
        assert after.dispatched_s == pytest.approx(expected, abs=1e-6)
        gaps[crashed] += 1
    crashes = gaps[True] / sum(gaps.values())
    assert crashes == pytest.approx(0.5, abs=4 * math.sqrt(0.25 / sum(gaps.values())))


# The server


def test_an_outage_of_the_server_breaks_transfers_off_and_lets_training_go_on():
    def outage(start: float) -> dict[str, Any]:
        return {"failure": {"outages": [{"kind": "server", "start": start, "duration": 100}]}}

    (during_download,) = rows(fleet=outage(0.5))
    assert (during_download.download_end_s, during_download.bytes_down) == (101.5, MB + MB // 2)
    (during_training,) = rows(fleet=outage(5))
    assert (during_training.train_end_s, during_training.ended_s) == (11.0, 106.0)
    (during_upload,) = rows(fleet=outage(11.25))
    assert (during_upload.ended_s, during_upload.bytes_up) == (112.25, MB + MB // 4)


def test_updates_that_a_failing_server_held_are_lost():
    fleet = {
        "clients": 2,
        "compute": {"kind": "duration", "task": 10},
        "failure": {"outages": [{"kind": "server", "start": 13, "duration": 1}]},
    }
    strategy = {"kind": "fedbuff", "concurrency": 1, "buffer_size": 2}
    tasks = rows(fleet=fleet, strategy=strategy)
    assert [task.outcome for task in tasks] == [Outcome.LOST, Outcome.AGGREGATED, Outcome.AGGREGATED]
    assert tasks[0].ended_s == 12.0


def test_nobody_is_asked_while_the_server_is_down(tmp_path):
    outages = [{"kind": "server", "start": 5, "duration": 30}]
    availability = trace(tmp_path, (8, 1000))
    (task,) = rows(fleet={"availability": availability, "failure": {"outages": outages}})
    assert task.dispatched_s == 35.0


def test_a_run_may_end_while_the_server_is_down():
    fleet = {"failure": {"outages": [{"kind": "server", "start": 5, "duration": 1000}]}}
    ended, journal = simulated(scenario(fleet=fleet, stop={"updates": 9, "time": 60}))
    assert (ended.ending.reason, ended.virtual_time_s) == ("time", 60.0)
    assert [task.outcome for task in journal.tasks] == [Outcome.UNFINISHED]


def test_a_transfer_that_an_outage_broke_off_starts_again_when_the_last_one_is_over():
    outages = [
        {"kind": "server", "start": 0.5, "duration": 10},
        {"kind": "server", "start": 5, "duration": 20},
    ]
    (task,) = rows(fleet={"failure": {"outages": outages}})
    assert (task.download_end_s, task.bytes_down) == (26.0, MB + MB // 2)


def test_overlapping_outages_are_one():
    outages = [
        {"kind": "server", "start": 5, "duration": 10},
        {"kind": "server", "start": 8, "duration": 20},
    ]
    (task,) = rows(fleet={"failure": {"outages": outages}})
    assert task.ended_s == 29.0


# Energy


POWER = {"compute": 3.0, "transmit": 1.2, "receive": 0.5}


def test_a_finished_task_draws_for_each_stage():
    (task,) = rows(fleet={"power": POWER})
    assert task.energy_j == pytest.approx(0.5 * 1 + 3.0 * 10 + 1.2 * 1)


def test_a_pause_draws_nothing_and_a_repeated_transfer_draws_again(tmp_path):
    availability = {**trace(tmp_path, (0, 0.25), (20, 25), (40, 100)), "on_leave": "pause"}
    (task,) = rows(fleet={"power": POWER, "availability": availability})
    assert task.energy_j == pytest.approx(0.5 * 1.25 + 3.0 * 10 + 1.2 * 1)


def test_a_task_that_ends_while_it_is_paused_draws_for_what_it_has_done(tmp_path):
    availability = {**trace(tmp_path, (0, 5), (100, 200)), "on_leave": "pause"}
    fleet = {"power": POWER, "availability": availability}
    (task,) = rows(fleet=fleet, stop={"updates": 1, "time": 50})
    assert (task.outcome, task.ended_s) == (Outcome.UNFINISHED, 50.0)
    assert task.energy_j == pytest.approx(0.5 * 1 + 3.0 * 4)


def test_a_pause_after_the_training_draws_nothing_more(tmp_path):
    """The client leaves, and is back, while its update waits for the server."""
    outages = [{"kind": "server", "start": 5, "duration": 100}]
    availability = {**trace(tmp_path, (0, 50), (60, 1000)), "on_leave": "pause"}
    fleet = {"power": POWER, "availability": availability, "failure": {"outages": outages}}
    (task,) = rows(fleet=fleet)
    assert (task.train_end_s, task.ended_s) == (11.0, 106.0)
    assert task.energy_j == pytest.approx(0.5 * 1 + 3.0 * 10 + 1.2 * 1)


def test_a_dropped_task_draws_until_it_is_dropped(tmp_path):
    availability = trace(tmp_path, (0, 5), (20, 100))
    dropped, finished = rows(fleet={"power": POWER, "availability": availability})
    assert dropped.energy_j == pytest.approx(0.5 * 1 + 3.0 * 4)
    assert finished.energy_j == pytest.approx(0.5 + 30 + 1.2)


def test_a_class_without_a_power_model_is_not_metered():
    compute = {"kind": "duration", "task": 10}
    classes = [
        {"name": "metered", "share": 0.5, "compute": compute, "power": POWER},
        {"name": "not", "share": 0.5, "compute": compute},
    ]
    data = scenario(strategy={"kind": "sync", "cohort": 2})
    data["fleet"] = {"clients": 2, "classes": classes}
    _, journal = simulated(data)
    assert sorted(task.energy_j is None for task in journal.tasks) == [False, True]


def test_failures_are_the_same_under_another_strategy():
    """Common random numbers: a client's k-th task drops out or not, whatever the strategy."""
    fates: list[dict[tuple[int, int], bool]] = []
    for strategy in ({"kind": "sync", "cohort": 5}, {"kind": "fedasync", "concurrency": 5}):
        fleet = {"clients": 10, "failure": {"dropout": 0.4}}
        _, journal = simulated(scenario(fleet=fleet, strategy=strategy, stop={"updates": 60}))
        seen: Counter[int] = Counter()
        fate = {}
        for task in sorted(journal.tasks, key=lambda row: row.task):
            if task.outcome in (Outcome.AGGREGATED, Outcome.DROPPED):
                fate[task.client, seen[task.client]] = task.outcome is Outcome.DROPPED
            seen[task.client] += 1
        fates.append(fate)
    both = fates[0].keys() & fates[1].keys()
    assert len(both) > 30
    assert all(fates[0][key] == fates[1][key] for key in both)
    draws = Stream(3, "task.dropout")
    assert all(dropped == (draws.uniform(*key) < 0.4) for key, dropped in fates[0].items())
