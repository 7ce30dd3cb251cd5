"""The page of a run that goes on, in a real browser: it grows by itself, and leads to the report."""

import json
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect

from flsim.observe.ending import write_ending
from flsim.observe.live.progress_file import ProgressFile
from flsim.observe.live.server import LiveServer
from flsim.records import EndingRecord, Outcome
from tests.browser.test_report import COLLISIONS, NARROW, WIDE
from tests.integration.command import ENDLESS, command_line, start
from tests.unit.recorded import synchronous_run, write
from tests.unit.test_live import always, task, version
from tests.unit.test_report_page import EVIL

__all__ = ["always"]

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("always")]

Watched = Callable[..., Page]


@pytest.fixture
def watch(chromium: Browser) -> Iterator[Watched]:
    """Return what opens the page of the run in a folder. Anything that the browser complains of fails."""
    complaints: list[str] = []
    endings: list[Callable[[], None]] = []

    def said(message: ConsoleMessage) -> None:
        if message.type in ("warning", "error", "assert"):
            complaints.append(f"console {message.type}: {message.text}")

    def opened(folder: Path, width: int = WIDE) -> Page:
        server = LiveServer(folder)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()

        def asked(request: Request) -> None:
            if not request.url.startswith((server.url, "data:", "blob:")):
                complaints.append(f"request for {request.url}")

        context = chromium.new_context(viewport={"width": width, "height": 900})
        endings.extend([server.server_close, thread.join, server.shutdown, context.close])
        page = context.new_page()
        page.on("console", said)
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("request", asked)
        page.goto(server.url)
        return page

    yield opened
    while endings:
        endings.pop()()
    assert complaints == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "scenario.yaml").write_text("name: growing\nstrategy: {kind: sync}\n")
    return tmp_path


def points(page: Page, chart: str) -> int:
    found: int = page.evaluate("name => document.getElementById(name).data[0].x.length", chart)
    return found


@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_a_growing_run_is_seen_without_a_reload(folder: Path, watch: Watched, width: int) -> None:
    page = watch(folder, width)
    expect(page.locator("#state")).to_have_text("starting")
    page.evaluate("window.kept = true")
    with ProgressFile(folder) as progress:
        expect(page.locator("#state")).to_have_text("running")
        progress.moment(3.0, 7)
        for outcome in (Outcome.AGGREGATED, Outcome.AGGREGATED, Outcome.DROPPED):
            progress.task(task(outcome))
        progress.version(version(0, 0.125, 2.25))
    expect(page.locator("#accuracy")).to_have_text("0.125")
    expect(page.locator("#loss")).to_have_text("2.25")
    expect(page.locator("#in_flight")).to_have_text("7")
    expect(page.locator("#now")).to_have_text("3 s")
    expect(page.locator("#down")).to_have_text("300 B")
    expect(page.locator("#ended-aggregated")).to_have_text("2")
    expect(page.locator("#ended-dropped")).to_have_text("1")
    assert points(page, "accuracy-plot") == 1
    with progress:  # it goes on
        for number in range(1, 15):
            progress.version(version(number, None if number % 2 else 0.125 + number / 64, 1.0))
    expect(page.locator("#version")).to_have_text("14")
    expect(page.locator("#accuracy")).to_have_text("0.3438")
    expect(page.locator("#newest tr")).to_have_count(10)
    expect(page.locator("#newest tr").first.locator("th")).to_have_text("14")
    assert (points(page, "accuracy-plot"), points(page, "loss-plot")) == (8, 15)
    for chart in ("accuracy-plot", "loss-plot"):
        assert page.locator(f"#{chart} .scatterlayer .trace").count() == 1
        expect(page.locator(f"#{chart} .xtitle")).to_have_text("virtual time (s)")
    assert page.evaluate(COLLISIONS) == []
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert page.evaluate("window.kept") is True


def test_at_the_end_there_is_the_report(folder: Path, watch: Watched) -> None:
    recorded = synchronous_run()
    with ProgressFile(folder) as progress:
        progress.version(recorded.versions[0])
        page = watch(folder)
        expect(page.locator("#version")).to_have_text("0")
        expect(page.locator("#report")).to_be_hidden()
    write(folder, recorded)
    write_ending(folder, EndingRecord("updates", "12 updates were made", 500.0))
    progress.remove()
    expect(page.locator("#state")).to_have_text("finished")
    expect(page.locator("#status")).to_have_text("The run has ended: 12 updates were made.")
    expect(page.locator("#version")).to_have_text("12")
    expect(page.locator("#in_flight")).to_have_text("0")
    assert points(page, "loss-plot") == 13
    page.get_by_role("link", name="The report").click()
    page.wait_for_selector("[role=tabpanel][data-ready=yes]")
    assert page.get_by_role("tab").count() == 7


def test_a_run_of_the_command_line_is_seen_until_its_end(tmp_path: Path, watch: Watched) -> None:
    (tmp_path / "endless.yaml").write_text(ENDLESS)
    going = start(command_line("endless.yaml", "--set", "output={plots: false, timeline: false}"), tmp_path)
    folder = tmp_path / "outputs" / "endless"
    try:
        while not (folder / "progress.jsonl").exists():
            assert going.process.poll() is None
        page = watch(folder)
        expect(page.locator("#state")).to_have_text("running")
        expect(page.locator("#newest tr")).to_have_count(10)
        before = int(page.locator("#version").inner_text())
        expect(page.locator("#version")).not_to_have_text(str(before))
        assert int(page.locator("#version").inner_text()) > before
        going.process.send_signal(signal.SIGINT)
        code, _, _ = going.end()
    finally:
        going.process.kill()
    assert code == 130
    expect(page.locator("#state")).to_have_text("finished", timeout=30_000)
    expect(page.locator("#status")).to_have_text("The run has ended: the run was interrupted.")


def test_names_stay_text(folder: Path, watch: Watched) -> None:
    (folder / "scenario.yaml").write_text(f"name: {json.dumps(EVIL)}\n")
    page = watch(folder)
    expect(page.locator("h1")).to_have_text(f"flsim: {EVIL}")
    assert page.evaluate("window.broken") is None
    assert page.locator("img").count() == 0
