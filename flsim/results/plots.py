"""The pictures of a run, by their names: `run.plot.accuracy()`."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from flsim.errors import RunError, nearest
from flsim.observe.plots import PICTURES
from flsim.observe.tables import Tables

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NO_TASKS = "no client was asked for anything"
_UNTRAINED = "nothing was trained or tested"
_WHY_NOT = {
    "accuracy": f"{_UNTRAINED}, or what is learned has no accuracy",
    "loss": _UNTRAINED,
    "convergence": _UNTRAINED,
    "attack_success": "there was no backdoor",
    "communication": _NO_TASKS,
    "participation": _NO_TASKS,
    "timeline": _NO_TASKS,
    "utilisation": _NO_TASKS,
    "staleness": "no update was stale",
    "client_accuracy": "the clients were not tested (evaluation.clients)",
    "client_accuracy_map": "the clients were not tested (evaluation.clients)",
    "client_reports": "nothing was trained",
    "leakage": "no image was reconstructed (leakage)",
    "metrics": "no metrics were asked for (evaluation.metrics)",
}


class Plots:
    """Draws a run's pictures. Each is a method that returns matplotlib's Figure, which a notebook shows."""

    def __init__(self, tables: Callable[[], Tables]) -> None:
        self._tables = tables

    def __call__(self, name: str) -> "Figure":
        """Return the picture of this name. Raises RunError if there is none, or it would be empty."""
        if name not in PICTURES:
            raise RunError(f"no picture '{name}'; pictures: {', '.join(PICTURES)}{nearest(name, PICTURES)}")
        figure = PICTURES[name](self._tables())
        if figure is None:
            raise RunError(f"no picture '{name}' of this run: {_WHY_NOT.get(name, 'it would be empty')}")
        return figure

    def __getattr__(self, name: str) -> Callable[[], "Figure"]:
        if name not in PICTURES:
            hint = nearest(name, PICTURES)
            raise AttributeError(f"no picture '{name}'; pictures: {', '.join(PICTURES)}{hint}")
        return lambda: self(name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *PICTURES]

    def __repr__(self) -> str:
        return f"<pictures: {', '.join(PICTURES)}>"
