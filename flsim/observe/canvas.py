"""What all plots share: the palette, paper-sized figures, and axes of virtual time.

Figures are made without pyplot, so drawing leaves no state behind and needs no display. matplotlib is
imported when the first figure is: a run without plots does not wait for it.
"""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flsim.errors import RunError
from flsim.observe.files import write_bytes
from flsim.records import Outcome
from flsim.units import TIME

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito, "Color Universal Design", 2008: told apart with any colour vision.
ORANGE = "#E69F00"
SKY = "#56B4E9"
GREEN = "#009E73"
YELLOW = "#F0E442"
BLUE = "#0072B2"
VERMILION = "#D55E00"
PURPLE = "#CC79A7"
BLACK = "#000000"
GREY = "#999999"

OUTCOME_COLOURS = {
    Outcome.AGGREGATED: BLUE,
    Outcome.DISCARDED: ORANGE,
    Outcome.DROPPED: VERMILION,
    Outcome.LOST: PURPLE,
    Outcome.REJECTED: BLACK,
    Outcome.UNFINISHED: GREY,
}

FORMATS = ("png", "svg", "pdf")
# No file says when it was written. A None leaves out what would be there by itself.
_METADATA: dict[str, dict[str, str | None]] = {
    "png": {"Software": "flsim"},
    "svg": {"Creator": "flsim", "Date": None},
    "pdf": {"Creator": "flsim", "Producer": None, "CreationDate": None},
}
# In an SVG letters are outlines: a page seldom has the font that they were measured in, and a label in another
# one runs into its neighbour. A PDF embeds the font itself (42: TrueType, which publishers accept), so its
# text can be searched.
_PRINTED: dict[Any, Any] = {"svg.fonttype": "path", "svg.hashsalt": "flsim", "pdf.fonttype": 42}

_DOTS_PER_INCH = 200
_UNITS = ("s", "min", "h", "d")


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty figure of this size in inches that can be written."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from flsim.observe.figure import ShownFigure

    figure = ShownFigure(figsize=(width, height), dpi=_DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: "Figure", path: Path) -> Path:
    """Write the figure to `path`, in the format of its name (see FORMATS), and return `path`.

    The same figure always gives the same bytes. Raises RunError if it cannot be written, or not like that.
    """
    from matplotlib import rc_context

    form = path.suffix.removeprefix(".").lower()
    if form not in _METADATA:
        raise RunError(f"{path}: a picture is one of {', '.join(FORMATS)}, by the end of its name")
    picture = io.BytesIO()
    with rc_context(_PRINTED):
        figure.savefig(picture, format=form, metadata=_METADATA[form])
    write_bytes(path, picture.getvalue())
    return path


def tidy(axes: "Axes") -> None:
    """Leave only what is read: two axes and a faint grid behind the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)


def time_unit(seconds: float) -> tuple[str, float]:
    """Return the unit in which a stretch of `seconds` reads best, and its length in seconds.

    >>> time_unit(90), time_unit(600)
    (('s', 1.0), ('min', 60.0))
    """
    fitting = [unit for unit in _UNITS if TIME.factors[unit] * 3 <= seconds]
    unit = fitting[-1] if fitting else "s"
    return unit, TIME.factors[unit]


def label_time(axes: "Axes", unit: str) -> None:
    """Say that the horizontal axis is virtual time, in `unit`."""
    axes.set_xlabel(f"virtual time ({unit})")
