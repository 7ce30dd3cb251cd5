"""Sweeps: many runs of one scenario, and how they compare."""

from flsim.sweeping.compared import compared
from flsim.sweeping.grid import Grid, Variation, grid_of, heatmap_keys, literal, read_grids, variations
from flsim.sweeping.runs import Outcome, sweep

__all__ = [
    "Grid",
    "Outcome",
    "Variation",
    "compared",
    "grid_of",
    "heatmap_keys",
    "literal",
    "read_grids",
    "sweep",
    "variations",
]
