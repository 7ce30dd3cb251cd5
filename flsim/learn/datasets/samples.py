"""`Samples`, and `load`, which every source of samples implements."""

from dataclasses import dataclass
from functools import singledispatch

from torch import Tensor

from flsim.errors import ScenarioError
from flsim.scenario.data import Dataset


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """A dataset in memory, scaled with what its training rows alone say.

    train_x, test_x: [n, *features] float32. train_y, test_y: [n] int64 in 0..classes - 1.
    """

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor
    classes: int

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return tuple(self.train_x.shape[1:])


@singledispatch
def load(dataset: Dataset, test_share: float, seed: int) -> Samples:
    """Return the samples of a dataset.

    `test_share`, between 0 and 1, is held out where the source has no test set of its own; `seed`
    decides which samples those are. The same arguments give the same bytes in every process. Raises
    ScenarioError if the samples cannot be had, or if no loader is registered for the kind.
    """
    raise ScenarioError(
        f"dataset {dataset.kind}: no loader is registered for {type(dataset).__name__}; "
        "register a function with flsim.learn.datasets.load.register"
    )
