"""A scenario that a program gives: a file, a mapping or a Scenario, and what is changed about it."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from flsim.errors import ScenarioError
from flsim.policy import FedBuff, Sync
from flsim.scenario import Scenario, read_scenario, scenario_of, yaml_text
from flsim.scenario.given import plain
from tests.unit.scenario_text import FULL, MINIMAL


def minimal() -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(MINIMAL)
    return data


def refusal(given: Any, *overrides: Any) -> str:
    with pytest.raises(ScenarioError) as caught:
        scenario_of(given, overrides)
    return str(caught.value)


def test_a_file_its_data_and_its_scenario_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "full.yaml"
    path.write_text(FULL)
    scenario = read_scenario(path)
    data: Any = yaml_text.parse(FULL, "full.yaml").data  # unlike YAML 1.1, it takes `on` for a word
    assert scenario_of(path) == scenario_of(str(path)) == scenario_of(data) == scenario
    assert scenario_of(scenario) is scenario


@pytest.mark.parametrize("kind", ["file", "mapping", "scenario"])
def test_overrides_are_text_or_mappings_and_the_later_wins(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "minimal.yaml"
    path.write_text(MINIMAL)
    given: Any = {"file": path, "mapping": minimal(), "scenario": read_scenario(path)}[kind]
    changed = scenario_of(given, ["seed=3", {"seed": 4, "network.latency": "2 s"}, "stop.updates=7"])
    assert changed == read_scenario(path, ["seed=4", "network.latency=2 s", "stop.updates=7"])
    assert scenario_of(given).seed != 4


def test_what_was_given_stays_as_it_was() -> None:
    data, change = minimal(), {"strategy": {"kind": "sync", "cohort": 2}}
    before = copy.deepcopy((data, change))
    scenario_of(data, [change, "strategy.cohort=3", "network.latency=1 s"])
    assert (data, change) == before


def test_a_value_replaces_all_that_was_there() -> None:
    buffered = {"kind": "fedbuff", "concurrency": 3, "buffer_size": 2}
    strategy = scenario_of(minimal(), [{"strategy": buffered}]).strategy
    assert isinstance(strategy, FedBuff)
    assert (strategy.concurrency, strategy.buffer_size) == (3, 2)


def test_what_a_program_has_is_taken_for_what_a_file_says(tmp_path: Path) -> None:
    data = minimal() | {"seed": np.int64(5), "strategy": Sync(cohort=2)}
    scenario = scenario_of(data, [{"output.dir": tmp_path / "out", "stop.time": np.float64(8.0)}])
    assert (scenario.seed, scenario.stop.time) == (5, 8.0)
    assert isinstance(scenario.strategy, Sync)
    assert scenario.strategy.cohort == 2
    assert scenario.output.dir == str(tmp_path / "out")


def test_plain_data_is_that_of_a_file() -> None:
    given = {"a": (1, range(2)), "b": np.arange(2), "c": Path("x"), "d": {"e": np.float32(0.5)}, "f": None}
    assert plain(given) == {"a": [1, [0, 1]], "b": [0, 1], "c": "x", "d": {"e": 0.5}, "f": None}


def test_files_that_data_names_are_relative_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = minimal()
    data["fleet"]["availability"] = {"kind": "trace", "file": "trace.csv"}
    shown = scenario_of(data).model_dump_json()
    assert str(tmp_path / "trace.csv") in shown


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["strategy.cohrt=2"], "scenario (changed by the override): strategy.cohrt: unknown key; accepted"),
        ([{"strategy.cohrt": 2}], "did you mean 'cohort'? (given: 2)"),
        ([{"strategy.cohort": object}], "scenario (changed by the override): strategy.cohort: must be"),
        (["strategy.cohort"], "the override strategy.cohort: expected a key path and a value"),
        ([{"strategy..cohort": 2}], "the override strategy..cohort: expected a key path"),
        ([{"seed.more": 2}], "the override seed.more: 'seed' has no key 'more'"),
        ([3], "override: expected text such as 'strategy.cohort=20', or a mapping"),
    ],
)
def test_a_mistake_in_an_override_is_said(overrides: list[Any], message: str) -> None:
    assert message in refusal(minimal() | {"seed": 1}, *overrides)


def test_a_mistake_in_data_is_said_as_in_a_file() -> None:
    data = minimal()
    data["strategy"]["cohrt"] = data["strategy"].pop("cohort", 3)
    assert refusal(data).startswith("scenario: strategy.cohrt: unknown key; accepted here: ")


@pytest.mark.parametrize("given", [3, None, ["name"]])
def test_anything_else_is_no_scenario(given: Any) -> None:
    assert refusal(given).startswith("a scenario is the path of a file, a mapping or a Scenario, not ")


def test_what_goes_round_in_circles_is_no_scenario() -> None:
    data = minimal()
    data["fleet"]["fleet"] = data["fleet"]
    assert "nested deeper than" in refusal(data)


def test_every_override_of_a_scenario_is_checked_against_the_whole() -> None:
    scenario = scenario_of(minimal())
    assert isinstance(scenario, Scenario)
    assert "clients" in refusal(scenario, {"strategy": {"kind": "sync", "cohort": 10_000}})
