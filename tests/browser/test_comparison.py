"""The page of a comparison in a real browser: offline, without errors or overlap, wide and narrow."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from flsim.observe.comparison import FinishedRun
from flsim.observe.report import write_comparison
from tests.browser.conftest import Open
from tests.browser.test_report import COLLISIONS, NARROW, WIDE, choose, tab, until
from tests.compared import ASYNC, SYNC, run_of
from tests.unit.test_report_page import EVIL

pytestmark = pytest.mark.browser

TABS = ["Methods", "Curves", "Runs"]
# Names that are too long for a telephone, and more methods than there are colours.
LONG = [
    run_of(
        [(0, 0.1), (5 + n, 0.4 + n / 50), (20 + 2 * n + s, 0.7 + n / 100 - s / 20)],
        f"fedbuff with concurrency {n} and a buffer of {n} at two_tier_dirichlet",
        seed=s,
    )
    for n in range(10)
    for s in range(3)
]
RUNS = {"two": [*SYNC, *ASYNC], "long": LONG}


@pytest.mark.parametrize("width", [NARROW, WIDE])
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("runs", RUNS.values(), ids=RUNS.keys())
def test_every_tab_is_drawn_without_overlap(
    tmp_path: Path, open_report: Open, runs: list[FinishedRun], theme: str, width: int
) -> None:
    page = open_report(write_comparison(tmp_path / "page.html", runs), width, theme)
    assert page.get_by_role("tab").all_inner_texts() == TABS
    charts = 0
    for name in TABS:
        panel = choose(page, name)
        for chart in panel.locator(".plot").all():
            charts += 1
            assert chart.locator(".cartesianlayer .trace").count() > 0
            for axis in (".xtitle", ".ytitle"):
                assert chart.locator(axis).text_content()
            says = page.locator(f"#{chart.get_attribute('aria-describedby')}").inner_text()
            assert len(says) > 30
            assert chart.get_attribute("aria-label")
        assert page.evaluate(COLLISIONS) == []
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert charts == 3


def test_views_and_tables(tmp_path: Path, open_report: Open) -> None:
    page = open_report(write_comparison(tmp_path / "page.html", RUNS["two"]))
    choose(page, "Methods")
    page.locator("figure", has=page.locator("#to-target")).get_by_text("Bytes", exact=True).click()
    expect(page.locator("#to-target .xtitle")).to_have_text("traffic up and down (B)")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#to-target .xtitle")).to_have_text("server updates")
    for figure in page.locator("figure:visible").all():
        figure.locator("summary").click()
        assert figure.get_by_role("row").count() >= 2
        assert figure.get_by_role("columnheader").count() >= 2
    tab(page, "Methods").focus()
    page.keyboard.press("ArrowRight")
    expect(tab(page, "Curves")).to_be_focused()
    until(page, "document.querySelector('#accuracy .legend') !== null")


def test_names_of_methods_stay_text(tmp_path: Path, open_report: Open) -> None:
    evil = [run_of([(0, 0.2), (4 + s, 0.9)], EVIL, seed=s) for s in range(3)]
    page = open_report(write_comparison(tmp_path / "page.html", [*SYNC, *evil]))
    for name in TABS:
        choose(page, name)
    assert page.evaluate("window.broken") is None
    assert page.locator("img").count() == 0
