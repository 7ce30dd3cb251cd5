"""The page of a comparison: what its figures and tables hold, and that names stay text."""

import re
from pathlib import Path

import numpy as np
import pytest

from flsim.observe.comparison import FinishedRun, by_method, compare
from flsim.observe.comparison_table import cells
from flsim.observe.report.comparison import comparison_page, write_comparison
from flsim.observe.report.method_curves import MOST_METHODS, band
from flsim.observe.report.method_labels import chart_labels
from tests.compared import ASYNC, SYNC, run_of
from tests.unit.test_report_page import EVIL, Read


def read(runs: list[FinishedRun], target: float | None = None) -> Read:
    return Read(comparison_page(runs, compare(runs, target)))


UNTESTED = [run_of([(0, None), (10 + s, None)], kind, seed=s) for kind in ("a", "b") for s in (0, 1)]
RUNS = {
    "two": [*SYNC, *ASYNC],
    "one method": SYNC,
    "one run": SYNC[:1],
    "untested": UNTESTED,
    "evil": [*SYNC, *(run_of([(0, 0.2), (4, 0.9)], EVIL, seed=s) for s in range(3))],
    "many": [run_of([(0, 0.1), (n + s + 1, 0.9)], f"m{n}", seed=s) for n in range(15) for s in (0, 1)],
}


@pytest.mark.parametrize("runs", RUNS.values(), ids=RUNS.keys())
def test_a_page_is_whole_and_no_chart_is_empty(runs: list[FinishedRun]) -> None:
    page = read(runs)
    assert page.open == []
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    drawn = {attributes["id"] for _, attributes in page.tags if attributes.get("class") == "plot"}
    assert drawn == set(page.figures)
    for name, views in page.figures.items():
        for view in views:
            assert any(len(trace["x"]) for trace in view["data"]), name
            for axis in ("xaxis", "yaxis"):
                assert view["layout"][axis]["title"]["text"].strip(), name
            for trace in view["data"]:
                assert len({len(trace[key]) for key in ("x", "y", "customdata") if key in trace}) == 1


def test_which_figures_there_are() -> None:
    assert set(read(RUNS["two"]).figures) == {"to-target", "against-first", "accuracy"}
    assert set(read(SYNC).figures) == {"to-target", "accuracy"}
    assert set(read(UNTESTED).figures) == {"to-target", "against-first"}


def test_the_table_is_that_of_the_command() -> None:
    text = "|".join(read(RUNS["two"], 0.8).text)
    for row in compare(RUNS["two"], 0.8).rows:
        assert "|".join(cells(row)) in text


def test_a_band_is_the_mean_and_the_ends_of_what_each_seed_had_by_then() -> None:
    """At 15 s: 0.5 of the first and 0.2 of the second, which has not moved since it began."""
    one = run_of([(0, 0.1), (10, 0.5), (12, None), (30, 0.7)], seed=0)
    two = run_of([(2, 0.2), (20, 0.9)], seed=1)
    found = band({0: one, 1: two}, "Virtual time", "accuracy")
    assert found is not None
    assert found.x.tolist() == [2, 10, 20, 30]
    assert found.mean == pytest.approx([0.15, 0.35, 0.7, 0.8])
    assert found.low == pytest.approx([0.1, 0.2, 0.5, 0.7])
    assert found.high == pytest.approx([0.2, 0.5, 0.9, 0.9])
    by_bytes = band({0: one, 1: two}, "Bytes", "accuracy")
    assert by_bytes is not None
    assert by_bytes.x.tolist() == [0, 110, 330]
    assert band({0: one, 1: UNTESTED[0]}, "Virtual time", "accuracy") is None


def test_points_and_intervals_are_those_of_the_comparison() -> None:
    page = read(RUNS["two"], 0.8)
    time, traffic, _ = page.figures["to-target"]
    dots, mean, *_ = time["data"]
    assert dots["x"] == [20, 21, 22]
    assert dots["customdata"] == [0, 1, 2]
    assert mean["x"] == [21]
    half = 4.302653 * 1 / np.sqrt(3)  # Student's t of two degrees of freedom, deviation 1
    assert mean["error_x"]["array"] == mean["error_x"]["arrayminus"] == pytest.approx([half], rel=1e-4)
    assert traffic["layout"]["xaxis"]["title"]["text"] == "traffic up and down (B)"
    ratios, gains = page.figures["against-first"]
    assert ratios["data"][0]["x"] == pytest.approx([9 / 20, 10 / 21, 11 / 22], rel=1e-5)
    assert gains["data"][0]["x"] == pytest.approx([-0.05] * 3)
    assert ratios["layout"]["shapes"][0]["x0"] == 1
    assert gains["layout"]["shapes"][0]["x0"] == 0
    line = page.figures["accuracy"][0]["data"][0]["line"]["color"]
    assert line != ratios["data"][0]["marker"]["color"]  # the first method's colour is its own


def test_a_method_that_does_not_get_there_has_dots_and_no_mean() -> None:
    lucky = run_of([(0, 0.1), (1, 0.95)], "fedbuff", seed=9)
    page = read([*SYNC, *ASYNC, lucky], 0.9)
    data = page.figures["to-target"][0]["data"]
    assert [len(trace["x"]) for trace in data] == [3, 1, 1]  # sync's seeds, its mean, and the lucky one
    assert "fedbuff (1 of 5)" in " ".join(page.text)


def test_many_methods_have_a_row_each_but_not_a_curve() -> None:
    page = read(RUNS["many"])
    lines = [trace for trace in page.figures["accuracy"][0]["data"] if "fill" not in trace]
    assert len(lines) == MOST_METHODS
    assert len({(trace["line"]["color"], trace["line"]["dash"]) for trace in lines}) == MOST_METHODS
    assert "3 more methods are in the tables only" in " ".join(page.text)
    assert len(page.figures["to-target"][0]["layout"]["yaxis"]["ticktext"]) == 15


def test_labels_differ_though_their_ends_are_cut_off() -> None:
    labels = chart_labels([f"{'a word ' * 30}{end}" for end in ("one", "two")])
    assert len(set(labels)) == 2
    assert all(len(line) <= 28 for label in labels for line in label.split("<br>"))


def test_the_same_runs_give_the_same_page(tmp_path: Path) -> None:
    first, second = (write_comparison(tmp_path / name, RUNS["two"]) for name in ("a.html", "b.html"))
    assert first.read_bytes() == second.read_bytes()
    assert not re.search(r"https?://[^\"']*\.js", first.read_text("utf-8").split("<script>")[0])


def test_names_are_text_also_where_a_chart_would_take_them_for_markup() -> None:
    page = read(RUNS["evil"])
    assert not [tag for tag, _ in page.tags if tag in ("img", "b", "i")]
    names = {trace["name"] for view in page.figures["to-target"] for trace in view["data"]}
    assert not [name for name in names if re.search(r"<(?!br>)", name)]
    assert list(by_method(RUNS["evil"])) == ["sync", EVIL]
