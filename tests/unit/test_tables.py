"""Datasets of rows and columns: what becomes of a file, and what is said of one that is not in order."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as parquet
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flsim.draws import Stream
from flsim.errors import ScenarioError
from flsim.learn.datasets import Samples, load
from flsim.learn.datasets.holdout import hold_out
from flsim.learn.datasets.tables.rows import read_rows
from flsim.scenario.tabular import Csv, Parquet
from tests.integration.command import environment
from tests.refused import refusal
from tests.tiny import scenario_data

TENSORS = ("train_x", "train_y", "test_x", "test_y")
LABELS = ["no", "yes", "maybe"]
KEYS: dict[str, Any] = {
    "target": "label",
    "client": "bank",
    "columns": {"amount": "log", "age": "number", "job": "category", "id": "drop"},
}


def frame(rows: int = 300) -> pd.DataFrame:
    draw = np.random.default_rng(5)
    return pd.DataFrame(
        {
            "id": np.arange(rows),
            "amount": draw.normal(size=rows) * 10.0 ** draw.integers(-3, 9, rows),
            "age": draw.integers(18, 90, rows),
            "job": draw.choice(["baker", "smith", "10", "9"], rows),
            "bank": draw.choice([12, 9, 100], rows),
            "label": draw.choice(LABELS, rows),
        }
    )


def as_csv(data: pd.DataFrame, folder: Path, **keys: Any) -> Csv:
    path = folder / f"{len(list(folder.iterdir()))}.csv"
    data.to_csv(path, index=False)
    return Csv(file=str(path), **(KEYS | keys))


def as_parquet(data: pd.DataFrame, folder: Path, **keys: Any) -> Parquet:
    path = folder / f"{len(list(folder.iterdir()))}.parquet"
    data.to_parquet(path, row_group_size=37)
    return Parquet(file=str(path), **(KEYS | keys))


def assert_same(first: Samples, second: Samples) -> None:
    for name in TENSORS:
        one, other = getattr(first, name), getattr(second, name)
        assert one.dtype == other.dtype
        assert one.numpy().tobytes() == other.numpy().tobytes(), name
    assert first.owners is not None
    assert second.owners is not None
    assert first.owners.tolist() == second.owners.tolist()
    assert first.owner_names == second.owner_names


# What becomes of the columns


def test_the_features_are_what_numpy_makes_of_the_training_rows(tmp_path: Path) -> None:
    data = frame()
    samples = load(as_csv(data, tmp_path), 0.25, seed=7)
    codes = data.label.map({"maybe": 0, "no": 1, "yes": 2}).to_numpy(np.int64)
    train, test = hold_out(codes, 0.25, seed=7)
    columns = []
    for values in (data.age.to_numpy(float), np.sign(data.amount) * np.log(1 + data.amount.abs())):
        known = np.asarray(values)[train]
        columns.append((np.asarray(values) - known.mean()) / known.std())
    jobs = [(data.job == job).to_numpy(float) for job in ("10", "9", "baker", "smith")]
    expected = np.stack([*columns, *jobs], axis=1)
    assert np.allclose(samples.train_x.numpy(), expected[train], rtol=1e-5, atol=1e-6)
    assert np.allclose(samples.test_x.numpy(), expected[test], rtol=1e-5, atol=1e-6)
    assert samples.train_y.tolist() == codes[train].tolist()
    assert samples.test_y.tolist() == codes[test].tolist()
    assert (samples.classes, samples.kind) == (3, "classes")


def test_owners_are_those_of_the_training_rows_in_the_order_of_numbers(tmp_path: Path) -> None:
    data = frame()
    samples = load(as_csv(data, tmp_path), 0.25, seed=7)
    train, _ = hold_out(data.label.astype("category").cat.codes.to_numpy(np.int64), 0.25, seed=7)
    assert samples.owner_names == ("9", "12", "100")
    assert samples.owners is not None
    names = [samples.owner_names[owner] for owner in samples.owners]
    assert names == data.bank.astype(str).to_numpy()[train].tolist()


@pytest.mark.parametrize("rows", [None, 60, 299, 1000])
def test_csv_with_its_columns_in_any_order_and_parquet_are_the_same_bits(
    tmp_path: Path, rows: int | None
) -> None:
    data = frame()
    first = load(as_csv(data, tmp_path, rows=rows), 0.25, seed=7)
    backwards = data[data.columns[::-1]]
    assert_same(load(as_csv(backwards, tmp_path, rows=rows), 0.25, seed=7), first)
    assert_same(load(as_parquet(data, tmp_path, rows=rows), 0.25, seed=7), first)
    of_words = data.astype({"job": "category"})
    assert_same(load(as_parquet(of_words[data.columns[::-1]], tmp_path, rows=rows), 0.25, seed=7), first)
    assert len(first.train_y) + len(first.test_y) == min(rows or 300, 300)


def test_the_keys_may_stand_in_any_order(tmp_path: Path) -> None:
    parts = dict(reversed(KEYS["columns"].items()))
    first = load(as_csv(frame(), tmp_path), 0.25, seed=7)
    assert_same(load(as_csv(frame(), tmp_path, columns=parts), 0.25, seed=7), first)


def test_others_have_the_part_that_is_given(tmp_path: Path) -> None:
    few = {"job": "category", "bank": "drop"}
    samples = load(as_csv(frame(), tmp_path, columns=few, others="number", client=None), 0.25, seed=7)
    assert samples.problem.input_shape == (3 + 4,)
    assert samples.owners is None


def test_an_outlier_among_the_test_rows_changes_no_training_row(tmp_path: Path) -> None:
    data = frame()
    clean = load(as_csv(data, tmp_path), 0.25, seed=7)
    _, test = hold_out(data.label.astype("category").cat.codes.to_numpy(np.int64), 0.25, seed=7)
    data.loc[test[0], "amount"] = 1e300
    data.loc[test[0], "age"] = 10**15
    data.loc[test[0], "job"] = "astronaut"
    planted = load(as_csv(data, tmp_path), 0.25, seed=7)
    assert torch.equal(planted.train_x, clean.train_x)
    assert torch.equal(planted.train_y, clean.train_y)
    assert float(planted.test_x[0, 0]) > 1e12
    assert float(planted.test_x[0, 1]) > 10
    assert planted.test_x[0, 2:].tolist() == [0, 0, 0, 0]  # a word that no training row has
    assert torch.equal(planted.test_x[1:], clean.test_x[1:])
    assert bool(planted.test_x.isfinite().all())


def test_a_test_file_is_scaled_by_the_other_one(tmp_path: Path) -> None:
    data, tested = frame(), frame(40)
    tested["amount"] = 1e9
    alone = tested.drop(columns="bank")
    other = as_parquet(alone, tmp_path).file
    samples = load(as_parquet(data, tmp_path, test_file=other), 0.9, seed=1)
    assert (len(samples.train_y), len(samples.test_y)) == (300, 40)
    logs = np.sign(data.amount) * np.log1p(data.amount.abs())
    expected = (np.log1p(1e9) - logs.mean()) / logs.std(ddof=0)
    assert np.allclose(samples.test_x[:, 1].numpy(), expected, rtol=1e-5)


def test_a_number_is_predicted_as_it_is_or_scaled_by_the_training_rows(tmp_path: Path) -> None:
    keys: dict[str, Any] = {
        "target": "age",
        "predicts": "number",
        "columns": {"job": "category"},
        "others": "drop",
        "client": None,
    }
    plain = load(as_csv(frame(), tmp_path, **keys), 0.25, seed=7)
    scaled = load(as_csv(frame(), tmp_path, scale_target=True, **keys), 0.25, seed=7)
    assert (plain.kind, plain.classes, plain.train_y.dtype) == ("number", 1, torch.float32)
    train, test = hold_out(np.zeros(300, np.int64), 0.25, seed=7)
    ages = frame().age.to_numpy(float)
    assert plain.train_y.tolist() == ages[train].tolist()
    expected = (ages - ages[train].mean()) / ages[train].std()
    assert np.allclose(scaled.train_y.numpy(), expected[train], rtol=1e-5)
    assert np.allclose(scaled.test_y.numpy(), expected[test], rtol=1e-5)


# Which rows are drawn


def test_the_rows_with_the_smallest_keys_are_drawn_in_their_order(tmp_path: Path) -> None:
    data = frame()
    data["age"] = np.arange(300)
    keys: dict[str, Any] = {"target": "age", "predicts": "number", "others": "drop", "client": None}
    keys |= {"columns": {"job": "category"}, "rows": 50, "test_file": None}
    samples = load(as_csv(data, tmp_path, **keys), 0.2, seed=7)
    draws = Stream(7, "data.rows")
    expected = sorted(sorted(range(300), key=lambda row: draws.uniform(0, row))[:50])
    train, test = hold_out(np.zeros(50, np.int64), 0.2, seed=7)
    assert samples.train_y.tolist() == np.array(expected)[train].tolist()
    assert samples.test_y.tolist() == np.array(expected)[test].tolist()


def test_other_seeds_draw_other_rows(tmp_path: Path) -> None:
    dataset = as_csv(frame(), tmp_path, rows=60)
    first, second = load(dataset, 0.25, seed=1), load(dataset, 0.25, seed=2)
    assert not torch.equal(first.train_x, second.train_x)


# Through the file to a peak: how much is held at once.
PEAK = r"""
import re, sys
from pathlib import Path
from flsim.learn.datasets import load
from flsim.scenario.tabular import Csv, Parquet
cls = Csv if sys.argv[1].endswith("csv") else Parquet
keys = dict(target="label", columns={"name": "category"}, others="number", rows=int(sys.argv[2]))
def mib(which):
    return int(re.search(which + r":\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024
before = mib("VmRSS")
samples = load(cls(file=sys.argv[1], **keys), 0.2, 1)
print(len(samples.train_y), mib("VmHWM") - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_memory_is_bounded_by_the_rows_that_are_kept(tmp_path: Path, suffix: str) -> None:
    """Two files, one five times the other: about the same peak, far below the larger one's size."""
    peaks = []
    for copies in (4, 20):
        path = tmp_path / f"{copies}.{suffix}"
        size = _write_large(path, copies)
        done = subprocess.run(
            [sys.executable, "-c", PEAK, str(path), "5000"],
            env=environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        rows, peak = map(int, done.stdout.split())
        assert rows == 4000
        peaks.append(peak)
    assert peaks[1] < size / 2**20  # MiB
    assert peaks[1] < 1.2 * peaks[0] + 16


def _write_large(path: Path, copies: int) -> int:
    """Write `copies` times 100,000 rows of ten columns of noise; return the size in memory."""
    draw = np.random.default_rng(1)
    columns: dict[str, Any] = {f"x{number}": draw.normal(size=100_000) for number in range(9)}
    columns |= {"name": draw.choice(["a", "b"], 100_000), "label": draw.integers(0, 2, 100_000)}
    table = pa.table(columns)
    make = csv.CSVWriter if path.suffix == ".csv" else parquet.ParquetWriter
    with make(path, table.schema) as writer:
        for _ in range(copies):
            writer.write_table(table)
    return int(table.nbytes) * copies


# What is said of a file that is not in order


def said(dataset: Csv | Parquet) -> str:
    with pytest.raises(ScenarioError) as caught:
        load(dataset, 0.25, seed=7)
    return str(caught.value)


def cell(column: str, row: int, value: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(data: pd.DataFrame) -> pd.DataFrame:
        data = data.astype({column: object})
        data.loc[row, column] = value
        return data

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (cell("age", 3, "old"), "line 5, column 'age': 'old' is not a number; accepted: a finite number"),
        (cell("age", 299, "nan"), "line 301, column 'age': 'nan' is not finite"),
        (cell("age", 0, "inf"), "line 2, column 'age': 'inf' is not finite"),
        (cell("age", 7, ""), "line 9, column 'age': nothing is there; accepted: a finite number"),
        (cell("job", 7, ""), "line 9, column 'job': nothing is there; accepted: text, whole numbers"),
        (cell("label", 7, ""), "line 9, column 'label': nothing is there"),
        (cell("bank", 7, ""), "line 9, column 'bank': nothing is there"),
        (
            lambda data: data.rename(columns={"amount": "amont"}),
            "no column 'amount'; it has id, amont, age",
        ),
        (lambda data: data.rename(columns={"amount": "amont"}), "did you mean 'amont'?"),
        (lambda data: data.drop(columns="label"), "no column 'label'; it has id"),
        (lambda data: data.drop(columns="bank"), "no column 'bank'"),
        (lambda data: data.assign(extra=1), "nothing says what the columns extra are; name them in"),
        (lambda data: data.head(0), "has no rows; accepted: one for each sample"),
        (lambda data: data.assign(label="no"), "dataset.target, 'label': 1 classes; accepted: 2 to 1,000"),
        (lambda data: data.assign(label=range(len(data))).loc[[0] * 5 + list(range(300))], "300 classes"),
        (lambda data: data.head(1), "one row is not enough to train and to test"),
        (lambda data: data.assign(age=[*[1] * 299, "1e308"], amount=0), None),
    ],
)
def test_what_is_said_of_a_csv_file(
    tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], message: str | None
) -> None:
    dataset = as_csv(change(frame()), tmp_path)
    if message is None:
        load(dataset, 0.25, seed=7)
    elif message == "300 classes":
        assert load(dataset, 0.25, seed=7).classes == 300
    else:
        assert message in said(dataset)
        assert dataset.file in said(dataset) or "dataset" in said(dataset)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; accepted: a line of column names"),
        ("id,amount,age,job,bank,label\n", "has no rows"),
        (
            "id,amount,age,job,bank,label\n1,2,3,a,b,no\n1,2,3\n",
            "line 3: 3 values, but the first line names 6",
        ),
        ("id;amount;age;job;bank;label\n1;2;3;a;b;no\n", "no column 'label'; it has id;amount;age"),
        ("id,amount,age,age,job,bank,label\n1,2,3,3,a,b,no\n", "the columns age are there more than once"),
        ("id,amount,age,job,bank,label\n1,2,3,a,b,no\n\n", "line 3, column 'amount': nothing is there"),
        (b"id,amount,age,job,bank,label\n1,2,3,\xff\xfe,b,no\n", "is not UTF-8: see its byte 35"),
    ],
)
def test_what_is_said_of_a_text_that_is_no_table(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert message in said(Csv(file=str(path), **KEYS))
    assert str(path) in said(Csv(file=str(path), **KEYS))


def test_another_delimiter(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    frame().to_csv(path, index=False, sep=";")
    assert_same(
        load(Csv(file=str(path), delimiter=";", **KEYS), 0.25, seed=7),
        load(as_csv(frame(), tmp_path), 0.25, seed=7),
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (cell("age", 3, None), "row 4, column 'age': nothing is there"),
        (cell("job", 3, None), "row 4, column 'job': nothing is there"),
        (
            lambda data: data.assign(age=pd.Timestamp(0)),
            "column 'age': a column of the type timestamp",
        ),
        (lambda data: data.assign(age=True), "column 'age': a column of the type bool cannot be used here"),
        (
            lambda data: data.assign(job=1.5),
            "column 'job': a column of the type double cannot be used here",
        ),
        (lambda data: data.assign(amount=[*[1.0] * 299, float("inf")]), "row 300, column 'amount': inf is"),
    ],
)
def test_what_is_said_of_a_parquet_file(
    tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    assert message in said(as_parquet(change(frame()), tmp_path))


def test_what_is_said_of_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    assert f"{path} does not exist" in said(Parquet(file=str(path), **KEYS))
    path.write_text("id,amount\n")
    assert f"{path} cannot be read" in said(Parquet(file=str(path), **KEYS))
    assert f"{tmp_path} is a folder" in said(Csv(file=str(tmp_path), **KEYS))


def test_what_is_said_of_a_test_file(tmp_path: Path) -> None:
    new = frame().assign(label="perhaps")
    other = as_csv(new, tmp_path).file
    message = said(as_csv(frame(), tmp_path, test_file=other))
    assert "has the class 'perhaps', which no row of dataset.file has; accepted: maybe, no, yes" in message
    lacking = as_csv(frame().drop(columns="age"), tmp_path).file
    assert f"{lacking}: no column 'age'" in said(as_csv(frame(), tmp_path, test_file=lacking))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.assign(job=[f"job {row}" for row in range(2000)]), "1,500 categories"),
        (lambda data: data.assign(age=1e200 * np.arange(2000)), "too large to be standardised"),
    ],
)
def test_what_cannot_be_encoded(
    tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    assert message in said(as_csv(change(frame(2000)), tmp_path))


def test_a_constant_column_is_zeros(tmp_path: Path) -> None:
    samples = load(as_csv(frame().assign(age=33), tmp_path), 0.25, seed=7)
    assert samples.train_x[:, 0].tolist() == [0.0] * len(samples.train_x)


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"target": "age"}, "columns.age: the column is the target already"),
        ({"client": "job"}, "columns.job: the column is the client already"),
        ({"client": "label"}, "the target's column cannot say whose a row is as well"),
        ({"scale_target": True}, "only a number can be scaled"),
        ({"columns": {"age": "numeric"}}, "must be 'number', 'log', 'category' or 'drop'"),
        ({"delimiter": "ab"}, "delimiter"),
    ],
)
def test_keys_that_do_not_go_together(keys: dict[str, Any], why: str) -> None:
    data = scenario_data(2, {"kind": "sync", "cohort": 2})
    data["workload"]["data"]["dataset"] = {"kind": "csv", "file": "rows.csv"} | KEYS | keys
    assert why in refusal(data)


