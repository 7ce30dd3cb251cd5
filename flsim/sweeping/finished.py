"""A finished sweep, to be looked at from a program."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flsim.observe.frames import frame_of
from flsim.results import Run
from flsim.sweeping.runs import Outcome

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, eq=False, repr=False)
class Sweep:
    """The folder of all runs, and what became of each, in the order of the grid."""

    folder: Path
    outcomes: Sequence[Outcome]

    @property
    def runs(self) -> list[Run]:
        """The runs that came to their end."""
        return [
            Run(self.folder / outcome.variation.name, dict(outcome.summary))
            for outcome in self.outcomes
            if outcome.error is None
        ]

    @property
    def errors(self) -> dict[str, str]:
        """What went wrong with the others, by their names."""
        return {
            outcome.variation.name: outcome.error for outcome in self.outcomes if outcome.error is not None
        }

    def to_frame(self) -> "DataFrame":
        """Return a DataFrame with a row for each run, as sweep.csv has it."""
        return frame_of([outcome.row for outcome in self.outcomes])

    def __repr__(self) -> str:
        failed = f", {len(self.errors)} failed" if self.errors else ""
        return f"<Sweep of {len(self.outcomes)} runs{failed}, in {self.folder}>"

    def _repr_html_(self) -> str:
        frame = self.to_frame()
        return str(frame.drop(columns=[name for name in frame if frame[name].isna().all()]).to_html())
