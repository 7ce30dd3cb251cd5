"""Sweeps and searches: many runs of one scenario, how they compare, and which is best."""

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
    seeds_of,
    variations,
)
from flsim.sweeping.objective import OBJECTIVES, Objective, objective_of
from flsim.sweeping.runs import Outcome, Watch, sweep, unwatched
from flsim.sweeping.search import Found, Plan, Trial, search
from flsim.sweeping.space import Choice, Range, Space, read_space, space_of

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
    "Sweep",
    "Trial",
    "Variation",
    "Watch",
    "compared",
    "grid_from",
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
    "unwatched",
    "variations",
]
