"""`leakage`: images that clients trained on, and below them what an adversary took for them."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from flsim.observe.canvas import PAGE, new_figure, styled
from flsim.observe.tables import Tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_IMAGE_DIMENSIONS = 3  # [channels, height, width]
_CHANNELS = (1, 3)  # grey, and colour
_MOST_COLUMNS = 8

Row = dict[str, Any]


@styled
def figure_leakage(tables: Tables) -> "Figure | None":
    """Return the best reconstructions of the first and the last version attacked; None without any.

    Of the clients' updates of a version, that is the one that gave away most.
    """
    if tables.leakage is None or tables.reconstructions is None:
        return None
    scenes = _scenes(tables)
    if not scenes:
        return None
    columns = max(len(pairs) for _, pairs in scenes)
    figure = new_figure(PAGE, 2.2 * len(scenes))
    for (title, pairs), part in zip(
        scenes, figure.subfigures(len(scenes), squeeze=False)[:, 0], strict=True
    ):
        part.suptitle(title)
        axes = part.subplots(2, columns, squeeze=False)
        for column in range(columns):
            for line, name in enumerate(("true", "guess")):
                _show(axes[line, column], pairs[column] if column < len(pairs) else None, name)
        axes[0, 0].set_ylabel("true")
        axes[1, 0].set_ylabel("reconstructed")
    return figure


def _scenes(tables: Tables) -> list[tuple[str, list[Row]]]:
    """Return a title and pairs of images for each part of the picture."""
    groups: dict[tuple[int, str, int | None], list[Row]] = {}
    for row in tables.reconstructions.to_pylist() if tables.reconstructions else ():
        if len(row["shape"]) == _IMAGE_DIMENSIONS and row["shape"][0] in _CHANNELS:
            groups.setdefault((row["version"], row["seen"], row["client"]), []).append(row)
    scores = {
        (row["version"], row["seen"], row["client"]): row
        for row in (tables.leakage.to_pylist() if tables.leakage else ())
        if row["attack"] == "inversion"
    }
    versions = sorted({version for version, _, _ in groups})
    scenes = []
    for version in dict.fromkeys([*versions[:1], *versions[-1:]]):
        for seen in ("update", "release"):
            keys = [key for key in groups if key[:2] == (version, seen)]
            if keys:
                best = max(keys, key=lambda key: scores[key]["score"])
                scenes.append((_title(scores[best]), groups[best][:_MOST_COLUMNS]))
    return scenes


def _title(score: Row) -> str:
    """Return what is seen, and how near the best one comes."""
    whose = f"the update of client {score['client']}" if score["seen"] == "update" else "the new model"
    return (
        f"what {whose} shows at version {score['version']:,}: "
        f"{score['score']:.0f} dB (unrelated samples: {score['baseline']:.0f} dB)"
    )


def _show(axes: "Axes", pair: Row | None, name: str) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[["top", "right", "bottom", "left"]].set_visible(False)
    if pair is None:
        return
    low, high = min(pair["true"]), max(pair["true"])
    image = _image(np.array(pair[name]), pair["shape"])
    scaled = (image - low) / ((high - low) or 1.0)
    axes.imshow(np.clip(scaled, 0, 1), cmap="gray", vmin=0, vmax=1)
    if name == "guess":
        axes.set_xlabel(f"{pair['nearness_db']:.0f} dB")


def _image(values: NDArray[np.float64], shape: list[int]) -> NDArray[np.float64]:
    """Return an image as it is shown: [height, width] or [height, width, 3]."""
    image = values.reshape(shape)
    return image[0] if shape[0] == 1 else np.moveaxis(image, 0, -1)
