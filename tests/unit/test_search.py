"""`flsim search`: what is tried, what it is judged by, and that a search goes by that."""

import csv
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean

import pytest

from flsim.cli import main
from flsim.errors import RunError, ScenarioError
from flsim.scenario import Scenario, read_scenario
from flsim.scenario.reading import to_yaml
from flsim.sweeping import (
    Choice,
    Found,
    Plan,
    Range,
    Trial,
    objective_of,
    read_space,
    search,
    seeds_of,
    space_of,
)
from flsim.sweeping.processes import Command, Ended
from tests.compared import run_of

# c clients share the server's 1 MB/s, both ways: a round takes c s down, 0.2 s to compute and c s up.
SHARED = """\
name: shared
workload: {kind: synthetic, download: 1 MB, upload: 1 MB, compute: 1 GFLOP}
fleet: {clients: 20, compute: {kind: speed, flops: 5 GFLOP/s}}
network:
  downlink: 8 Mbit/s
  uplink: 8 Mbit/s
  latency: 0 s
  server: {downlink: 8 Mbit/s, uplink: 8 Mbit/s}
  sharing: fair
strategy: {kind: sync, cohort: 10}
stop: {updates: 10}
output: {plots: false, timeline: false}
"""


class Here:
    """Carries runs out in this process, and remembers which."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def __call__(self, commands: Sequence[Command], *, workers: int | None) -> Iterator[Ended]:
        for number, command in enumerate(commands):
            self.ran.append(command[-1])
            with pytest.raises(SystemExit) as end:
                main(command[3:])
            yield number, int(end.value.code or 0), ""


class Made:
    """Makes up what a run comes to: accuracies and losses by a function of its scenario."""

    def __init__(self, accuracy: Callable[[Scenario], float], loss: Callable[[Scenario], float]) -> None:
        self.accuracy, self.loss = accuracy, loss
        self.ran = 0

    def __call__(self, commands: Sequence[Command], *, workers: int | None) -> Iterator[Ended]:
        for number, command in enumerate(commands):
            self.ran += 1
            file, out, settings = Path(command[4]), Path(command[7]), command[9::2]
            scenario = read_scenario(file, settings)
            folder = out / scenario.name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "scenario.yaml").write_text(to_yaml(scenario))
            measured = {"accuracy": self.accuracy(scenario), "loss": self.loss(scenario)}
            spent = {"version": 1, "time_s": 5.0, "bytes_up_cumulative": 7, "bytes_down_cumulative": 3}
            (folder / "metrics.json").write_text(json.dumps({"versions": [spent | measured]}))
            told = {"virtual_time_s": 5.0, "stop_reason": "updates", "scenario_sha256": scenario.sha256}
            (folder / "summary.json").write_text(json.dumps(told))
            yield number, 0, ""


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    (tmp_path / "shared.yaml").write_text(SHARED)
    return tmp_path / "shared.yaml"


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "search.csv").open(newline="") as file:
        return list(csv.DictReader(file))


# What is tried


def test_what_stands_on_a_command_line() -> None:
    space = space_of(
        ["a=2..20", "b=0.1..1", "c=log:1e-3..1", "d=log:1..64", "e=x,{kind: y},3", "f=-1..1e1"]
    )
    assert space == {
        "a": Range(2, 20, whole=True),
        "b": Range(0.1, 1),
        "c": Range(0.001, 1, log=True),
        "d": Range(1, 64, whole=True, log=True),
        "e": Choice(("x", {"kind": "y"}, 3)),
        "f": Range(-1, 10),
    }


@pytest.mark.parametrize(
    ("varied", "why"),
    [
        ("a=", "expected a key path and what may be tried"),
        ("=1..2", "expected a key path"),
        ("a", "expected a key path"),
        ("a=3", "a key with one value belongs into --set"),
        ("a=sync", "a key with one value"),
        ("a=5..2", "a range goes up"),
        ("a=2..2", "a range goes up"),
        ("a=log:0..1", "begins above zero"),
        ("a=1 s..2 s", "expected a key path and what may be tried"),
        ("a=[1", "not valid YAML"),
    ],
)
def test_what_cannot_be_tried(varied: str, why: str) -> None:
    with pytest.raises(ScenarioError, match=why):
        space_of([varied])


def test_a_key_stands_once() -> None:
    with pytest.raises(ScenarioError, match=r"a=1\.\.3: a is varied twice"):
        space_of(["a=1..2", "a=1..3"])


def test_a_file_says_the_same(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text("a: 2..20\nb: log:1e-3..1\nc: [x, {kind: y}]\n")
    assert read_space(path) == space_of(["a=2..20", "b=log:1e-3..1", "c=x,{kind: y}"])
    path.write_text("[{a: 2..20}, {a: 3..4}]")
    with pytest.raises(ScenarioError, match="a search has one space"):
        read_space(path)
    path.write_text("a: []")
    with pytest.raises(ScenarioError, match=r"space\.yaml: a: expected"):
        read_space(path)


def test_seeds() -> None:
    assert seeds_of("0..2,7") == [0, 1, 2, 7]
    for wrong in ("1,1", "-1", "a", "true"):
        with pytest.raises(ScenarioError, match="--seeds"):
            seeds_of(wrong)


# What it is judged by


def test_objectives_are_means_over_runs() -> None:
    runs = [run_of([(0, 0.1), (10 + s, 0.9), (20, 0.8)], seed=s) for s in (0, 2)]
    values = {
        text: objective_of(text).value(runs)
        for text in ("final_accuracy", "best_accuracy", "virtual_time", "time_to_accuracy=0.85",
                     "updates_to_accuracy=0.85", "bytes_to_accuracy=0.85")
    }  # fmt: skip
    assert values == pytest.approx(
        {
            "final_accuracy": 0.8,
            "best_accuracy": 0.9,
            "virtual_time": 21,
            "time_to_accuracy=0.85": 11,
            "updates_to_accuracy=0.85": 1,
            "bytes_to_accuracy=0.85": 110,
        }
    )
    assert [objective_of(text).maximise for text in values] == [True, True, False, False, False, False]


def test_a_target_that_one_run_misses_has_no_value() -> None:
    objective = objective_of("time_to_accuracy=0.95")
    runs = [run_of([(0, 0.1), (1, 0.96)]), run_of([(0, 0.1), (1, 0.9)], seed=1)]
    assert objective.value(runs) is None
    assert objective.shortfall(runs) == pytest.approx(0.025)
    with pytest.raises(ScenarioError, match="its accuracy is not finite"):
        objective_of("final_accuracy").value([run_of([(0, 0.1), (1, math.nan)])])
    with pytest.raises(ScenarioError, match="no version was tested"):
        objective.value([run_of([(0, None)])])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("final_acuracy", "did you mean 'final_accuracy'"),
        ("time_to_accuracy", "expected an accuracy up to 1, such as time_to_accuracy=0.9"),
        ("bytes_to_accuracy=90", "expected an accuracy up to 1"),
        ("final_loss=3", "accepted: final_accuracy"),
    ],
)
def test_objectives_that_there_are_not(text: str, why: str) -> None:
    with pytest.raises(ScenarioError, match=why):
        objective_of(text)


# The search


def test_the_least_cohort_is_found_and_its_time_is_the_closed_form(shared: Path) -> None:
    """A round of a cohort of c takes 2 c + 0.2 s."""
    runs = Here()
    found = search(
        shared,
        space_of(["strategy.cohort=3..8"]),
        objective_of("virtual_time"),
        Plan(trials=12, seed=1),
        carry_out=runs,
        out=str(shared.parent / "out"),
    )
    assert found.best.values == {"strategy.cohort": 3}
    assert found.best.value == pytest.approx(10 * 6.2)
    for trial in found.trials:
        assert trial.value == pytest.approx(10 * (2 * int(str(trial.values["strategy.cohort"])) + 0.2))
    tried = {trial.values["strategy.cohort"] for trial in found.trials}
    assert len(runs.ran) == len(tried)  # what was tried before is not run again
    best = read_scenario(found.scenario)
    assert (best.name, best.sha256) == ("shared-best", read_scenario(shared, ["strategy.cohort=3"]).sha256)
    assert [row["virtual_time"] for row in rows_of(found.folder)] == [repr(t.value) for t in found.trials]


@pytest.mark.parametrize(("text", "optimum"), [("final_accuracy", -1.0), ("final_loss", 0.5)])
def test_the_search_goes_where_its_objective_is(shared: Path, text: str, optimum: float) -> None:
    """Accuracy is best at 100 clients, loss at 3162, of 10 to 10,000: the later trials are closer."""
    made = Made(
        accuracy=lambda scenario: 1 - math.log10(scenario.fleet.clients / 100) ** 2 / 9,
        loss=lambda scenario: (math.log10(scenario.fleet.clients / 1000) - 0.5) ** 2,
    )
    space = space_of(["fleet.clients=log:10..10000"])
    found = search(
        shared, space, objective_of(text), Plan(trials=30), carry_out=made, out=str(shared.parent / "out")
    )

    def distance(trials: Sequence[Trial], goal: float = optimum) -> float:
        values = [math.log10(int(str(trial.values["fleet.clients"])) / 1000) for trial in trials]
        return sum(abs(value - goal) for value in values) / len(values)

    assert distance([found.best]) < 0.15
    late = found.trials[15:]
    assert distance(late) < 0.75 * distance(found.trials[:10])  # which are drawn at random
    assert distance(late) < 0.75 * distance(late, -0.5 - optimum)
    assert found.importance == {"fleet.clients": pytest.approx(1.0)}


def search_twice(shared: Path, out: str, trials: int, **changes: object) -> tuple[Found, Made]:
    made = Made(lambda scenario: 1 / scenario.fleet.clients, lambda _: 1.0)
    plan = Plan(trials=trials, batch=2, seed=5, seeds=(0, 1))
    space = space_of(["fleet.clients=20..900", "strategy.over_selection=1.0..1.5"])
    found = search(
        shared,
        space,
        objective_of("final_accuracy"),
        plan,
        carry_out=made,
        out=str(shared.parent / out),
        **changes,  # type: ignore[arg-type]
    )
    return found, made


def test_a_search_that_was_cut_off_goes_on_and_ends_as_if_it_had_not_been(shared: Path) -> None:
    whole, made = search_twice(shared, "whole", 13)
    assert made.ran == 26
    _, first = search_twice(shared, "cut", 4)
    (shared.parent / "cut" / "shared" / "trial-2_seed-1" / "summary.json").unlink()
    again, rest = search_twice(shared, "cut", 13)
    assert (first.ran, rest.ran) == (8, 26 - 7)
    assert [trial.resumed for trial in again.trials] == [True, True, False, True] + [False] * 9
    for name in ("search.csv", "best.yaml"):
        texts = [(found.folder / name).read_text().replace("/cut", "/whole") for found in (whole, again)]
        assert texts[0] == texts[1]
    _, fresh = search_twice(shared, "cut", 13, fresh=True)
    assert fresh.ran == 26
    assert len(rows_of(again.folder)) == 13
    assert read_scenario(again.scenario).seed == 0


def test_trials_that_fail_are_listed_and_stop_no_other(shared: Path) -> None:
    space = space_of(["strategy.cohort=0,5,30"])
    found = search(
        shared, space, objective_of("virtual_time"), Plan(trials=12), carry_out=Here(),
        out=str(shared.parent / "out"),
    )  # fmt: skip
    assert found.best.values == {"strategy.cohort": 5}
    failed = {str(trial.values["strategy.cohort"]): trial.error for trial in found.trials if trial.error}
    assert "strategy.cohort: must be greater than or equal to 1" in str(failed["0"])
    assert "the strategy needs 30 clients" in str(failed["30"])
    assert all(bool(row["error"]) != bool(row["virtual_time"]) for row in rows_of(found.folder))


def test_a_target_out_of_reach_is_approached(shared: Path) -> None:
    """Nobody comes to 0.9 below 9,900 clients: what falls short by less is worth more to the search."""
    made = Made(lambda scenario: scenario.fleet.clients / 11_000, lambda _: 1.0)
    found = search(
        shared, space_of(["fleet.clients=20..10000"]), objective_of("time_to_accuracy=0.9"),
        Plan(trials=25, seed=2), carry_out=made, out=str(shared.parent / "out"),
    )  # fmt: skip
    tried = [int(str(trial.values["fleet.clients"])) for trial in found.trials]
    assert [trial.missed for trial in found.trials] == [clients < 9_900 for clients in tried]
    assert max(tried[:10]) < 9_900  # none of those that are drawn at random gets there
    assert found.best.value == 5.0
    assert fmean(tried[15:]) > 7_500


def test_when_nothing_comes_to_a_value_the_first_reason_is_told(shared: Path) -> None:
    for varied, objective, why in (
        ("strategy.cohrt=2..5", "virtual_time", r"none of 2 trials .* strategy\.cohrt: unknown key"),
        ("strategy.cohort=2..5", "final_accuracy", "it has no accuracy: no version was tested"),
    ):
        with pytest.raises(RunError, match=why):
            search(
                shared, space_of([varied]), objective_of(objective), Plan(trials=2), carry_out=Here(),
                out=str(shared.parent / "out"),
            )  # fmt: skip


def test_seeds_are_averaged_over_or_searched_and_not_both(shared: Path) -> None:
    with pytest.raises(ScenarioError, match="seed: is averaged over"):
        search(shared, space_of(["seed=1..5"]), objective_of("virtual_time"), Plan(seeds=(1, 2)))


def test_without_optuna_the_extra_is_named(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ScenarioError, match=r"needs optuna; pip install 'flsim-des\[search\]'"):
        search(shared, space_of(["strategy.cohort=2..5"]), objective_of("virtual_time"))
