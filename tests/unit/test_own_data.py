"""Datasets of one's own: arrays of a function, tables of Hugging Face's, and partitioners of Flower's."""

import json
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch

from flsim.errors import ScenarioError
from flsim.learn.datasets import huggingface, load
from flsim.learn.partitions import Rows, partition
from flsim.learn.partitions import flower as flower_module
from flsim.running import run
from flsim.scenario import scenario_from
from flsim.scenario.own_data import HuggingFace, ModuleData
from flsim.scenario.partition import Flower
from tests.tables import blobs
from tests.tiny import scenario_data
from tests.unit.test_datasets import check_types


def own(name: str, **arguments: Any) -> Any:
    return load(ModuleData(path=f"tests.tables:{name}", arguments=arguments), 0.25, 3)


def test_arrays_are_taken_as_they_are() -> None:
    samples, given = own("blobs"), blobs()
    check_types(samples)
    assert np.allclose(samples.train_x.numpy(), given["train_x"])
    assert samples.train_y.tolist() == given["train_y"].tolist()
    assert len(samples.test_y) == 10
    assert samples.owner_names == ("site 0", "site 1", "site 2")
    assert samples.owners is not None
    assert samples.owners.tolist() == [n % 3 for n in range(60)]


def test_without_a_test_part_rows_are_held_out_with_their_owners() -> None:
    samples, given = own("blobs", tested=False), blobs(tested=False)
    assert (len(samples.train_y), len(samples.test_y)) == (45, 15)
    assert samples.owners is not None
    rows = {tuple(np.float32(row).tolist()): n for n, row in enumerate(given["train_x"])}
    for x, owner in zip(samples.train_x.tolist(), samples.owners.tolist(), strict=True):
        assert rows[tuple(x)] % 3 == owner


def test_numbers_are_numbers() -> None:
    samples = own("number")
    assert (samples.kind, samples.classes) == ("number", 1)
    assert samples.train_y.dtype == torch.float32


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("nothing", "gives no mapping with train_x and train_y"),
        ("no y", "gives no mapping with train_x and train_y"),
        ("more", "gives valid_x; accepted: train_x, train_y, test_x, test_y, owners"),
        ("half a test", "gives one of test_x and test_y"),
        ("ragged", "train_x is no array"),
        ("flat", r"train_x must be numbers \[rows, ...\], not float64 \[6\]"),
        ("words", "train_x must be numbers"),
        ("no rows", "train_x must be numbers"),
        ("lengths", "6 rows of train_x, but 5 of train_y"),
        ("nan", "train_x has values that are not finite"),
        ("nan y", "train_y has values that are not finite"),
        ("negative", r"y must be classes \[rows\]"),
        ("names", r"y must be classes \[rows\]"),
        ("shapes", r"not of one sort; shapes \[6, 2\] and \[6, 3\]"),
        ("kinds", "not of one sort"),
        ("owners", "owners must be 6 names or whole numbers"),
        ("one row", "has one row"),
    ],
)
def test_what_is_wrong_with_arrays_is_said(how: str, why: str) -> None:
    with pytest.raises(ScenarioError, match=f"dataset tests.tables:changed: .*{why}"):
        own("changed", how=how)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("tests.tables:breaks", "the disk is full"),
        ("tests.tables:none", "has no attribute 'none'"),
        ("tests.nowhere:blobs", "No module named"),
    ],
)
def test_a_function_that_cannot_be_called(path: str, why: str) -> None:
    with pytest.raises(ScenarioError, match=f"dataset.path: {path} cannot be imported and called .*{why}"):
        load(ModuleData(path=path), 0.2, 1)


def test_a_run_on_ones_own_data_by_its_owners(tmp_path: Path) -> None:
    data = scenario_data(3, {"kind": "sync", "cohort": 3}, output={"dir": str(tmp_path), "plots": False})
    data["workload"]["data"] = {
        "dataset": {"kind": "module", "path": "tests.tables:blobs", "arguments": {"rows": 90}},
        "partition": {"kind": "natural"},
    }
    summary = run(scenario_from(data)).summary
    assert summary["final_accuracy"] > 0.9
    assert summary["data"]["samples"] == 90


# Hugging Face's