@dataclass(frozen=True)
class Rows:
    """A source of so many rows, that come in batches of these sizes."""

    sizes: tuple[int, ...]
    name: str = "rows"

    def names(self) -> list[str]:
        return ["number", "word"]

    def batches(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        first = 0
        for size in self.sizes:
            numbers = np.arange(first, first + size, dtype=float)
            words = [f"w{number:.0f}" for number in numbers]
            yield pa.RecordBatch.from_pydict({"number": numbers, "word": pa.array(words, pa.string())})
            first += size

    def place(self, row: int) -> str:
        return f"row {row}"


@settings(max_examples=60)
@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=30).filter(any),
    st.integers(1, 60),
    st.integers(0, 2**63 - 1),
)
def test_the_draw_is_the_same_in_batches_of_any_size(sizes: list[int], limit: int, seed: int) -> None:
    """Those with the smallest keys of all, in their order, and their words with them."""
    count = sum(sizes)
    draws = Stream(seed, "data.rows")
    expected = sorted(sorted(range(count), key=lambda row: draws.uniform(0, row))[:limit])
    drawn = read_rows(Rows(tuple(sizes)), ["number"], ["word"], limit, seed)
    assert drawn.count == min(limit, count)
    assert drawn.numbers["number"].tolist() == expected
    words = drawn.words["word"]
    assert [words.words[code] for code in words.codes] == [f"w{row}" for row in expected]
    assert len(words.words) == len(expected)
