"""The documentation's site in a real browser, from a disk: it loads, is searched, and fits a phone."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from tests.integration.command import REPOSITORY
from tests.integration.test_site import build_site

pytestmark = pytest.mark.browser

PAGES = [
    "index",
    "cookbook",
    "virtual_time",
    "comparison",
    "performance",
    "reference/index",
    "reference/strategy",
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_site(REPOSITORY, tmp_path_factory.mktemp("site"))


@pytest.fixture(params=[1280, 390])
def window(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A window without a network; what its console says, and what it cannot load, fails the test."""
    complaints: list[str] = []

    def said(message: ConsoleMessage) -> None:
        if message.type in ("warning", "error", "assert"):
            complaints.append(f"console {message.type}: {message.text}")

    context = chromium.new_context(offline=True, viewport={"width": request.param, "height": 900})
    page = context.new_page()
    page.on("console", said)
    page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
    page.on(
        "request",
        lambda asked: (
            None if asked.url.startswith(("file:", "data:", "about:")) else complaints.append(asked.url)
        ),
    )
    page.on("requestfailed", lambda failed: complaints.append(f"failed: {failed.url}"))
    yield page
    context.close()
    assert complaints == []


def test_pages_fit_the_window(site: Path, window: Page) -> None:
    for name in PAGES:
        window.goto((site / f"{name}.html").as_uri())
        expect(window.locator("article h1")).to_be_visible()
        assert window.evaluate("document.documentElement.scrollWidth <= innerWidth"), name


def test_the_search_finds_a_key_without_a_server(site: Path, window: Page) -> None:
    window.goto((site / "index.html").as_uri())
    if window.viewport_size and window.viewport_size["width"] < 960:
        window.locator(".md-header__button[for=__search]").click()
    window.locator(".md-search__input").click()
    window.locator(".md-search__input").press_sequentially("over_selection")
    found = window.locator(".md-search-result__item a[href*='reference/strategy']").first
    expect(found).to_be_visible()
    found.click()
    window.wait_for_url("**/reference/strategy.html*")
    assert "over_selection" in window.locator("article").inner_text()
