"""Every picture can be read on paper: units, text that is large enough and apart, safe colours."""

import re
from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from flsim.observe import canvas
from flsim.observe.heatmap import figure_of_matrix, matrix_of
from flsim.observe.plots import PICTURES
from flsim.observe.tables import Tables
from tests.unit.drawn import below, with_metrics, with_reports, with_tests
from tests.unit.recorded import Run, asynchronous_run, synchronous_run, tables_of

# What is counted is its own unit.
COUNTED = re.compile(r"(edge, )?clients?\b|tasks\b|tasks per client|(tested )?version$|[\d,]+ clients\b")
WIDTHS = (3.5, 7.2)  # inches: a column and a page
SMALLEST = 7.0  # points
SAFE = {  # Okabe and Ito's, and greys
    "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#000000", "#999999",
    "#dddddd", "#ffffff",
}  # fmt: skip

CASES = {
    "synchronous": lambda folder: with_reports(with_tests(tables_of(folder, synchronous_run()))),
    "asynchronous": lambda folder: with_metrics(with_tests(tables_of(folder, asynchronous_run(60, 8)))),
    "one client": lambda folder: with_tests(tables_of(folder, synchronous_run(1, 4))),
    "one version": lambda folder: with_tests(
        tables_of(folder, Run([], synchronous_run(6, 3).versions[:1], synchronous_run(6, 3).clients))
    ),
    "untrained": lambda folder: tables_of(folder, asynchronous_run(8, 3)._replace(versions=UNTRAINED)),
    "interrupted": lambda folder: tables_of(folder, synchronous_run(9, 3)._replace(clients=[])),
    "edges": lambda folder: below(
        tables_of(folder / "clients", synchronous_run(12, 6)), tables_of(folder, synchronous_run(5, 3))
    ),
    "ten thousand": lambda folder: with_tests(tables_of(folder, synchronous_run(10_000, 6))),
}
UNTRAINED = synchronous_run(8, 3, trained=False).versions


@pytest.fixture(scope="module", params=CASES)
def figures(request, tmp_path_factory) -> dict[str, Figure]:
    """The pictures of a case that are not empty, laid out."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "clients").mkdir()
    tables: Tables = CASES[request.param](folder)
    drawn = {name: picture(tables) for name, picture in PICTURES.items()}
    found = {name: figure for name, figure in drawn.items() if figure is not None}
    assert found
    for figure in found.values():
        figure.draw_without_rendering()
    return found


def shown(figure: Figure) -> list[Text]:
    """The texts that can be seen. Ticks beyond the ends of an axis exist, but are not drawn."""
    hidden = {
        id(text)
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())
        for text in (tick.label1, tick.label2)
        if not _within(tick.get_loc(), axis.get_view_interval()) or not _is_shown(axes, text)
    }
    texts = [text for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()]
    return [text for text in texts if id(text) not in hidden]


def _within(value: float, interval: np.ndarray) -> bool:
    low, high = sorted(interval)
    slack = 1e-9 * (high - low)
    return low - slack <= value <= high + slack


def _is_shown(axes, text: Text) -> bool:
    return bool(axes.axison and axes.get_visible() and text.get_visible())


def test_axes_have_names_with_units(figures):
    for name, figure in figures.items():
        for axes in figure.axes:
            if not axes.axison:
                continue
            for axis in (axes.xaxis, axes.yaxis):
                ticks = [text for tick in axis.get_major_ticks() for text in (tick.label1, tick.label2)]
                if any(text.get_visible() and text.get_text() for text in ticks):
                    label = axis.get_label_text()
                    assert label, f"{name}: an axis without a name"
                    assert "(" in label or COUNTED.match(label), f"{name}: '{label}' has no unit"


def test_text_is_apart_and_on_the_paper(figures):
    for name, figure in figures.items():
        renderer = figure.canvas.get_renderer()
        straight = [text for text in shown(figure) if text.get_rotation() % 90 == 0]
        boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in straight]
        paper = figure.bbox.padded(1.0)
        for said, box in boxes:
            beyond = (paper.x0 - box.x0, box.x1 - paper.x1, paper.y0 - box.y0, box.y1 - paper.y1)
            assert max(beyond) <= 0, f"{name}: '{said}' is cut off"
        for (one, a), (other, b) in combinations(boxes, 2):
            across = min(a.x1, b.x1) - max(a.x0, b.x0)
            down = min(a.y1, b.y1) - max(a.y0, b.y0)
            assert min(across, down) <= 2.0, f"{name}: '{one}' and '{other}' overlap"  # 1/150 inch


def test_letters_are_large_enough_at_the_width_of_a_column_or_a_page(figures):
    for name, figure in figures.items():
        assert figure.get_figwidth() in WIDTHS, name
        small = {text.get_text() for text in shown(figure) if text.get_fontsize() < SMALLEST}
        assert not small, name


def test_colours_are_told_apart_by_colour_blind_people(figures):
    for name, figure in figures.items():
        for axes in figure.axes:
            used = [line.get_color() for line in axes.lines]
            used += [line.get_markeredgecolor() for line in axes.lines]
            used += [patch.get_facecolor() for patch in axes.patches]
            for collection in axes.collections:
                if collection.get_array() is None:
                    used += [*collection.get_facecolor(), *collection.get_edgecolor()]
            if axes.get_label() == "<colorbar>":
                continue
            for image in axes.images:
                assert image.get_cmap().name == "cividis", name
            unsafe = {to_hex(colour) for colour in used} - SAFE
            assert not unsafe, f"{name}: {unsafe}"


def test_curves_of_one_picture_differ_in_more_than_their_colour(figures):
    for name, figure in figures.items():
        for axes in figure.axes:
            named = [line for line in axes.lines if not line.get_label().startswith("_")]
            looks = [(line.get_linestyle(), line.get_marker(), line.get_fillstyle()) for line in named]
            assert len(set(looks)) == len(looks), f"{name}: {looks}"


def test_a_heat_map_of_a_sweep_can_be_read_too():
    rules = [f'{{"kind": "a_rule_of_number_{place}"}}' for place in range(9)]
    table = [
        {"attack": attack, "rule": rule, "final_accuracy": str(place / 9)}
        for attack in ('{"kind": "sign_flip"}', '{"kind": "alie"}', "")
        for place, rule in enumerate(rules)
    ]
    figure = figure_of_matrix(matrix_of(table, "attack", "rule"), "attack", "aggregation")
    figure.draw_without_rendering()
    test_text_is_apart_and_on_the_paper({"heatmap": figure})
    assert min(text.get_fontsize() for text in shown(figure)) >= SMALLEST
    assert figure.axes[0].images[0].get_cmap().name == canvas.SEQUENTIAL
