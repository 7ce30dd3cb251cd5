"""The scenarios of texts and of images, and what a user sees who puts the wrong model to them."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from flsim.cli import main
from flsim.errors import ScenarioError
from flsim.learn.datasets.holdout import hold_out_stretches
from flsim.running import run
from flsim.scenario import read_scenario
from flsim.scenario.catalogue import catalogue
from tests.integration.command import SCENARIOS
from tests.unit.test_datasets import write_cifar10

SPEAKERS = SCENARIOS / "text_speakers.yaml"
IMAGES = SCENARIOS / "cifar10_resnet.yaml"
METHODS = SCENARIOS / "methods.yaml"
TOPICS = "workload.data={dataset: {kind: python_topics, length: 5, vocabulary: 20}}"
ON_DIGITS = {
    "logistic": {},
    "mlp": {"hidden": [64, 32], "dropout": 0.3},
    "cnn": {},
    "femnist_cnn": {},
    "mnist_cnn": {},
    "cifar_cnn": {},
    "resnet": {},
    "mobilenet_v3": {},
}
ON_TEXT = {
    "lstm": {"hidden": 8},
    "transformer": {"width": 8, "heads": 2},
}
TEXTS = {
    "python_topics": {"tokens": "words", "vocabulary": 50},
    "text": {"file": str(Path(__file__))},
    "shakespeare": {"plays": ["hamlet"]},
}
SMALL_TEXT = (
    "workload.data.dataset={kind: python_topics, length: 16}",
    "workload.model={kind: transformer, width: 16, layers: 1, heads: 2}",
    "executor={kind: serial}",
    "fleet.clients=70",
    "stop.updates=3",
)


def losses(folder: Path) -> list[float]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file) if row["loss"]]


def quiet(folder: Path, *overrides: str) -> tuple[str, ...]:
    return (*overrides, f"output={{dir: {json.dumps(str(folder))}, plots: false, timeline: false}}")


def section(kind: str, keys: dict[str, Any]) -> str:
    return yaml.safe_dump({"kind": kind} | keys, default_flow_style=True).strip()


def test_every_model_is_tried() -> None:
    [models] = [place.kinds for place in catalogue() if place.path == "workload.model"]
    own = {kind for kind, cls in models.items() if cls.__module__ == "flsim.scenario.model"}
    assert own == set(ON_DIGITS) | set(ON_TEXT) | {"module"}  # which tests/unit/test_own_modules.py has


@pytest.mark.parametrize(("kind", "keys"), [*ON_DIGITS.items(), *ON_TEXT.items()])
def test_a_model_is_trained(kind: str, keys: dict[str, Any], tmp_path: Path) -> None:
    overrides = (
        *([TOPICS] if kind in ON_TEXT else []),
        f"workload.model={section(kind, keys)}",
        "workload.training={epochs: 1, batch_size: 16, optimizer: {kind: sgd, lr: 0.02}}",
        "evaluation={every: 1}",
        "executor={kind: serial}",
        "strategy={kind: sync, cohort: 1}",
        "stop={updates: 1}",
    )
    done = run(read_scenario(METHODS, quiet(tmp_path, *overrides)))
    before, after = losses(done.folder)
    assert 0 < after < before + 1


@pytest.mark.parametrize(("kind", "keys"), TEXTS.items())
def test_a_text_is_learned(kind: str, keys: dict[str, Any], tmp_path: Path) -> None:
    overrides = (
        f"workload.data={{dataset: {section(kind, keys | {'length': 8})}}}",
        "workload.model={kind: transformer, width: 8, layers: 1, heads: 2}",
        "workload.training={optimizer: {kind: adam, lr: 0.05}}",
        "evaluation={every: 1}",
        "executor={kind: serial}",
        "strategy={kind: sync, cohort: 4}",
        "stop={updates: 2}",
    )
    before, _, after = losses(run(read_scenario(METHODS, quiet(tmp_path, *overrides))).folder)
    assert after < before - 0.1


def test_speakers_learn_to_go_on(tmp_path: Path) -> None:
    done = run(read_scenario(SPEAKERS, quiet(tmp_path, *SMALL_TEXT)))
    curve = losses(done.folder)
    assert len(curve) == 4
    assert curve[-1] < curve[0] - 1.0  # nats a character
    assert 0.1 < done.summary["final_accuracy"] < 0.9


def test_a_dialogue_of_ones_own_by_a_path_beside_the_scenario(tmp_path: Path) -> None:
    lines = "".join(f"{name}: {'so it goes on, and on. ' * 5}\r\n" for name in ("ANNA", "BRUNO") * 20)
    (tmp_path / "play.txt").write_bytes(lines.encode())
    scenario = tmp_path / "text_speakers.yaml"
    scenario.write_text(SPEAKERS.read_text())
    dataset = "{kind: text, file: play.txt, owner: '^([A-Z]+): ', length: 16}"
    overrides = [*SMALL_TEXT[1:3], f"workload.data.dataset={dataset}", "fleet.clients=2"]
    few = "strategy={kind: sync, cohort: 2}", "stop={updates: 5}"
    done = run(read_scenario(scenario, quiet(tmp_path / "out", *overrides, *few)))
    assert losses(done.folder)[-1] < 0.8 * losses(done.folder)[0]
    assert done.summary["tasks"]["dispatched"] == 10


def test_rare_characters_in_the_test_text_leave_no_trace_in_the_weights(tmp_path: Path) -> None:
    text = "".join(f"{number} green bottles, hanging on the wall. " for number in range(60))
    size = 17
    _, held_out = hold_out_stretches(np.zeros(len(text) // size, np.int64), 0.2, seed=42)
    first, last = size * held_out[0], size * (held_out[-1] + 1)
    overrides = [*SMALL_TEXT[1:3], "fleet.clients=3", "workload.data.partition={kind: iid}"]
    summaries = []
    for name, planted in (("clean", text[first:last]), ("planted", "\U0001f600" * (last - first))):
        file = tmp_path / f"{name}.txt"
        file.write_text(text[:first] + planted + text[last:], encoding="utf-8")
        dataset = f"workload.data.dataset={{kind: text, file: {json.dumps(str(file))}, length: 16}}"
        few = "strategy={kind: sync, cohort: 3}", "stop={updates: 2}"
        settings = quiet(tmp_path / name, *overrides, dataset, *few)
        summaries.append(run(read_scenario(SPEAKERS, settings)).summary)
    clean, with_planted = summaries
    assert clean["model_sha256"] == with_planted["model_sha256"]
    assert clean["final_loss"] < with_planted["final_loss"]


@pytest.mark.slow
def test_the_loss_of_the_shipped_speakers_falls_markedly(tmp_path: Path) -> None:
    curve = losses(run(read_scenario(SPEAKERS, quiet(tmp_path))).folder)
    assert curve[-1] < 0.6 * curve[0]


def test_images_in_the_format_of_cifar_10_are_learned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cifar10(tmp_path / "data", monkeypatch)
    root = json.dumps(str(tmp_path / "data"))
    overrides = (
        f"workload.data.dataset={{kind: cifar10, root: {root}}}",
        "executor={kind: serial}",
        "fleet.clients=4",
        "strategy={kind: sync, cohort: 2}",
        "stop.updates=2",
    )
    done = run(read_scenario(IMAGES, quiet(tmp_path / "out", *overrides)))
    assert done.summary["updates"] == 2
    assert done.summary["tasks"]["aggregated"] == 4
    assert done.summary["final_loss"] < 10


def test_without_files_the_message_says_what_to_put_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = f"workload.data.dataset.root={json.dumps(str(tmp_path))}"
    with pytest.raises(SystemExit, match="1"):
        main([str(IMAGES), "--set", root])
    said = " ".join(capsys.readouterr().err.split())
    assert "cifar-10-batches-py lacks data_batch_1" in said
    assert "put the unpacked files there" in said


@pytest.mark.parametrize(
    ("dataset", "model", "message"),
    [
        (
            "python_topics",
            "cnn",
            "model cnn needs images [channels, height, width], but this dataset's samples",
        ),
        (
            "python_topics",
            "mlp",
            "model mlp needs numbers, but this dataset's samples are texts of 64 tokens",
        ),
        ("digits", "lstm", "model lstm needs texts, but this dataset's samples have the shape [1, 8, 8]"),
        ("breast_cancer", "resnet", "model resnet needs images [channels, height, width]"),
    ],
)
def test_a_model_that_does_not_fit_is_one_message(
    dataset: str, model: str, message: str, tmp_path: Path
) -> None:
    overrides = (
        f"workload.data={{dataset: {{kind: {dataset}}}}}",
        f"workload.model={{kind: {model}}}",
        f"output.dir={json.dumps(str(tmp_path))}",
    )
    with pytest.raises(ScenarioError) as caught:
        run(read_scenario(SPEAKERS, overrides))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_describe_says_what_a_model_is(capsys: pytest.CaptureFixture[str]) -> None:
    model = "workload.model={kind: lstm, embedding: 4, hidden: 8, layers: 1}"
    words = "workload.data.dataset={kind: python_topics, tokens: bytes, length: 10}"
    with pytest.raises(SystemExit, match="0"):
        main(["describe", str(SPEAKERS), "--set", model, "--set", words])
    parameters = 256 * 4 + 4 * 8 * (4 + 8 + 1) + 256 * 9
    flop = 3 * 10 * 2 * 32 * 4 + (3 * 10 - 1) * 2 * 32 * 8 + 3 * 10 * 2 * 8 * 256
    said = " ".join(capsys.readouterr().out.split())
    assert (
        f"Model: {parameters:,} parameters ({4 * parameters / 1000:.3g} kB), {flop / 1000:.3g} kFLOP a"
        in said
    )