def table(rows: int = 40, shift: float = 0.0) -> Any:
    generator = np.random.default_rng(5)
    return datasets.Dataset.from_dict(
        {
            "height": (generator.normal(size=rows) * 3 + 7 + shift).tolist(),
            "sizes": (generator.normal(size=(rows, 2)) - 2).tolist(),
            "animal": [("cat", "dog", "bee")[n % 3] for n in range(rows)],
            "home": [f"farm {n % 4}" for n in range(rows)],
            "number": [n % 5 for n in range(rows)],
        }
    )


def hugging(path: Path, **keys: Any) -> Any:
    given = {"inputs": ("height", "sizes"), "label": "animal", "owner": "home"} | keys
    return load(HuggingFace(path=str(path), **given), 0.25, 3)


def test_a_saved_table_is_read_and_standardised_with_its_training_rows(tmp_path: Path) -> None:
    whole = table()
    datasets.DatasetDict({"train": whole, "test": table(12)}).save_to_disk(str(tmp_path / "saved"))
    samples = hugging(tmp_path / "saved")
    check_types(samples)
    raw = np.column_stack([whole["height"], np.array(whole["sizes"])])
    assert np.allclose(samples.train_x.numpy(), (raw - raw.mean(0)) / raw.std(0), atol=1e-5)
    assert samples.train_y.tolist() == [(1, 2, 0)[n % 3] for n in range(40)]  # bee, cat, dog
    assert samples.owner_names == ("farm 0", "farm 1", "farm 2", "farm 3")
    assert len(samples.test_y) == 12


@pytest.mark.parametrize("suffix", ["csv", "json", "jsonl", "parquet"])
def test_a_file_is_read_and_some_rows_are_held_out(tmp_path: Path, suffix: str) -> None:
    path, of = tmp_path / f"table.{suffix}", table().remove_columns("sizes")
    getattr(of, {"csv": "to_csv", "parquet": "to_parquet"}.get(suffix, "to_json"))(str(path))
    samples = hugging(path, inputs=("height",))
    check_types(samples)
    assert (len(samples.train_y), len(samples.test_y)) == (30, 10)
    assert abs(float(samples.train_x.mean())) < 1e-6
    numbers = hugging(path, inputs=("height",), label="number", owner=None)
    assert numbers.classes == 5
    assert numbers.owners is None


def test_images_of_a_table(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (20, 6, 5, 3), dtype=np.uint8)
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])}
    )
    from PIL import Image

    columns = {"image": [Image.fromarray(one) for one in pixels], "label": [n % 2 for n in range(20)]}
    of = datasets.Dataset.from_dict(columns, features=features)
    datasets.DatasetDict({"train": of, "test": of}).save_to_disk(str(tmp_path / "saved"))
    samples = hugging(tmp_path / "saved", inputs=("image",), label="label", owner=None)
    check_types(samples)
    raw = pixels.transpose(0, 3, 1, 2).astype(float)
    mean, deviation = raw.mean((0, 2, 3), keepdims=True), raw.std((0, 2, 3), keepdims=True)
    assert np.allclose(samples.train_x.numpy(), (raw - mean) / deviation, atol=1e-5)


def test_an_outlier_among_the_test_rows_does_not_leak(tmp_path: Path) -> None:
    found = []
    for name, shift in (("clean", 0.0), ("planted", 1e9)):
        parts = {"train": table(), "test": table(12, shift)}
        datasets.DatasetDict(parts).save_to_disk(str(tmp_path / name))
        found.append(hugging(tmp_path / name))
    assert torch.equal(found[0].train_x, found[1].train_x)
    assert float(found[1].test_x.max()) > 1e6


