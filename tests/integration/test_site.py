"""The documentation as a site: it builds without a complaint, and reads nothing from elsewhere."""

import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.exceptions import Abort

from flsim.scenario.reference import chapters
from tests.integration.command import REPOSITORY

CONFIGURATION = Path("docs") / "site" / "mkdocs.yml"


def build_site(repository: Path, folder: Path) -> Path:
    """Build a repository's site into a folder. Raises Abort for what would be a warning elsewhere."""
    build(load_config(str(repository / CONFIGURATION), site_dir=str(folder), strict=True))
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_site(REPOSITORY, tmp_path_factory.mktemp("site"))


class Parsed(HTMLParser):
    """What a page loads, what it links to, what its anchors are, and what its paragraphs say."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.paragraphs: list[str] = []
        self._in_paragraph = False
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors.add(given.get("id", ""))
        if tag == "a":
            self.links.append(given.get("href", ""))
        elif tag == "link":
            loaded = given["rel"] not in ("canonical", "next", "prev")
            (self.loads if loaded else self.links).append(given["href"])
        else:
            self.loads += [given[name] for name in ("src", "srcset", "data", "poster") if name in given]
        self._in_paragraph = tag == "p" or (self._in_paragraph and tag in ("code", "em", "strong", "a"))
        if tag == "p":
            self.paragraphs.append("")

    def handle_data(self, data: str) -> None:
        if self._in_paragraph:
            self.paragraphs[-1] += data

    def handle_endtag(self, tag: str) -> None:
        self._in_paragraph = self._in_paragraph and tag != "p"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Parsed]:
    return {page: Parsed(page) for page in site.rglob("*.html") if page.name != "404.html"}


def test_every_page_is_in_it(site: Path, pages: dict[Path, Parsed]) -> None:
    built = {page.relative_to(site).with_suffix("").as_posix() for page in pages}
    written = {page.stem for page in (REPOSITORY / "docs").glob("*.md")}
    reference = {f"reference/{chapter.name}" for chapter in chapters()}
    assert built == written | reference | {"reference/index", "scenarios/shipped", "changes"}


def test_nothing_is_fetched_from_elsewhere(site: Path, pages: dict[Path, Parsed]) -> None:
    for page, parsed in pages.items():
        for loaded in parsed.loads:
            assert not urlsplit(loaded).scheme, (page, loaded)
            assert not loaded.startswith("//"), (page, loaded)
            assert (page.parent / unquote(urlsplit(loaded).path)).is_file(), (page, loaded)
    for sheet in site.rglob("*.css"):
        assert re.findall(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", sheet.read_text()) == [], sheet


def test_links_lead_somewhere(site: Path, pages: dict[Path, Parsed]) -> None:
    inside = 0
    for page, parsed in pages.items():
        for link in parsed.links:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            there = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            assert there.is_file(), (page, link)
            if parts.fragment and there in pages:
                assert unquote(parts.fragment) in pages[there].anchors, (page, link)
            inside += 1
    assert inside > 1000


def test_no_list_is_taken_for_a_paragraph(pages: dict[Path, Parsed]) -> None:
    """Python's Markdown wants an empty line in front of a list, which code hosts do not."""
    for page, parsed in pages.items():
        for paragraph in parsed.paragraphs:
            assert not re.search(r"^(?:[-*] |\d+\. |\|.*\|$)", paragraph, re.MULTILINE), (
                page,
                paragraph,
            )


def _with_a_page_that_is_in_no_menu(docs: Path) -> None:
    (docs / "forgotten.md").write_text("# Forgotten\n")


def _with_a_dead_link(docs: Path) -> None:
    (docs / "index.md").write_text("# Start\n\n[nowhere](nowhere.md)\n")


def _with_a_dead_anchor(docs: Path) -> None:
    (docs / "index.md").write_text("# Start\n\n[nowhere](index.md#nowhere)\n")


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (_with_a_page_that_is_in_no_menu, "forgotten.md"),
        (_with_a_dead_link, "nowhere.md"),
        (_with_a_dead_anchor, "#nowhere"),
    ],
)
def test_a_mistake_stops_the_build(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, spoil: Callable[[Path], None], complaint: str
) -> None:
    docs = tmp_path / "docs"
    shutil.copytree(REPOSITORY / "docs" / "site", docs / "site")
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "CHANGELOG.md").write_text("# Changes\n")
    configuration = tmp_path / CONFIGURATION
    text = configuration.read_text()
    configuration.write_text(
        re.sub(
            r"^nav:\n(?: .*\n)*",
            "nav: [index.md, changes.md, scenarios/shipped.md, {Keys: reference/}]\n",
            text,
            flags=re.M,
        )
    )
    (docs / "index.md").write_text("# Start\n")
    if spoil is _with_a_page_that_is_in_no_menu:
        build_site(tmp_path, tmp_path / "sound")
    spoil(docs)
    with pytest.raises(Abort):
        build_site(tmp_path, tmp_path / "spoiled")
    assert any(
        complaint in record.getMessage() for record in caplog.records if record.levelname == "WARNING"
    )
