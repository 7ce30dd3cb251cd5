"""Sweeps: many runs of one scenario, and how they compare."""

from flsim.sweeping.compared import compared
from flsim.sweeping.finished import Sweep
from flsim.sweeping.grid import (
    Grid,
    Variation,
    grid_from,
    grid_of,
    heatmap_keys,
    literal,
    read_grids,
    variations,
)
from flsim.sweeping.runs import Outcome, Watch, sweep, unwatched

__all__ = [
    "Grid",
    "Outcome",
    "Sweep",
    "Variation",
    "Watch",
    "compared",
    "grid_from",
    "grid_of",
    "heatmap_keys",
    "literal",
    "read_grids",
    "sweep",
    "unwatched",
    "variations",
]
