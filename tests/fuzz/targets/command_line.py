"""What stands on a command line: changes of keys, what is varied, seeds."""

import os
from pathlib import Path

from flsim.errors import FlsimError
from flsim.scenario import read_scenario
from flsim.sweeping.grid import grid_of, seeds_of, variations
from flsim.sweeping.space import space_of
from tests.fuzz.target import CORPUS, Target

_SMALL: Path = CORPUS / "scenario" / "small.yaml"


def override(content: bytes) -> None:
    """The same words for `--set`, `--vary` and `--seeds`: each of them may refuse."""
    word = os.fsdecode(content)
    for read in (_grid, space_of, lambda words: seeds_of(words[0])):
        try:
            read([word])
        except FlsimError:
            continue
    read_scenario(_SMALL, [word])


def _grid(words: list[str]) -> None:
    variations([grid_of(words)])


TARGETS = (Target("override", override),)
