"""Tables of the records as DataFrames of pandas (extra `pandas`)."""

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from flsim.errors import RunError
from flsim.records import Outcome

if TYPE_CHECKING:
    from pandas import DataFrame, Series

_OUTCOMES = [outcome.value for outcome in Outcome]


def import_pandas() -> ModuleType:
    """Return pandas. Raises RunError, which says how to install it, if it is not there."""
    try:
        import pandas
    except ImportError as error:
        raise RunError("a DataFrame needs the package pandas: pip install 'flsim-des[pandas]'") from error
    return pandas


def frame(table: pa.Table) -> "DataFrame":
    """Return the table as a DataFrame whose types do not depend on its rows.

    Whole numbers and truth values that may be missing are of pandas' nullable types, a missing real number
    is NaN, and the outcomes of tasks are a categorical of all of them, so that runs can be put together.
    """
    pandas = import_pandas()
    columns = {field.name: _column(pandas, field, table[field.name]) for field in table.schema}
    result: DataFrame = pandas.DataFrame(columns)
    return result


def frame_of(rows: Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Any]]) -> "DataFrame":
    """Return rows, or columns, of plain data as a DataFrame. A column without any value is of NaN."""
    result: DataFrame = import_pandas().DataFrame(rows)
    return result.astype({name: "float64" for name in result if result[name].isna().all()})


def _column(pandas: ModuleType, field: pa.Field, column: pa.ChunkedArray) -> "Series":
    nullable = {pa.int64(): pandas.Int64Dtype(), pa.bool_(): pandas.BooleanDtype()}
    series: Series = column.to_pandas(types_mapper=nullable.get if field.nullable else None)
    if field.name == "outcome" and set(series) <= set(_OUTCOMES):
        return series.astype(pandas.CategoricalDtype(_OUTCOMES))
    if pa.types.is_string(field.type):  # a column without any would be of no type
        return series.astype(pandas.Series(["text"]).dtype)
    return series
