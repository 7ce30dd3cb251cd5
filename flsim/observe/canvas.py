"""What all pictures share: the palette, the sizes of paper, a style, units, and how a figure is written.

Figures are made without pyplot, so drawing leaves no state behind and needs no display. matplotlib is
imported when the first figure is: a run without plots does not wait for it.
"""

import io
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from flsim.errors import RunError
from flsim.observe.files import write_bytes
from flsim.observe.tables import Stage
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
FAINT = "#DDDDDD"  # of grids, and of what was not measured

SEQUENTIAL = "cividis"  # perceptually uniform, and the same to colour-blind eyes

OUTCOME_COLOURS = {
    Outcome.AGGREGATED: BLUE,
    Outcome.DISCARDED: ORANGE,
    Outcome.DROPPED: VERMILION,
    Outcome.LOST: PURPLE,
    Outcome.REJECTED: BLACK,
    Outcome.UNFINISHED: GREY,
}
STAGE_COLOURS: dict[Stage, str] = {"download": SKY, "compute": ORANGE, "upload": GREEN}
LINES = ("-", "--", ":", "-.")  # with the colours, so that neither has to tell curves apart alone
MARKERS = ("o", "s", "^", "D", "v")

COLUMN, PAGE = 3.5, 7.2  # inches: the widths of a paper's column and of its page
SMALL = 7.0  # points: the least that is legible on paper
_NORMAL = 8.0
_DOTS_PER_INCH = 300
_STYLE: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],  # which comes with matplotlib
    "font.size": _NORMAL,
    "axes.labelsize": _NORMAL,
    "axes.titlesize": _NORMAL,
    "figure.titlesize": _NORMAL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.3,
    "hatch.linewidth": 0.6,
}

FORMATS = ("png", "svg", "pdf")
# No file says when it was written. A None leaves out what would be there by itself.
_METADATA: dict[str, dict[str, str | None]] = {
    "png": {"Software": "flsim"},
    "svg": {"Creator": "flsim", "Date": None},
    "pdf": {"Creator": "flsim", "Producer": None, "CreationDate": None},
}
# In an SVG letters are outlines: a page seldom has the font that they were measured in, and a label in
# another one runs into its neighbour. A PDF embeds the font itself (42: TrueType, which publishers accept),
# so its text can be searched.
_PRINTED: dict[Any, Any] = {"svg.fonttype": "path", "svg.hashsalt": "flsim", "pdf.fonttype": 42}

_TIMES = ("s", "min", "h", "d")
_PREFIXES = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
_MOST_MARKERS = 60

Given = ParamSpec("Given")
Drawn = TypeVar("Drawn")


def styled(draw: Callable[Given, Drawn]) -> Callable[Given, Drawn]:
    """Give what `draw` draws the style of all pictures, whatever matplotlibrc says here."""

    @wraps(draw)
    def drawn(*args: Given.args, **kwargs: Given.kwargs) -> Drawn:
        from matplotlib import style

        with style.context(["default", _STYLE]):
            return draw(*args, **kwargs)

    return drawn


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
    form = path.suffix.removeprefix(".").lower()
    if form not in _METADATA:
        raise RunError(f"{path}: the name of a picture ends with one of .{', .'.join(FORMATS)}")
    write_bytes(path, written(figure, form))
    return path


def written(figure: "Figure", form: str) -> bytes:
    """Return the figure as a file of one of FORMATS."""
    from matplotlib import style

    picture = io.BytesIO()
    with style.context(["default", _STYLE | _PRINTED]):
        if (layout := figure.get_layout_engine()) is not None:
            layout.execute(figure)  # once: it would move things a little whenever the figure is drawn
            figure.set_layout_engine(None)  # "none" would have `savefig` draw once more for nothing
        figure.savefig(picture, format=form, metadata=_METADATA[form])
    return picture.getvalue()


def tidy(axes: "Axes") -> None:
    """Leave only what is read: two axes and a faint grid behind the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=FAINT, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=SMALL, length=2.5, width=0.6)


def markers(points: int, marker: str = "o") -> dict[str, Any]:
    """Return how a curve marks its points: not at all where they would run into each other."""
    return {"marker": marker if points <= _MOST_MARKERS else "", "markersize": 3.0}


def thinned(count: int, most: int) -> NDArray[np.int64]:
    """Return the places of at most `most` of `count` things, evenly spread, the first and last included.

    >>> thinned(3, 5).tolist(), thinned(9, 3).tolist()
    ([0, 1, 2], [0, 4, 8])
    """
    if count <= most:
        return np.arange(count)
    return np.linspace(0, count - 1, most).astype(np.int64)


def time_unit(seconds: float) -> tuple[str, float]:
    """Return the unit in which a stretch of `seconds` reads best, and its length in seconds.

    >>> time_unit(90), time_unit(600)
    (('s', 1.0), ('min', 60.0))
    """
    fitting = [unit for unit in _TIMES if TIME.factors[unit] * 3 <= seconds]
    unit = fitting[-1] if fitting else "s"
    return unit, TIME.factors[unit]


def prefixed(base: str, largest: float) -> tuple[str, float]:
    """Return the unit in which amounts up to `largest` read best, and how much it is of `base`.

    >>> prefixed("B", 2_500_000.0)
    ('MB', 1000000.0)
    """
    prefix = [prefix for prefix, factor in _PREFIXES.items() if factor <= max(largest, 1.0)][-1]
    return prefix + base, _PREFIXES[prefix]


def legend_above(axes: "Axes", columns: int = 2) -> None:
    """Put the legend above the axes, on the right, where it covers nothing that is drawn."""
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=columns, borderaxespad=0.1)


def label_time(axes: "Axes", unit: str) -> None:
    """Say that the horizontal axis is virtual time, in `unit`."""
    axes.set_xlabel(f"virtual time ({unit})")


def label_versions(axes: "Axes") -> None:
    """Say that the horizontal axis counts versions."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(lambda version, _: f"{version:,.0f}")
    axes.set_xlabel("version")
