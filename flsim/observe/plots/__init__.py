"""The pictures of a run: each is a function of its tables, and has a name.

A figure is matplotlib's. A picture that would be empty is None: without training there is no accuracy and
no loss. matplotlib is imported when the first figure is made.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from flsim.observe.canvas import save
from flsim.observe.plots.client_map import figure_client_accuracy_map
from flsim.observe.plots.communication import figure_communication
from flsim.observe.plots.convergence import figure_convergence
from flsim.observe.plots.curves import figure_accuracy, figure_attack_success, figure_loss
from flsim.observe.plots.fleet import figure_fleet
from flsim.observe.plots.gantt import figure_timeline
from flsim.observe.plots.metrics import figure_metrics
from flsim.observe.plots.participation import figure_participation
from flsim.observe.plots.progress import figure_client_reports
from flsim.observe.plots.reconstructions import figure_leakage
from flsim.observe.plots.spread import figure_client_accuracy
from flsim.observe.plots.staleness import figure_staleness
from flsim.observe.plots.utilisation import figure_utilisation
from flsim.observe.tables import Tables

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PICTURES", "write_plots"]

Picture = Callable[[Tables], "Figure | None"]

PICTURES: Mapping[str, Picture] = MappingProxyType(
    {
        "accuracy": figure_accuracy,
        "loss": figure_loss,
        "convergence": figure_convergence,
        "attack_success": figure_attack_success,
        "communication": figure_communication,
        "participation": figure_participation,
        "timeline": figure_timeline,
        "utilisation": figure_utilisation,
        "staleness": figure_staleness,
        "fleet": figure_fleet,
        "client_accuracy": figure_client_accuracy,
        "client_accuracy_map": figure_client_accuracy_map,
        "client_reports": figure_client_reports,
        "leakage": figure_leakage,
        "metrics": figure_metrics,
    }
)


def write_plots(
    folder: Path, tables: Tables, formats: Sequence[str] = ("png",), only: Collection[str] | None = None
) -> list[Path]:
    """Write the pictures that are not empty into `folder`, each in every format, and return the files.

    `only`: names of pictures, in any order; None for all. Raises RunError if a file cannot be written.
    """
    written = []
    for name, picture in PICTURES.items():
        if (only is None or name in only) and (figure := picture(tables)) is not None:
            written += [save(figure, folder / f"{name}.{form}") for form in formats]
    return written
