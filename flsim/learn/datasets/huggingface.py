"""Tables that Hugging Face's package datasets reads: local ones, and the hub's where a scenario says so.

What save_to_disk writes is Arrow and JSON, so nothing that is read here can run. A dataset on the hub that
needs code of its own is refused by the package itself, and is never trusted here.
"""

import io
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet
from numpy.typing import NDArray

from flsim.errors import ScenarioError
from flsim.learn.datasets.arrays import samples_of
from flsim.learn.datasets.holdout import hold_out
from flsim.learn.datasets.samples import Samples, load
from flsim.scenario.own_data import HuggingFace
from flsim.untrusted import content_of, json_of, most_rows, most_unpacked, read_json


def _of_json(path: str) -> pa.Table:
    """Return the rows of a JSON file, one on each line. pyarrow's own reader crashes on some of them."""
    rows = [json_of(line) for line in content_of(Path(path)).splitlines() if line.strip()]
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("a line is not a mapping of columns to values")
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: [row.get(name) for row in rows] for name in names})


def _of_parquet(path: str) -> pa.Table:
    """Return the rows of a Parquet file, unless they are more than a file of its size has to say."""
    size = Path(path).stat().st_size
    with pa_parquet.ParquetFile(path) as file:
        facts = file.metadata
        unpacked = sum(facts.row_group(place).total_byte_size for place in range(facts.num_row_groups))
        if facts.num_rows > most_rows(size) or not 0 <= unpacked <= most_unpacked(size):
            raise ValueError(f"{facts.num_rows:,} rows of {unpacked:,} bytes packed into {size:,}")
        return file.read()


_READERS: dict[str, Callable[[str], pa.Table]] = {
    ".csv": pa_csv.read_csv,
    ".json": _of_json,  # a row on each line
    ".jsonl": _of_json,
    ".parquet": _of_parquet,
}


@load.register
def load_huggingface(dataset: HuggingFace, test_share: float, seed: int) -> Samples:
    """Return the samples of a table's columns, standardised with the training rows. See `load`."""
    package = _import()
    found = _local(package, Path(dataset.path)) if dataset.path else _from_hub(package, dataset)
    if isinstance(found, package.DatasetDict):
        if dataset.train not in found:
            raise _refusal(f"there is no split {dataset.train}; splits: {', '.join(found)}")
        train, test = found[dataset.train], found.get(dataset.test)
    else:
        train, test = found, None
    names = sorted({str(label) for part in (train, test) if part for label in _column(part, dataset.label)})
    if test is None:
        labels = _labels(train, dataset.label, names)
        if len(labels) < 2:
            raise _refusal(f"has {len(labels)} rows; it takes two, one to train on and one to test")
        kept, tested = hold_out(labels, test_share, seed)
        train, test = train.select(kept), train.select(tested)
    arrays: dict[str, object] = {
        "train_y": _labels(train, dataset.label, names),
        "test_y": _labels(test, dataset.label, names),
    }
    if dataset.owner is not None:
        arrays["owners"] = np.array([str(owner) for owner in _column(train, dataset.owner)])
    x, test_x = (_inputs(part, dataset.inputs) for part in (train, test))
    axes = (0,) if x.ndim == 2 else (0, 2, 3)  # by column, or by channel
    with np.errstate(over="ignore", invalid="ignore"):
        mean, deviation = x.mean(axis=axes, keepdims=True), x.std(axis=axes, keepdims=True)
        deviation[deviation == 0] = 1.0
        arrays |= {"train_x": (x - mean) / deviation, "test_x": (test_x - mean) / deviation}
    return samples_of(arrays, "huggingface", test_share, seed)


def _import() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise _refusal("needs the package datasets: pip install 'flsim-des[huggingface]'") from error
    return datasets


def _refusal(why: str) -> ScenarioError:
    return ScenarioError(f"dataset huggingface: {why}")


def _local(package: Any, path: Path) -> Any:
    try:
        with redirect_stderr(io.StringIO()):  # progress bars
            if path.is_dir():
                _check_inside(path)
                found = package.load_from_disk(str(path), keep_in_memory=True)
                for part in found.values() if isinstance(found, package.DatasetDict) else (found,):
                    part.data.validate(full=True)  # offsets and codes, which Arrow takes as they are
                return found
            reader = _READERS.get(path.suffix.lower())
            if not path.is_file() or reader is None:
                raise _refusal(
                    f"{path} is neither a folder that save_to_disk wrote nor a {', '.join(_READERS)} file; "
                    "put one there, or give name with download: true where there is a network"
                )
            return package.Dataset(reader(str(path)))
    except ScenarioError:
        raise
    except Exception as error:  # the package raises errors of many packages
        raise _refusal(f"{path} cannot be read: {_first_line(error)}") from error


def _check_inside(folder: Path) -> None:
    """Refuse a folder whose tables are said to be elsewhere."""
    for state in folder.rglob("state.json"):
        for file in read_json(state)["_data_files"]:
            if Path(file["filename"]).name != file["filename"]:
                raise _refusal(f"{state} names a file outside its folder: {file['filename']}")


def _from_hub(package: Any, dataset: HuggingFace) -> Any:
    try:
        with redirect_stderr(io.StringIO()):
            return package.load_dataset(dataset.name, dataset.config, revision=dataset.revision)
    except Exception as error:  # of the network, the hub, and the package
        raise _refusal(
            f"{dataset.name} could not be downloaded ({_first_line(error)}); without a network, give the "
            "path of a folder that save_to_disk wrote"
        ) from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def _column(table: Any, name: str) -> list[Any]:
    if name not in table.column_names:
        raise _refusal(f"there is no column {name}; columns: {', '.join(table.column_names)}")
    try:
        values = list(table[name])
    except Exception as error:  # of what the package or pyarrow makes of tables that do not hold together
        raise _refusal(f"the column {name} cannot be read: {_first_line(error)}") from error
    if any(value is None for value in values):
        raise _refusal(f"the column {name} has rows without a value")
    return values


def _labels(table: Any, name: str, names: list[str]) -> NDArray[np.int64]:
    """Return the class of each row: whole numbers as they are, other values in the order of their names."""
    values = _column(table, name)
    if all(type(value) is int for value in values):
        return np.array(values, np.int64)
    if any(isinstance(value, float) for value in values):
        raise _refusal(f"the column {name} has fractions; a label is a whole number or a name")
    numbers = {value: number for number, value in enumerate(names)}
    return np.array([numbers[str(value)] for value in values], np.int64)


def _inputs(table: Any, names: tuple[str, ...]) -> NDArray[np.float64]:
    """Return the inputs: numbers [rows, ...] of all columns together, or images [rows, channels, h, w]."""
    columns = [_column(table, name) for name in names]
    if not columns[0]:
        raise _refusal("a split has no rows")
    try:
        arrays = [np.stack([np.asarray(value) for value in column]) for column in columns]
        if len(arrays) == 1 and arrays[0].ndim >= 3:
            return _images(arrays[0])
        flat = [np.asarray(array, np.float64).reshape(len(array), -1) for array in arrays]
        return np.concatenate(flat, axis=1)
    except (ValueError, TypeError) as error:
        raise _refusal(
            f"the columns {', '.join(names)} are not numbers, lists of one length or images of one size: "
            f"{_first_line(error)}"
        ) from error


def _images(array: NDArray[Any]) -> NDArray[np.float64]:
    pixels = np.asarray(array, np.float64)
    if pixels.ndim == 3:
        return pixels[:, np.newaxis]
    return np.moveaxis(pixels, -1, 1)
