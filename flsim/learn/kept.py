"""Models of earlier versions: those that a checkpoint of the run remembers."""

from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from flsim.errors import RunError
from flsim.learn.state import read_state
from flsim.learn.weights import Shapes


class Kept(NamedTuple):
    """A version's model: its hash, as in the table of versions, and the entries of its module's state."""

    sha256: str
    entries: dict[str, Tensor]


def models_in(checkpoint: Path) -> dict[int, Kept]:
    """Return the models that a checkpoint has, by version, in order.

    They are the version that it was taken of, those that tasks under way had started from, and the one with
    the best test so far if the scenario has these kept. Raises RunError if the file is no checkpoint.
    """
    state = read_state(checkpoint)
    try:
        return dict(sorted(_models(state).items()))
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise RunError(f"{checkpoint} is not the state of a run: {error}") from error


def _models(state: Any) -> dict[int, Kept]:
    module = state["module"]
    shapes = Shapes({name: tuple(shape) for name, shape in module["shapes"].items()})
    weights = {version: flat for version, (flat, _) in state["versions"].items()}
    if (best := state["best"]) is not None and best["score"] is not None:
        weights[-best["score"][1]] = best["weights"]
    return {
        version: Kept(shapes.sha256(flat), shapes.views(flat) | module["entries"])
        for version, flat in weights.items()
    }