def test_an_outlier_among_held_out_rows_does_not_leak(tmp_path: Path) -> None:
    of = table()
    of.save_to_disk(str(tmp_path / "clean"))
    labels = np.array([(1, 2, 0)[n % 3] for n in range(40)])
    _, tested = huggingface.hold_out(labels, 0.25, 3)
    heights = list(of["height"])
    for row in tested:
        heights[row] = 1e9
    of.remove_columns("height").add_column("height", heights).save_to_disk(str(tmp_path / "planted"))
    clean, planted = hugging(tmp_path / "clean"), hugging(tmp_path / "planted")
    assert torch.equal(clean.train_x, planted.train_x)
    assert float(planted.test_x.max()) > 1e6


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"inputs": ("weight",)}, "there is no column weight; columns: height, sizes, animal"),
        ({"label": "kind"}, "there is no column kind"),
        ({"owner": "farm"}, "there is no column farm"),
        ({"inputs": ("animal",)}, "the columns animal are not numbers"),
        ({"label": "height"}, "the column height has fractions"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(tmp_path: Path, keys: dict[str, Any], why: str) -> None:
    table().save_to_disk(str(tmp_path / "saved"))
    with pytest.raises(ScenarioError, match=f"dataset huggingface: {why}"):
        hugging(tmp_path / "saved", **keys)


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (
            {"x": [1.0, None, 3.0], "y": [0, 1, 0]},
            "the column x has rows without a value",
        ),
        ({"x": [1.0, 2.0], "y": ["a", None]}, "the column y has rows without a value"),
        ({"x": [1.0], "y": [0]}, "has 1 rows; it takes two, one to train on and one to test"),
    ],
)
def test_rows_that_cannot_be_used_are_said(tmp_path: Path, rows: dict[str, Any], why: str) -> None:
    datasets.Dataset.from_dict(rows).save_to_disk(str(tmp_path / "saved"))
    with pytest.raises(ScenarioError) as refused:
        hugging(tmp_path / "saved", inputs=("x",), label="y", owner=None)
    assert str(refused.value).startswith(f"dataset huggingface: {why}")


def test_a_split_without_rows_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    none = datasets.Dataset.from_dict({"x": [1.0], "y": [0]}).select([])
    for parts, why in (
        ({"train": none}, "has 0 rows; it takes two"),
        ({"train": table(4), "test": table(4).select([])}, "a split has no rows"),
    ):
        given = datasets.DatasetDict(parts)
        monkeypatch.setattr(huggingface, "_local", lambda package, path, given=given: given)
        keys = ("x", "y") if len(parts) == 1 else ("height", "animal")
        with pytest.raises(ScenarioError, match=f"^dataset huggingface: {why}"):
            hugging(tmp_path, inputs=keys[:1], label=keys[1], owner=None)


def test_grey_images_of_a_table_have_one_channel(tmp_path: Path) -> None:
    from PIL import Image

    pixels = np.random.default_rng(1).integers(0, 256, (8, 6, 5), dtype=np.uint8)
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    columns = {"image": [Image.fromarray(one) for one in pixels], "label": [n % 2 for n in range(8)]}
    of = datasets.Dataset.from_dict(columns, features=features)
    datasets.DatasetDict({"train": of, "test": of}).save_to_disk(str(tmp_path / "saved"))
    samples = hugging(tmp_path / "saved", inputs=("image",), label="label", owner=None)
    raw = pixels[:, np.newaxis].astype(float)
    assert np.allclose(samples.train_x.numpy(), (raw - raw.mean()) / raw.std(), atol=1e-5)


def test_a_place_without_a_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="none is neither a folder that save_to_disk wrote nor"):
        hugging(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ScenarioError, match="empty cannot be read"):
        hugging(tmp_path / "empty")
    (tmp_path / "bad.parquet").write_text("no")
    with pytest.raises(ScenarioError, match=r"bad\.parquet cannot be read"):
        hugging(tmp_path / "bad.parquet")
    datasets.DatasetDict({"all": table()}).save_to_disk(str(tmp_path / "saved"))
    with pytest.raises(ScenarioError, match="there is no split train; splits: all"):
        hugging(tmp_path / "saved")


def test_a_table_that_leads_out_of_its_folder_is_refused(tmp_path: Path) -> None:
    table().save_to_disk(str(tmp_path / "saved"))
    state = tmp_path / "saved" / "state.json"
    content = json.loads(state.read_text())
    content["_data_files"] = [{"filename": "../outside.arrow"}]
    state.write_text(json.dumps(content))
    with pytest.raises(ScenarioError, match="names a file outside its folder"):
        hugging(tmp_path / "saved")


