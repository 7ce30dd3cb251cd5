"""What holds of every scenario file, valid or not."""

import contextlib
import math
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from flsim.errors import ScenarioError
from flsim.scenario import Scenario, read_scenario, scenario_from, yaml_text
from flsim.scenario.reading import to_yaml
from flsim.units import RATE, SIZE, SPEED, TIME, WORK, Dimension
from tests.property.scenarios import scenario_dicts
from tests.unit.scenario_text import FULL

SCHEMA = Draft202012Validator(Scenario.model_json_schema())


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scenarios") / "scenario.yaml"


@given(data=scenario_dicts())
@settings(max_examples=150)
def test_a_scenario_is_the_same_from_data_from_its_file_and_from_its_resolved_file(
    path: Path, data: dict[str, Any]
) -> None:
    scenario = scenario_from(data)
    path.write_text(yaml.safe_dump(data | {"name": "n"}))
    assert read_scenario(path, [f"name='{data['name']}'"]) == scenario
    resolved = to_yaml(scenario)
    path.write_text(resolved)
    assert read_scenario(path) == scenario
    assert to_yaml(read_scenario(path)) == resolved


@given(data=scenario_dicts())
@settings(max_examples=50)
def test_every_scenario_fits_the_json_schema(data: dict[str, Any]) -> None:
    SCHEMA.validate(data)
    SCHEMA.validate(yaml_text.parse(to_yaml(scenario_from(data)), "resolved").data)


# Any text at all is either a scenario or one error.

SYNTAX = [
    ": ",
    "- ",
    "\n",
    "  ",
    "\t",
    "{",
    "}",
    "[",
    "]",
    ",",
    "#",
    "&a ",
    "*a",
    "!x ",
    "<<: ",
    "---\n",
    "|\n",
]
QUOTES = ["'", '"', "?", "%", "\0", "\ufeff", "\ud800"]
VALUES = ["null", "-1", "0", "1e999", ".nan", "9" * 50, "true", "5 parsec", "os:system", ":x", "kind:"]
LAWS = ["{kind: pareto, scale: 1, index: 0.9}", "{kind: normal, mean: 1, std: 1}"]
PIECES = st.one_of(st.text(max_size=8), st.sampled_from(SYNTAX + QUOTES + VALUES + LAWS))


@st.composite
def mutations(draw: st.DrawFn) -> str:
    """Return the full scenario with up to four pieces of it replaced, removed, doubled or added."""
    text = FULL
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 30)))
        piece = draw(st.one_of(PIECES, st.just(""), st.just(text[start:end] * 2)))
        text = text[:start] + piece + text[end:]
    return text


def scenario_or_error(text: str, path: Path, overrides: list[str]) -> Scenario | None:
    """Return the scenario in the text, or None where it is refused; within a second."""
    path.write_bytes(text.encode(errors="surrogatepass"))
    started = time.perf_counter()
    scenario = None
    with contextlib.suppress(ScenarioError):
        scenario = read_scenario(path, overrides)
    assert time.perf_counter() - started < 1.0
    return scenario


@given(text=mutations())
@settings(max_examples=1000)
def test_a_mutated_file_is_a_scenario_or_an_error(path: Path, text: str) -> None:
    scenario = scenario_or_error(text, path, [])
    assert scenario is None or scenario_from(scenario.model_dump(mode="json")) == scenario


@given(text=st.one_of(st.text(), st.binary().map(lambda content: content.decode("latin-1"))))
def test_any_text_is_a_scenario_or_an_error(path: Path, text: str) -> None:
    assert scenario_or_error(text, path, []) is None


KEY_PATHS = st.sampled_from(
    [".".join(map(str, place)) for place in yaml_text.parse(FULL, "full").lines]
    + ["a.b", "x", "fleet.classes.9"]
)


@given(key=st.one_of(KEY_PATHS, st.text(max_size=5)), value=PIECES)
@settings(max_examples=500)
def test_any_override_makes_a_scenario_or_an_error(path: Path, key: str, value: str) -> None:
    scenario_or_error(FULL, path, [f"{key}={value}"])


# Quantities.


@pytest.mark.parametrize("dimension", [TIME, SIZE, RATE, WORK, SPEED], ids=lambda dimension: dimension.name)
@given(value=st.floats(1e-300, 1e300) | st.floats(-1e300, -1e-300) | st.just(0.0))
def test_a_formatted_quantity_reads_back_to_three_digits(dimension: Dimension, value: float) -> None:
    assert dimension.parse(dimension.format(value)) == pytest.approx(value, rel=0.00501)


@pytest.mark.parametrize("dimension", [TIME, SIZE, RATE, WORK, SPEED], ids=lambda dimension: dimension.name)
@given(value=st.floats(-1e280, 1e280), data=st.data())
def test_a_number_with_a_unit_is_the_number_times_its_factor(
    dimension: Dimension, value: float, data: st.DataObject
) -> None:
    unit = data.draw(st.sampled_from(sorted(dimension.factors)))
    assert dimension.parse(f"{value!r} {unit}") == value * dimension.factors[unit]


@given(text=st.text(max_size=20))
def test_any_text_is_a_finite_quantity_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert math.isfinite(TIME.parse(text))
