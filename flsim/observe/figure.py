"""A figure that a notebook shows by itself: pyplot, which would do that, is not used here."""

from matplotlib.figure import Figure

from flsim.observe.canvas import written

_SHOWN_PER_INCH = 140  # pixels of the page; the picture itself has more, for fine screens


class ShownFigure(Figure):
    """matplotlib's Figure, which is a picture where it is the last line of a notebook's cell."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        """Return the picture, and how large it is to be shown."""
        width, height = (round(inches * _SHOWN_PER_INCH) for inches in self.get_size_inches())
        return written(self, "png"), {"width": width, "height": height}