def test_the_hub_is_asked_only_where_the_scenario_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def unreachable(*args: Any, **keys: Any) -> Any:
        asked.append((args, keys))
        raise ConnectionError("no network here")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    with pytest.raises(ValueError, match="set download: true"):
        HuggingFace(name="someone/digits", inputs=("x",))
    assert asked == []
    of = HuggingFace(name="someone/digits", revision="v1", inputs=("x",), download=True)
    with pytest.raises(ScenarioError, match=r"someone/digits could not be downloaded \(no network here\)"):
        load(of, 0.2, 1)
    assert asked == [(("someone/digits", None), {"revision": "v1"})]  # and no code is trusted


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({}, "give either path or name"),
        ({"path": "a", "name": "b", "download": True}, "give either path or name"),
        ({"path": "a", "config": "b"}, "goes with name"),
    ],
)
def test_a_table_is_in_one_place(keys: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        HuggingFace(inputs=("x",), **keys)


# Flower's


def flower(rows: Rows, clients: int, name: str, seed: int = 1, **keys: Any) -> list[Any]:
    return partition(Flower(partitioner=name, **keys), rows, clients, seed)


LABELS = np.arange(200, dtype=np.int64) % 4
ROWS = Rows(200, LABELS, np.repeat(np.arange(5), 40), tuple("abcde"))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("IidPartitioner", {}),
        ("DirichletPartitioner", {"alpha": 0.5, "min_partition_size": 3}),
        ("PathologicalPartitioner", {"num_classes_per_partition": 2}),
        ("LinearPartitioner", {}),
        ("NaturalIdPartitioner", {}),
    ],
)
def test_partitioners_deal_the_samples(name: str, arguments: dict[str, Any]) -> None:
    parts = flower(ROWS, 5, name, arguments=arguments)
    together = np.concatenate(parts)
    assert len(set(together.tolist())) == len(together) <= 200
    assert all(np.all(np.diff(part) > 0) for part in parts)
    again = flower(ROWS, 5, name, arguments=arguments)
    assert all(np.array_equal(*pair) for pair in zip(parts, again, strict=True))
    if name == "NaturalIdPartitioner":
        assert sorted(part.tolist() for part in parts) == [
            list(range(40 * n, 40 * n + 40)) for n in range(5)
        ]
    if name == "PathologicalPartitioner":
        assert all(len(set(LABELS[part].tolist())) == 2 for part in parts)


def test_the_seed_is_the_scenarios_unless_it_is_given() -> None:
    def first(scenarios: int, **more: Any) -> list[int]:
        arguments = {"alpha": 0.5, "min_partition_size": 1} | more
        part: list[int] = flower(ROWS, 5, "DirichletPartitioner", scenarios, arguments=arguments)[
            0
        ].tolist()
        return part

    assert first(1) != first(2)
    assert first(1, seed=7) == first(2, seed=7)


@pytest.mark.parametrize(
    ("name", "keys", "clients", "why"),
    [
        ("IidPartition", {}, 5, "there is no IidPartition; accepted: .* did you mean 'IidPartitioner'"),
        ("VerticalEvenPartitioner", {}, 5, "there is no VerticalEvenPartitioner"),
        ("DirichletPartitioner", {}, 5, "DirichletPartitioner with .*missing"),
        ("IidPartitioner", {"arguments": {"num_partitions": 3}}, 5, "makes 3 partitions; the fleet has 5"),
        ("NaturalIdPartitioner", {}, 4, "makes 5 partitions; the fleet has 4"),
        ("IidPartitioner", {"min_samples": 50}, 5, "client 0 has 40 samples, but min_samples is 50"),
    ],
)
def test_what_a_partitioner_cannot_do_is_said(
    name: str, keys: dict[str, Any], clients: int, why: str
) -> None:
    with pytest.raises(ScenarioError, match=why):
        flower(ROWS, clients, name, **keys)


@pytest.mark.parametrize("module", ["datasets", "flwr_datasets"])
def test_without_the_packages_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    import sys

    monkeypatch.setitem(sys.modules, module, None)
    if module == "datasets":
        with pytest.raises(ScenarioError, match=r"pip install 'flsim-des\[huggingface\]'"):
            huggingface._import()
    with pytest.raises(ScenarioError, match=r"pip install 'flsim-des\[huggingface\]'"):
        flower_module._import()
