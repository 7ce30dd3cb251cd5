"""Every shipped scenario still gives the run that it gave.

golden.json holds, for each file in scenarios/, scenarios/byzantine/ and scenarios/flower/, the hash of the
run's records and a few numbers of its summary. They are equal to the last bit on every machine, except for
the accuracy, which depends on the processor's arithmetic. Where the server decides by what was learned, so
does everything else, and where the samples are a text of the interpreter's own, they depend on that: then
only the number of updates is held. What needs files that nobody ships is not run here; a model without
weights is not trained; and what takes long is run with the slow tests.

After a change that is meant to change runs, or to add a scenario, write the file anew and look at the
difference before it is committed:

    python -m tests.golden.test_golden --write
"""

import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from flsim.running import run
from flsim.scenario import Scenario, read_scenario
from flsim.scenario.text import PythonTopics
from flsim.scenario.workload import TorchWorkload
from tests.integration.documented import assert_can_be_typed

GOLDEN = Path(__file__).with_name("golden.json")
FOLDER = Path(__file__).parents[2] / "scenarios"
# tests/integration/test_texts_and_images.py and tests/integration/test_data.py have small ones
NEEDS_FILES = ("cifar10_resnet.yaml", "femnist_writers.yaml")
TIMING_ONLY = ("llama7b_lora_timing.yaml",)
SLOW = ("lora_text.yaml", "privacy.yaml", "text_speakers.yaml")
SHIPPED = [*FOLDER.glob("*.yaml"), *FOLDER.glob("byzantine/*.yaml"), *FOLDER.glob("flower/*.yaml")]
SCENARIOS = sorted(path for path in SHIPPED if path.name not in NEEDS_FILES)
WORLDS = sorted(FOLDER.glob("flower/worlds/*.yaml"))  # for `flsim flower`: no scenarios without an app
ALL = sorted(set(FOLDER.rglob("*.yaml")) - set(WORLDS))
ACCURACY_TOLERANCE = 0.03
REWRITE = "python -m tests.golden.test_golden --write"

each_golden_scenario = pytest.mark.parametrize(
    "scenario",
    [pytest.param(path, marks=pytest.mark.slow if path.name in SLOW else ()) for path in SCENARIOS],
    ids=lambda path: path.stem,
)
each_scenario = pytest.mark.parametrize("scenario", ALL, ids=lambda path: path.stem)
each_file = pytest.mark.parametrize("scenario", [*ALL, *WORLDS], ids=lambda path: path.stem)


def _golden() -> dict[str, dict[str, Any]]:
    golden: dict[str, dict[str, Any]] = json.loads(GOLDEN.read_text())
    return golden


def _measured(scenario: Path, folder: Path) -> dict[str, Any]:
    """Run a scenario, without its pictures, and return what golden.json keeps of its summary."""
    changes = [f"output.dir={json.dumps(str(folder))}", "output.plots=false"]
    resolved = read_scenario(scenario, changes)
    summary = run(resolved, timing_only=scenario.name in TIMING_ONLY).summary
    if resolved.selection.needs_history or _is_of_the_interpreter(resolved):
        return {"updates": summary["updates"], "final_accuracy": summary["final_accuracy"]}
    kept = (
        "records_sha256",
        "updates",
        "tasks",
        "bytes_down",
        "bytes_up",
        "virtual_time_s",
        "final_accuracy",
    )
    return {key: summary[key] for key in kept}


def _is_of_the_interpreter(scenario: Scenario) -> bool:
    workload = scenario.workload
    return isinstance(workload, TorchWorkload) and isinstance(workload.data.dataset, PythonTopics)


@each_golden_scenario
def test_a_scenario_gives_the_run_that_it_gave(scenario: Path, tmp_path: Path) -> None:
    golden = _golden()
    if scenario.name not in golden:
        pytest.fail(f"golden.json has no entry for {scenario.name}; add it with: {REWRITE}")
    expected = golden[scenario.name]
    measured = _measured(scenario, tmp_path)
    accuracy, expected_accuracy = measured.pop("final_accuracy"), expected.pop("final_accuracy")
    hint = f"{scenario.name} gives another run than before; if that is meant: {REWRITE}"
    assert measured == expected, hint
    assert accuracy == (expected_accuracy and pytest.approx(expected_accuracy, abs=ACCURACY_TOLERANCE)), (
        hint
    )


def test_nothing_golden_is_left_behind() -> None:
    assert SCENARIOS
    assert set(_golden()) <= {scenario.name for scenario in SCENARIOS}, f"write it anew: {REWRITE}"


def _opening_comment(scenario: Path) -> list[str]:
    """Return the comment lines that a scenario begins with, without their marks."""
    found = re.match(r"(?:#.*\n)*", scenario.read_text())
    return [line.removeprefix("#").strip() for line in found[0].splitlines()] if found else []


@each_file
def test_a_scenario_begins_with_what_to_look_at(scenario: Path) -> None:
    comment = _opening_comment(scenario)
    assert comment, f"{scenario.name} must begin with a comment: # Look at: …"
    assert re.match(r"Look at: \S", comment[0])
    assert len(" ".join(comment)) > 60


@each_scenario
def test_a_scenario_is_named_after_its_file(scenario: Path) -> None:
    assert read_scenario(scenario).name == scenario.stem


COMMANDS = [
    pytest.param(line, id=f"{scenario.stem}: {line[-40:]}")
    for scenario in [*ALL, *WORLDS]
    for line in _opening_comment(scenario)
    if line.startswith(("python ", "flsim "))
]


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_in_a_comment_can_be_typed(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_can_be_typed(line, tmp_path, monkeypatch)


def _write() -> None:
    with tempfile.TemporaryDirectory() as folder:
        golden = {scenario.name: _measured(scenario, Path(folder)) for scenario in SCENARIOS}
    GOLDEN.write_text(json.dumps(golden, indent=2, sort_keys=True) + "\n")
    sys.stdout.write(f"wrote {len(golden)} scenarios to {GOLDEN}\n")


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit(f"usage: {REWRITE}")
    _write()
