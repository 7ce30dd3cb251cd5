"""Datasets of rows and columns: `csv`, `parquet` and `paysim`."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from flsim.component import misfit
from flsim.errors import nearest
from flsim.scenario.dataset import Dataset
from flsim.scenario.files import FilePath

ColumnName = Annotated[str, Field(min_length=1, max_length=256)]
Part = Literal["number", "log", "category", "drop"]
"""What becomes of a column: a number, its logarithm (sign(x) log(1 + |x|)), one of some words, nothing."""


class Tabular(Dataset):
    """A file with a row for each sample.

    `target` is the column to be predicted: its `classes`, or a `number`, which with `scale_target` is
    counted in the training rows' deviations from their mean. `columns` says what part the others have, and
    `others` what part those have that are not named; without it, all are to be named. `client` names the
    column that says whose a row is. Of many rows, `rows` are drawn. Without a `test_file`, the test rows
    are held out.

    `file`: its path. `predicts`: whether the target is a class or a number.
    """

    file: FilePath
    target: ColumnName
    predicts: Literal["classes", "number"] = "classes"
    scale_target: bool = False
    columns: dict[ColumnName, Part] = Field(default_factory=dict)
    others: Part | None = None
    client: ColumnName | None = None
    rows: Annotated[int, Field(ge=2)] | None = None
    test_file: FilePath | None = None

    @model_validator(mode="after")
    def _columns_have_one_part(self) -> Self:
        if self.client == self.target:
            raise misfit(("client",), self.client, "the target's column cannot say whose a row is as well")
        for key, name in (("target", self.target), ("client", self.client)):
            if name in self.columns:
                raise misfit(("columns", name), self.columns[name], f"the column is the {key} already")
        if self.scale_target and self.predicts != "number":
            raise misfit(("scale_target",), True, "only a number can be scaled: it needs predicts: number")
        return self

    def parts(self, names: Sequence[str]) -> dict[str, Part]:
        """Return what part each of a file's columns has, but for the target and the client, by name.

        Raises ValueError, which says why, if these columns are not those that the dataset speaks of.
        """
        spoken_of = [self.target, *([] if self.client is None else [self.client]), *self.columns]
        for name in spoken_of:
            if name not in names:
                raise ValueError(f"no column '{name}'; it has {_listed(names)}{nearest(name, names)}")
        silent = [name for name in names if name not in spoken_of]
        if silent and self.others is None:
            raise ValueError(
                f"nothing says what the columns {_listed(silent)} are; name them in dataset.columns, or "
                "set dataset.others (accepted: number, log, category, drop)"
            )
        rest: Part = self.others or "drop"
        return {name: self.columns.get(name, rest) for name in [*self.columns, *silent]}


class Csv(Tabular):
    """Rows of a CSV file, numbers standardised and categories one-hot by the training rows.

    The first line has the columns' names.

    `delimiter`: what stands between values.
    """

    kind: Literal["csv"] = "csv"
    delimiter: Annotated[str, Field(pattern=r"^[^\n\r\"]$")] = ","


class Parquet(Tabular):
    """Rows of a Parquet file, numbers standardised and categories one-hot by the training rows."""

    kind: Literal["parquet"] = "parquet"


class PaySim(Dataset):
    """Payments, 0.13 % of them fraud: PaySim's published file, or rows made up in its likeness.

    Without a `file`, `rows` (50,000) are made up from the scenario's seed; of a file, `rows` are drawn (by
    default all are taken). It has no banks, so `split` says whose a row is (for the partition `natural`):
    with `regions`, an account's bank is drawn, US or EU; with `fraud_types` too, but all fraud by transfer
    is one bank's and all fraud by cash-out the other's. Lopez-Rojas et al., EMSS 2016.
    """

    kind: Literal["paysim"] = "paysim"
    file: FilePath | None = None
    rows: Annotated[int, Field(ge=2000)] | None = None
    split: Literal["regions", "fraud_types", "none"] = "regions"


def _listed(names: Sequence[str]) -> str:
    """Return names in a row, the first twenty of many."""
    return ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
