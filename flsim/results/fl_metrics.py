"""What a run learned and sent, version by version: metrics.json as arrays."""

import math
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from flsim.errors import RunError
from flsim.observe.comparison import is_metrics_row
from flsim.observe.frames import frame_of
from flsim.untrusted import read_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

Reals = NDArray[np.float64]
Counts = NDArray[np.int64]
Over = Literal["time", "rounds", "bytes"]

FILE = "metrics.json"
_NEEDED = frozenset(
    {"version", "time_s", "accuracy", "loss", "bytes_up_cumulative", "bytes_down_cumulative"}
)


class Evaluation(NamedTuple):
    """A version that was tested: its number, its virtual second, all bytes by then, and what came out."""

    round: int
    time_s: float
    bytes: int
    accuracy: float | None
    loss: float | None


class FLMetrics:
    """The metrics of a run's versions, from the initial model on, in their order.

    Arrays have one value per version, [versions]; a NaN stands where a version was not tested. What
    metrics.json has besides, is in `rows` and in `to_frame()`.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]], name: str = "") -> None:
        self.rows = tuple(rows)
        self.name = name

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Return the metrics in a metrics.json, or in the folder of a run. Raises RunError."""
        given = Path(path).expanduser()
        file = given / FILE if given.is_dir() else given
        try:
            rows = read_json(file)["versions"]
            if not isinstance(rows, list) or not all(is_metrics_row(row) for row in rows):
                raise ValueError("its versions lack what those of a run have")
        except FileNotFoundError as error:
            raise RunError(f"{file} is missing; is {file.parent} the folder of a run?") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"{file}: not the metrics of a run: {error}") from error
        return cls(rows, file.absolute().parent.name)

    @cached_property
    def rounds(self) -> Counts:
        """The numbers of the versions; 0 is the initial model."""
        return np.array([row["version"] for row in self.rows], np.int64)

    @cached_property
    def times(self) -> Reals:
        """The virtual seconds at which the versions were made."""
        return self._reals("time_s")

    @cached_property
    def accuracy(self) -> Reals:
        """The accuracies of the central test."""
        return self._reals("accuracy")

    @cached_property
    def loss(self) -> Reals:
        """The losses of the central test."""
        return self._reals("loss")

    @cached_property
    def bytes_up(self) -> Counts:
        """The bytes that clients had sent up by then, cumulative."""
        return np.array([row["bytes_up_cumulative"] for row in self.rows], np.int64)

    @cached_property
    def bytes_down(self) -> Counts:
        """The bytes that clients had taken down by then, cumulative."""
        return np.array([row["bytes_down_cumulative"] for row in self.rows], np.int64)

    @property
    def bytes(self) -> Counts:
        """The bytes both ways by then, cumulative."""
        return self.bytes_up + self.bytes_down

    @property
    def evaluations(self) -> list[Evaluation]:
        """The versions that were tested."""
        tested = [row["accuracy"] is not None or row["loss"] is not None for row in self.rows]
        return [self._evaluation(place) for place in np.flatnonzero(tested).tolist()]

    @property
    def final(self) -> Evaluation | None:
        """The last version that was tested; None if none was."""
        return self.evaluations[-1] if self.evaluations else None

    @property
    def best(self) -> Evaluation | None:
        """The most accurate version or, where there is no accuracy, the one with the least loss.

        The earliest of equals; None if none was tested.
        """
        if np.isfinite(self.accuracy).any():
            return self._evaluation(int(np.nanargmax(self.accuracy)))
        return self._evaluation(int(np.nanargmin(self.loss))) if np.isfinite(self.loss).any() else None

    def first(self, accuracy: float) -> Evaluation | None:
        """Return the first version that is at least so accurate; None if none was."""
        places = np.flatnonzero(self.accuracy >= accuracy)  # NaN is not
        return self._evaluation(int(places[0])) if len(places) else None

    def rounds_to(self, accuracy: float) -> int | None:
        """Return how many server updates it took to reach an accuracy; None if it was not reached."""
        return None if (at := self.first(accuracy)) is None else at.round

    def time_to(self, accuracy: float) -> float | None:
        """Return how many virtual seconds it took to reach an accuracy; None if it was not reached."""
        return None if (at := self.first(accuracy)) is None else at.time_s

    def bytes_to(self, accuracy: float) -> int | None:
        """Return how many bytes, both ways, it took to reach an accuracy; None if it was not reached."""
        return None if (at := self.first(accuracy)) is None else at.bytes

    def to_frame(self) -> "DataFrame":
        """Return a DataFrame of all of metrics.json: a row per version, sections as `metadata.losses`."""
        frame = frame_of([_flat(row) for row in self.rows])
        # Of sections that some versions have, and others have null instead, only the keys are kept.
        prefixes = {name.partition(".")[0] for name in frame.columns if "." in name}
        return frame.drop(columns=[name for name in frame.columns if name in prefixes])

    def plot_convergence(
        self, over: Over = "time", save_to: str | os.PathLike[str] | None = None
    ) -> "Figure":
        """Draw accuracy and loss over virtual time, rounds, or bytes; return the Figure.

        `save_to`: a file to write it into, too, such as figure.pdf. Raises RunError if nothing was tested.
        """
        from flsim.results.convergence import draw_convergence

        return draw_convergence(self, over, None if save_to is None else Path(save_to).expanduser())

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        if (best := self.best) is None:
            return f"<FLMetrics {self.name}: {len(self)} versions, not tested>"
        good = f"loss {best.loss:.4g}" if best.accuracy is None else f"accuracy {best.accuracy:.4f}"
        return f"<FLMetrics {self.name}: {len(self)} versions, best {good} in round {best.round}>"

    def _evaluation(self, place: int) -> Evaluation:
        row, sent = self.rows[place], int(self.bytes[place])
        return Evaluation(row["version"], row["time_s"], sent, row["accuracy"], row["loss"])

    def _reals(self, key: str) -> Reals:
        return np.array([math.nan if row[key] is None else row[key] for row in self.rows], np.float64)


def _flat(row: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return the row with the keys of its sections behind a dot.

    >>> _flat({"version": 1, "metadata": {"losses": [2.0, 1.0]}})
    {'version': 1, 'metadata.losses': [2.0, 1.0]}
    """
    flat: dict[str, Any] = {}
    for key, value in row.items():
        flat |= _flat(value, f"{above}{key}.") if isinstance(value, Mapping) else {above + key: value}
    return flat
