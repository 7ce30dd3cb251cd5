"""Tables of the records as DataFrames: the same values, in types that do not depend on them."""

import math
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flsim.errors import RunError
from flsim.observe.comparison import Comparison, Estimate, MethodRow
from flsim.observe.frames import frame, frame_of
from flsim.records import Outcome
from tests.unit.recorded import Run, synchronous_run, tables_of


def test_values_are_those_of_the_table(tmp_path: Path) -> None:
    tables = tables_of(tmp_path, synchronous_run())
    for table in (tables.tasks, tables.versions, tables.clients):
        got = frame(table)
        assert list(got.columns) == table.column_names
        for name in table.column_names:
            values = [None if pd.isna(value) else value for value in got[name]]
            assert values == table[name].to_pylist(), name


def test_types_do_not_depend_on_the_rows(tmp_path: Path) -> None:
    full, empty = synchronous_run(), Run([], [], [])
    some, none = (tables_of(tmp_path / name, run) for name, run in (("full", full), ("empty", empty)))
    for one, other in ((some.tasks, none.tasks), (some.versions, none.versions)):
        assert frame(one).dtypes.to_dict() == frame(other).dtypes.to_dict()
    types = frame(none.tasks).dtypes
    assert types["staleness"] == types["aggregated_version"] == pd.Int64Dtype()
    assert types["task"] == types["bytes_up"] == np.int64
    assert types["train_end_s"] == types["train_loss"] == np.float64


def test_outcomes_are_a_categorical_of_all_of_them(tmp_path: Path) -> None:
    tasks = frame(tables_of(tmp_path, synchronous_run()).tasks)
    assert list(tasks["outcome"].cat.categories) == [outcome.value for outcome in Outcome]
    both = pd.concat([tasks, tasks.iloc[:3]])
    assert both["outcome"].dtype == tasks["outcome"].dtype
    assert tasks["outcome"].value_counts()["lost"] == sum(
        word == "lost" for word in tasks["outcome"].tolist()
    )


def test_a_column_of_plain_data_without_a_value_is_of_nan() -> None:
    got = frame_of([{"a": None, "b": "x"}, {"a": None, "b": None}])
    assert got["a"].dtype == np.float64
    assert all(math.isnan(value) for value in got["a"])
    assert got["b"][0] == "x"


def test_without_pandas_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(RunError, match=r"needs the package pandas: pip install 'flsim-des\[pandas\]'"):
        frame_of([])


def test_a_comparison_has_columns_for_the_ends_of_its_intervals() -> None:
    time_s, gain = Estimate(2.0, 1.0, 4.0, 3), Estimate(0.5, None, None, 1)
    row = MethodRow("sync", 3, 3, time_s, None, None, None, None, gain)
    got = Comparison(0.9, (row,)).to_frame().iloc[0]
    assert [got[name] for name in ("method", "runs", "reached", "target")] == ["sync", 3, 3, 0.9]
    assert [got[name] for name in ("time_s", "time_s_low", "time_s_high")] == [2.0, 1.0, 4.0]
    assert got["accuracy_gain"] == 0.5
    assert all(math.isnan(got[name]) for name in ("accuracy_gain_low", "accuracy_gain_high", "updates"))
