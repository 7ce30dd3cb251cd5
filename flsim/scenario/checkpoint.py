"""`checkpoint`: how often a run is saved, so that one that was killed goes on from there."""

from typing import Annotated, Literal

from pydantic import Field

from flsim.component import Section


class Checkpoint(Section):
    """A checkpoint after every so many server updates. It makes no difference to the run.

    `every`: after how many server updates. `keep`: the last so many files, only the `last`, or `all` of
    them. `best`: the model of the version with the best accuracy is written at the end, too.
    """

    every: Annotated[int, Field(ge=1)]
    keep: Annotated[int, Field(ge=1)] | Literal["last", "all"] = 2
    best: bool = False

    @property
    def kept(self) -> int | None:
        """How many files are kept; None for all."""
        if isinstance(self.keep, int):
            return self.keep
        return 1 if self.keep == "last" else None
