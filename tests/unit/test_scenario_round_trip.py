"""The resolved scenario: every default written out, and the same scenario when read back."""

from pathlib import Path

import pytest

from flsim.policy.selections import UniformSelection
from flsim.scenario import Scenario, read_scenario, scenario_from, yaml_text
from flsim.scenario.distributions import Constant
from flsim.scenario.reading import to_yaml
from tests.unit.scenario_text import FULL, MINIMAL


def read(tmp_path: Path, text: str) -> Scenario:
    path = tmp_path / "scenario.yaml"
    path.write_text(text, encoding="utf-8")
    return read_scenario(path)


@pytest.mark.parametrize("text", [MINIMAL, FULL], ids=["minimal", "full"])
def test_a_resolved_scenario_reads_back_equal(tmp_path: Path, text: str) -> None:
    scenario = read(tmp_path, text)
    resolved = to_yaml(scenario)
    again = read(tmp_path, resolved)
    assert again == scenario
    assert to_yaml(again) == resolved


def test_a_resolved_scenario_has_every_default_written_out(tmp_path: Path) -> None:
    data = yaml_text.parse(to_yaml(read(tmp_path, MINIMAL)), "resolved").data
    assert data == {
        "name": "quick",
        "seed": 0,
        "workload": {"kind": "synthetic", "download": 1e6, "upload": 1e6, "compute": 1e9, "samples": 1},
        "fleet": {
            "preset": None,
            "clients": 20,
            "compute": {"kind": "speed", "flops": 5e9, "jitter": 0.0},
            "classes": [],
            "class_order": "random",
            "power": None,
            "join": None,
            "availability": {"kind": "always", "on_leave": "abort"},
            "failure": {"dropout": 0.0, "crash": None, "lifetime": None, "outages": []},
        },
        "network": {
            "preset": None,
            "topology": {"kind": "star"},
            "downlink": 100e6,
            "uplink": 100e6,
            "latency": 0.0,
            "variation": 0.0,
            "correlation": {"links": 0.0, "speed": 0.0},
            "loss": None,
            "server": {"downlink": None, "uplink": None},
            "sharing": "fair",
        },
        "strategy": {
            "kind": "sync",
            "cohort": 10,
            "over_selection": 1.0,
            "deadline": None,
            "quorum": 1,
            "weighting": "samples",
            "min_available": 1,
        },
        "selection": {"kind": "uniform"},
        "aggregation": {"kind": "mean"},
        "server_optimizer": {"kind": "sgd", "lr": 1.0, "momentum": 0.0},
        "personalization": None,
        "hierarchy": None,
        "privacy": None,
        "compression": None,
        "attack": None,
        "leakage": None,
        "secure_aggregation": None,
        "stop": {"updates": 3, "time": None, "accuracy": None, "plateau": None, "converged": None},
        "evaluation": {"every": 1, "clients": None, "metrics": [], "divergence": False},
        "executor": {"kind": "auto", "precision": "float32", "device": "cpu"},
        "governance": None,
        "output": {
            "dir": "outputs",
            "plots": True,
            "timeline": True,
            "absences": True,
            "model": False,
            "report": False,
        },
        "checkpoint": None,
        "tracking": [],
    }


def test_the_defaults_are_the_objects_themselves(tmp_path: Path) -> None:
    scenario = read(tmp_path, MINIMAL)
    assert scenario.selection == UniformSelection()
    assert scenario.network.downlink == Constant(value=100e6)


def test_order_is_that_of_the_schema(tmp_path: Path) -> None:
    data = yaml_text.parse(to_yaml(read(tmp_path, FULL)), "resolved").data
    assert isinstance(data, dict)
    assert list(data) == list(Scenario.model_fields)


@pytest.mark.parametrize("word", ["1e3", "12", "12e03", "0o17", "null", "on", "true", "1_000"])
def test_a_name_that_looks_like_something_else_stays_text(tmp_path: Path, word: str) -> None:
    scenario = read(tmp_path, MINIMAL.replace("name: quick", f"name: '{word}'"))
    assert scenario.name == word
    assert read(tmp_path, to_yaml(scenario)) == scenario


@pytest.mark.parametrize(
    "folder",
    [
        "",
        "~",
        ".inf",
        "a: b",
        "# x",
        "ü/é",
        "\U0001f600",
        "a\nb",
        " x ",
        "'",
        "\x85",
        "\u2028",
        "\ufeffx",
        "-",
    ],
)
def test_any_text_reads_back_equal(tmp_path: Path, folder: str) -> None:
    scenario = read(tmp_path, MINIMAL)
    scenario = scenario.model_copy(update={"output": scenario.output.model_copy(update={"dir": folder})})
    assert read(tmp_path, to_yaml(scenario)) == scenario


@pytest.mark.parametrize("number", [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, 1e16, 123456789.123456789])
def test_a_number_reads_back_to_the_last_bit(tmp_path: Path, number: float) -> None:
    scenario = read(tmp_path, MINIMAL)
    scenario = scenario.model_copy(update={"stop": scenario.stop.model_copy(update={"time": number})})
    assert read(tmp_path, to_yaml(scenario)).stop.time == number


def test_a_resolved_scenario_is_plain_data_too(tmp_path: Path) -> None:
    scenario = read(tmp_path, FULL)
    assert scenario_from(scenario.model_dump(mode="json")) == scenario


def test_the_hash_is_of_all_but_the_name_and_the_folder(tmp_path: Path) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_text(FULL, encoding="utf-8")

    def sha256(*overrides: str) -> str:
        return read_scenario(path, overrides).sha256

    assert sha256("name=other", "output.dir=elsewhere") == sha256()
    assert read(tmp_path, to_yaml(read(tmp_path, FULL))).sha256 == sha256()
    assert (
        len({sha256(), sha256("seed=77"), sha256("stop.updates=77"), sha256("output.timeline=false")}) == 4
    )
