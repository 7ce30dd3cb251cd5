"""Sweeps and searches: many runs of one scenario, how they compare, and which is best."""

from flsim.sweep.compared import compared
from flsim.sweep.grid import (
    Grid,
    Variation,
    grid_of,
    heatmap_keys,
    literal,
    read_grids,
    seeds_of,
    variations,
)
from flsim.sweep.objective import OBJECTIVES, Objective, objective_of
from flsim.sweep.runs import Outcome, sweep
from flsim.sweep.search import Found, Plan, Trial, search
from flsim.sweep.space import Choice, Range, Space, read_space, space_of

__all__ = [
    "OBJECTIVES",
    "Choice",
    "Found",
    "Grid",
    "Objective",
    "Outcome",
    "Plan",
    "Range",
    "Space",
    "Trial",
    "Variation",
    "compared",
    "grid_of",
    "heatmap_keys",
    "literal",
    "objective_of",
    "read_grids",
    "read_space",
    "search",
    "seeds_of",
    "space_of",
    "sweep",
    "variations",
]
