"""What a person sees, on a terminal and elsewhere, of what has been found."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from flsim.describe import describe
from flsim.govern.compliance import Checked
from flsim.observe.comparison import compare
from flsim.results.headline import headline, one_line
from flsim.scenario import scenario_from
from flsim.sweeping import Found, Objective, Trial
from flsim.terminal import print_description
from flsim.terminal.governance import print_checks
from flsim.terminal.result import _leaked
from flsim.terminal.searches import SearchWatcher, print_search
from flsim.terminal.sweeps import print_comparison
from tests.compared import run_of
from tests.governed import timed
from tests.tiny import scenario_data


def screen(show: Callable[[Console], None], *, terminal: bool = False, width: int = 200) -> str:
    """Return what is printed: without colours, without what pads a line."""
    file = io.StringIO()
    show(Console(file=file, force_terminal=terminal, width=width, color_system=None, highlight=False))
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())


# Searches

BY_TIME = Objective("time_to_accuracy", 0.9)
MISSED = "the target was not reached"
TRIALS = (
    Trial(0, "trial-000_a", {"seed": 1, "strategy.kind": "sync"}, 120.0),
    Trial(1, "trial-001_b", {"seed": 2, "strategy.kind": "port"}, None, MISSED),
    Trial(2, "trial-002_c", {"seed": 3, "strategy.kind": "[x]"}, None, "no [red]such file"),
    Trial(3, "trial-003_d", {"seed": 4, "strategy.kind": "sync"}, 90.0, resumed=True),
)


def told(objective: Objective, *trials: tuple[Trial, bool]) -> str:
    def show(console: Console) -> None:
        with SearchWatcher(console, objective, len(trials)) as watcher:
            for trial, is_best in trials:
                watcher(trial, is_best)

    return screen(show)


def test_each_trial_of_a_search_is_a_line_that_says_what_it_came_to() -> None:
    assert told(BY_TIME, *zip(TRIALS, (True, False, False, True), strict=True)).splitlines() == [
        "trial 0: seed=1, strategy.kind=sync: 2 min (best so far)",
        "trial 1: seed=2, strategy.kind=port: the target was not reached",
        "trial 2: seed=3, strategy.kind=[x]: error: no [red]such file",
        "trial 3: seed=4, strategy.kind=sync: 1.5 min (best so far, done before)",
    ]


def test_a_search_ends_with_its_best_trials_first_and_counts_those_without_a_value() -> None:
    found = Found(
        Path("out"), BY_TIME, TRIALS, TRIALS[3], Path("best.yaml"), {"seed": 0.7, "strategy.kind": 0.3}
    )
    lines = screen(lambda console: print_search(found, console)).splitlines()
    assert lines[0] == "The best by time_to_accuracy=0.9"
    assert [line.split() for line in lines if line.strip()][1] == [
        "trial", "time_to_accuracy=0.9", "seed", "strategy.kind",
    ]  # fmt: skip
    shown = [line.split() for line in lines if line.strip().startswith("00")]
    assert shown == [
        ["003_d", "1.5", "min", "4", "sync"],
        ["000_a", "2", "min", "1", "sync"],
    ]
    assert lines[-2:] == [
        "2 of 4 trials came to no value; search.csv says why.",
        "Share of the keys in the variance: seed 70%, strategy.kind 30%",
    ]


def test_of_many_trials_ten_are_shown() -> None:
    trials = [Trial(n, f"trial-{n:03}", {"seed": n}, float(n)) for n in range(1, 15)]
    found = Found(Path("out"), Objective("final_loss"), trials, trials[0], Path("best.yaml"), {})
    text = screen(lambda console: print_search(found, console))
    assert [line.split() for line in text.splitlines() if line.strip()[:1].isdigit()] == [
        [f"{n:03}", str(n), str(n)] for n in range(1, 11)
    ]
    assert "came to no value" not in text


@pytest.mark.parametrize(
    ("objective", "value", "shown"),
    [
        (Objective("virtual_time"), 90.0, "1.5 min"),
        (BY_TIME, 7200.0, "2 h"),
        (Objective("bytes_to_accuracy", 0.9), 2.5e6, "2.5 MB"),
        (Objective("updates_to_accuracy", 0.9), 12.0, "12"),
        (Objective("final_accuracy"), 0.87654321, "0.8765"),
    ],
)
def test_objectives_are_shown_with_their_units(objective: Objective, value: float, shown: str) -> None:
    assert objective.shown(value) == shown


# Comparisons


def test_single_runs_are_compared_without_a_word_on_intervals() -> None:
    one = [run_of([(0, 0.1), (20, 0.9)]), run_of([(0, 0.1), (10, 0.9)], "fedbuff")]
    text = screen(lambda console: print_comparison(compare(one), console))
    assert text.startswith("To an accuracy of 0.9")
    assert [line.split()[0] for line in text.splitlines() if line.strip()][-2:] == ["sync", "fedbuff"]
    assert "confidence" not in text
    two = [*one, run_of([(0, 0.1), (22, 0.9)], seed=1), run_of([(0, 0.1), (12, 0.9)], "fedbuff", seed=1)]
    assert "Means with 95 % confidence." in screen(lambda console: print_comparison(compare(two), console))


# Governance

CHECKS = [
    Checked(1, "epsilon", "pass", "at most 0.5"),
    Checked(2, "records", "fail", "record 3 [bold] is not"),
    Checked(13, "clipping", "not applicable", "nothing is clipped"),
]


def test_checks_are_a_table_on_a_terminal_and_plain_lines_elsewhere() -> None:
    assert screen(lambda console: print_checks(CHECKS, console)).splitlines() == [
        " 1 pass           epsilon: at most 0.5",
        " 2 fail           records: record 3 [bold] is not",
        "13 not applicable clipping: nothing is clipped",
    ]
    table = screen(lambda console: print_checks(CHECKS, console), terminal=True, width=80)
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in table.splitlines() if "│" in line]
    assert rows == [[str(check.number), check.name, check.status, check.evidence] for check in CHECKS]


# Results

SUMMARY: dict[str, Any] = {
    "name": "lm",
    "updates": 1,
    "virtual_time_s": 90.0,
    "final_accuracy": None,
    "final_loss": 2.34567,
    "stop_reason": "updates",
    "stop_detail": "1 update",
    "wall_time_s": 0.1,
    "tasks": {"dispatched": 5, "aggregated": 5},
    "bytes_down": 5_000_000,
    "bytes_up": 2_000_000,
}


def test_a_run_without_accuracy_is_told_by_its_loss() -> None:
    assert one_line(SUMMARY) == "lm: 1 update in 1.5 min of virtual time, loss 2.346"
    assert dict(headline(SUMMARY))["Loss"] == "2.346 at the end"


def test_images_are_said_to_leak_in_decibels() -> None:
    inversion = {"inversion": {"score": 31.4, "baseline": 9.6, "standard_error": 1.0}}
    assert _leaked(inversion) == "inversion 31 dB (10 dB)"


# Descriptions


def described(data: dict[str, Any]) -> list[str]:
    scenario = scenario_from(data)
    found = describe(scenario)
    return screen(lambda console: print_description(scenario.name, found, console)).splitlines()


def level(nodes: int) -> dict[str, Any]:
    return {"name": "edge", "nodes": nodes, "downlink": "1 Mbit/s", "uplink": "1 Mbit/s"}


def in_edges(nodes: int) -> dict[str, Any]:
    return timed(
        fleet=timed()["fleet"] | {"clients": 2 * nodes},
        network={"topology": {"kind": "tree", "levels": [level(nodes)]}},
        hierarchy={"rounds": 3, "strategy": {"kind": "sync", "cohort": 2}},
        strategy={"kind": "sync", "cohort": 2},
    )


def test_a_hierarchy_is_described_edge_by_edge() -> None:
    lines = described(in_edges(2))
    at = lines.index("Edge servers: 2")
    assert lines[at + 1 : at + 3] == [
        "  edge-0: clients 0 to 1, sync, updates a task: 3",
        "  edge-1: clients 2 to 3, sync, updates a task: 3",
    ]


def test_of_many_edges_the_first_and_the_last_are_described() -> None:
    lines = described(in_edges(30))
    at = lines.index("Edge servers: 30")
    shown = lines[at + 1 : at + 22]
    assert shown[9] == "  edge-9: clients 18 to 19, sync, updates a task: 3"
    assert shown[10] == "  … 10 more …"
    assert shown[11] == "  edge-20: clients 40 to 41, sync, updates a task: 3"
    assert shown[20] == "  edge-29: clients 58 to 59, sync, updates a task: 3"
    assert not any("edge-" in line for line in lines[at + 22 :])


@pytest.mark.parametrize(
    ("ends", "when"),
    [
        ({}, "in tasks dispatched from 0 s on"),
        ({"start": 60, "end": 7200}, "in tasks dispatched from 1 min to 2 h"),
    ],
)
def test_who_attacks_and_when_is_described(ends: dict[str, float], when: str) -> None:
    attack = {"kind": "sign_flip", "clients": {"share": 0.3}} | ends
    lines = described(scenario_data(10, {"kind": "sync", "cohort": 5}, attack=attack))
    assert f"Attack: sign_flip by 3 of 10 clients, {when}" in lines


def test_when_samples_change_is_described() -> None:
    data = scenario_data(4, {"kind": "sync", "cohort": 2})
    drift = [{"at": 60, "swap": [[0, 1]]}, {"at": 7200, "swap": [[1, 2]]}]
    data["workload"]["data"]["drift"] = drift
    assert "The clients' samples change at 1 min, 2 h" in described(data)
