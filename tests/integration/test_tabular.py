"""Runs on tables, from a file to the folder of results: metrics, numbers, banks."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as parquet
import pytest
import yaml

from flsim.errors import ScenarioError
from flsim.observe.report import write_report
from flsim.running import run
from flsim.scenario import read_scenario, scenario_from
from tests.integration.command import SCENARIOS, flsim, summary_of

ERRORS = ["mae", "rmse", "r2"]
AREAS = ["precision", "recall", "f1", "roc_auc", "average_precision"]
CLIENTS = 4


def houses(folder: Path, rows: int = 400) -> Path:
    """Write rows whose price is nearly linear in what is known of them."""
    draw = np.random.default_rng(8)
    size, age = draw.lognormal(4.5, 0.4, rows), draw.integers(0, 90, rows)
    kind = draw.choice(["flat", "house"], rows)
    price = 3 * size - age + np.where(kind == "house", 80, 0) + draw.normal(size=rows)
    path = folder / "houses.csv"
    data = {"size": size, "age": age, "kind": kind, "price": price, "is_dear": (price > 300).astype(int)}
    pd.DataFrame(data | {"town": draw.choice(["a", "b", "c", "d"], rows)}).to_csv(path, index=False)
    return path


def scenario(folder: Path, **changes: Any) -> dict[str, Any]:
    """Return a scenario that predicts the price."""
    parts = {"size": "number", "age": "number", "kind": "category", "is_dear": "drop"}
    dataset = {"kind": "csv", "file": str(houses(folder)), "target": "price", "predicts": "number"}
    return {
        "name": "houses",
        "workload": {
            "kind": "torch",
            "data": {
                "dataset": dataset | {"scale_target": True, "client": "town", "columns": parts},
                "partition": {"kind": "natural"},
                "client_test_share": 0.25,
            },
            "model": {"kind": "mlp", "hidden": [8]},
            "training": {"epochs": 5, "batch_size": 8, "optimizer": {"kind": "sgd", "lr": 0.05}},
        },
        "fleet": {"clients": CLIENTS, "compute": {"kind": "speed", "flops": 1e9}},
        "strategy": {"kind": "sync", "cohort": CLIENTS},
        "evaluation": {"clients": {"every": 4}, "metrics": ERRORS, "divergence": True},
        "stop": {"updates": 8},
        "output": {"dir": str(folder / "outputs"), "timeline": False, "plots": False},
    } | changes


def of_classes(folder: Path, **changes: Any) -> dict[str, Any]:
    """Return a scenario that predicts whether the price is high."""
    data = scenario(folder, **changes)
    dataset = data["workload"]["data"]["dataset"]
    dataset |= {"target": "is_dear", "predicts": "classes", "scale_target": False}
    dataset["columns"] = {"size": "log", "age": "number", "kind": "category", "price": "drop"}
    return data


def test_a_number_is_predicted_and_has_no_accuracy_anywhere(tmp_path: Path) -> None:
    output = {"dir": str(tmp_path / "outputs"), "timeline": False}
    done = run(scenario_from(scenario(tmp_path, output=output)))
    summary, folder = done.summary, done.folder
    assert summary["final_accuracy"] is summary["best_accuracy"] is summary["client_accuracy"] is None
    assert summary["final_loss"] < 0.05
    assert summary["best_version"] > 4
    central = summary["metrics"]["central"]
    assert set(central) == {"version", *ERRORS}
    assert central["r2"] > 0.95
    # In the units of the scaled target: the loss is the mean squared error.
    assert central["rmse"] == pytest.approx(summary["final_loss"] ** 0.5, rel=1e-6)
    versions = json.loads((folder / "metrics.json").read_text())["versions"]
    assert [row["accuracy"] for row in versions] == [None] * 9
    assert [row["client_accuracy"] for row in versions] == [None] * 9
    assert versions[0]["metrics"]["mae"] > 5 * versions[8]["metrics"]["mae"]
    tested = parquet.read_table(folder / "client_accuracy.parquet")
    assert tested["accuracy"].null_count == tested.num_rows == 3 * CLIENTS
    with (folder / "metrics.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["accuracy"] for line in lines] == [""] * 9
    assert [line["rmse"] for line in lines] == [repr(row["metrics"]["rmse"]) for row in versions]
    drawn = {path.name for path in (folder / "plots").iterdir()}
    assert "metrics.png" in drawn
    assert "loss.png" in drawn
    assert not drawn & {"accuracy.png", "client_accuracy.png"}
    page = write_report(folder).read_text()
    assert "How evenly it is shared out" in page
    assert "Accuracy by client" not in page


@pytest.mark.parametrize("executor", ["serial", "vmap"])
def test_a_number_is_learned_on_every_executor(tmp_path: Path, executor: str) -> None:
    summary = run(scenario_from(scenario(tmp_path, executor={"kind": executor}))).summary
    assert summary["metrics"]["central"]["r2"] > 0.95


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (
            {"stop": {"updates": 3, "accuracy": 0.9}},
            "stop.accuracy: 0.9: .* no accuracy; accepted: stop.plateau",
        ),
        (
            {"evaluation": {"metrics": ["f1"]}},
            "no f1 where a model is asked for a number.* accepted: mae, rmse",
        ),
        (
            {
                "selection": {"kind": "tifl", "tiers": 2, "adaptive": {"every": 2}},
                "strategy": {"kind": "sync", "cohort": 1},
                "evaluation": {"clients": {"every": 1}},
            },
            "selection: tifl goes by the clients' own tests, and .* no accuracy",
        ),
        (
            {"leakage": {}},
            "leakage: the attacks are on models that tell classes apart; this dataset has",
        ),
        (
            {"attack": {"kind": "label_flip", "mode": "all", "clients": {"list": [0]}}},
            "attack: it is on labels",
        ),
        (
            {
                "attack": {
                    "kind": "backdoor",
                    "target": 0,
                    "trigger": {"kind": "columns", "columns": [0], "value": 3.0},
                    "clients": {"list": [0]},
                }
            },
            "attack: it is on labels",
        ),
    ],
)
def test_what_a_number_does_not_go_with(tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ScenarioError, match=why):
        run(scenario_from(scenario(tmp_path, **changes)))
    assert not (tmp_path / "outputs").exists()


def test_labels_cannot_be_swapped_where_there_are_none(tmp_path: Path) -> None:
    data = scenario(tmp_path)
    data["workload"]["data"]["drift"] = [{"at": 5, "swap": [[0, 1]]}]
    with pytest.raises(ScenarioError, match=r"drift\.swap: this dataset's samples have no classes"):
        run(scenario_from(data))


def test_a_table_of_which_all_is_dropped_teaches_nothing(tmp_path: Path) -> None:
    data = scenario(tmp_path)
    dataset = data["workload"]["data"]["dataset"]
    dataset["columns"] = dict.fromkeys(("size", "age", "kind", "is_dear"), "drop")
    with pytest.raises(ScenarioError, match="no column is left to learn from; all but the target are"):
        run(scenario_from(data))


def test_a_test_file_has_the_columns_of_the_training_file(tmp_path: Path) -> None:
    data = scenario(tmp_path)
    dataset = data["workload"]["data"]["dataset"]
    more = pd.read_csv(dataset["file"]).assign(garden=1.0)
    more.to_csv(tmp_path / "more.csv", index=False)
    dataset |= {"test_file": str(tmp_path / "more.csv"), "others": "number"}
    with pytest.raises(ScenarioError, match=r"more\.csv: its columns are not those of .*, which are size"):
        run(scenario_from(data))


def test_metrics_need_something_that_trains(tmp_path: Path) -> None:
    synthetic = {"kind": "synthetic", "compute": 1e9}
    for evaluation in ({"metrics": ["f1"]}, {"divergence": True}):
        with pytest.raises(ScenarioError, match="it needs workload torch"):
            scenario_from(scenario(tmp_path, workload=synthetic, evaluation=evaluation))


def test_metrics_of_classes_are_in_every_file(tmp_path: Path) -> None:
    evaluation = {"clients": {"every": 4}, "metrics": AREAS, "divergence": True, "every": 3}
    done = run(scenario_from(of_classes(tmp_path, evaluation=evaluation)))
    table = parquet.read_table(done.folder / "metrics.parquet").to_pandas()
    versions = {
        row["version"]: row for row in json.loads((done.folder / "metrics.json").read_text())["versions"]
    }
    assert [version for version, row in versions.items() if row["metrics"]] == [0, 3, 6, 8]
    assert [version for version, row in versions.items() if row["client_metrics"]] == [0, 4, 8]
    assert [version for version, row in versions.items() if row["divergence"]] == list(range(1, 9))
    assert table.version.is_monotonic_increasing
    for metric in AREAS:
        values = table[(table.version == 8) & (table.metric == metric)].set_index("client").value
        assert values[values.index.isna()].tolist() == [versions[8]["metrics"][metric]]
        of_clients = values[values.index.notna()]
        assert len(of_clients) == CLIENTS
        found = versions[8]["client_metrics"][metric]
        assert found["mean"] == pytest.approx(of_clients.mean())
        assert found["min"] == of_clients.min()
        assert found["clients"] + found["undefined"] == CLIENTS
        assert done.summary["metrics"]["clients"][metric] == found
        assert done.summary["metrics"]["central"][metric] == versions[8]["metrics"][metric]
    assert done.summary["metrics"]["central"]["version"] == 8
    assert done.summary["metrics"]["divergence"]["version"] == 8
    assert done.summary["metrics"]["central"]["roc_auc"] > 0.95


def test_a_client_of_one_class_has_nulls_and_no_zeros(tmp_path: Path) -> None:
    data = of_classes(tmp_path, evaluation={"clients": {"every": 9}, "metrics": AREAS})
    data["workload"]["data"]["partition"] = {
        "kind": "label_groups",
        "groups": [{"clients": 2, "labels": [0]}, {"clients": 2, "labels": [1]}],
    }
    done = run(scenario_from(data))
    table = parquet.read_table(done.folder / "metrics.parquet").to_pandas()
    assert table[table.client.notna()].value.isna().all()
    assert len(table[table.client.notna()]) == 2 * CLIENTS * len(AREAS)
    spread = done.summary["metrics"]["clients"]["f1"]
    assert (spread["clients"], spread["undefined"], spread["mean"]) == (0, CLIENTS, None)
    assert done.summary["metrics"]["central"]["roc_auc"] is not None


def test_a_test_row_beyond_all_measure_changes_no_weight(tmp_path: Path) -> None:
    hashes = []
    for outlier in (None, 1e300):
        folder = tmp_path / str(outlier)
        folder.mkdir()
        data = of_classes(folder, evaluation={"clients": {"every": 4}})
        rows = pd.read_csv(houses(folder))
        tested = rows.tail(50).copy()
        if outlier is not None:
            tested["size"] = outlier
        tested.drop(columns="town").to_csv(folder / "tested.csv", index=False)
        data["workload"]["data"]["dataset"]["test_file"] = str(folder / "tested.csv")
        hashes.append(run(scenario_from(data)).summary["model_sha256"])
    assert hashes[0] == hashes[1]


def test_no_file_is_longer_without_metrics(tmp_path: Path) -> None:
    done = run(scenario_from(of_classes(tmp_path, evaluation={})))
    assert "metrics" not in done.summary
    assert not (done.folder / "metrics.parquet").exists()
    assert "divergence" not in json.loads((done.folder / "metrics.json").read_text())["versions"][1]


@pytest.mark.parametrize("seen", ["terminal", pytest.param("sweep", marks=pytest.mark.slow)])
def test_metrics_are_shown(tmp_path: Path, seen: str) -> None:
    data = of_classes(tmp_path, evaluation={"metrics": ["f1", "roc_auc"]})
    data |= {"output": {"plots": False, "timeline": False}}
    (tmp_path / "houses.yaml").write_text(yaml.safe_dump(data))
    if seen == "terminal":
        done = flsim("houses.yaml", cwd=tmp_path)
        central = summary_of(tmp_path / "outputs" / "houses")["metrics"]["central"]
        assert f"Metrics: f1 {central['f1']:.4g}, roc_auc {central['roc_auc']:.4g}\n" in done.stdout
    else:
        done = flsim("sweep", "houses.yaml", "seed=1", "--workers", "1", cwd=tmp_path)
        with (tmp_path / "outputs" / "houses" / "sweep.csv").open() as file:
            [line] = csv.DictReader(file)
        assert 0.5 < float(line["metrics.roc_auc"]) <= 1
    assert (done.returncode, done.stderr) == (0, "")


# Fraud


@pytest.mark.slow
@pytest.mark.parametrize("name", ["paysim_two_banks", "paysim_fraud_types"])
@pytest.mark.parametrize("suffix", [None, ".csv", ".parquet"])
def test_banks_find_fraud_together(tmp_path: Path, name: str, suffix: str | None) -> None:
    overrides = [f"output={{dir: {tmp_path}, plots: false, timeline: false}}"]
    if suffix is not None:
        path = tmp_path / f"payments{suffix}"
        done = flsim("data", "paysim", "--rows", "50000", "--seed", "42", "--out", path, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        overrides.append(f"workload.data.dataset.file={path}")
    found = run(read_scenario(SCENARIOS / f"{name}.yaml", overrides)).summary["metrics"]
    assert found["central"]["roc_auc"] >= 0.90
    assert found["clients"]["roc_auc"]["clients"] == 2
    assert found["clients"]["roc_auc"]["min"] >= 0.90


@pytest.mark.slow
def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    scenario = SCENARIOS / "paysim_two_banks.yaml"
    done = flsim(scenario, "--set", f"workload.data.dataset.file={tmp_path}/log.csv", cwd=tmp_path)
    assert done.returncode == 1
    assert "flsim data paysim --rows 50000 --out" in done.stderr
    assert not list(tmp_path.iterdir())
