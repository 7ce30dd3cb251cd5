"""Pages that are written when the site is built, and links from pages to the rest of the repository."""

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from flsim.terminal.reference import reference_pages

REPOSITORY = Path(__file__).parents[2]
REFERENCE = "reference/"  # in the navigation: all pages of the reference

_OUTSIDE = {"../README.md": "index.md", "../CHANGELOG.md": "changes.md", "../scenarios/": "scenarios/"}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of the reference into the navigation."""
    config.nav = [_with_reference(item) for item in config.nav or []]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the reference, the changes, and the shipped scenarios: their files, and a page about them."""
    for name, text in reference_pages().items():
        files.append(File.generated(config, f"{REFERENCE}{name}.md", content=text))
    files.append(File.generated(config, "changes.md", content=(REPOSITORY / "CHANGELOG.md").read_text()))
    shipped = sorted((REPOSITORY / "scenarios").rglob("*.yaml"))
    for path in shipped:
        uri = path.relative_to(REPOSITORY).as_posix()
        files.append(File.generated(config, uri, abs_src_path=str(path)))
    files.append(File.generated(config, "scenarios/shipped.md", content=_of_scenarios(shipped)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links to files beside docs/ into links to what the site has of them."""
    for outside, inside in _OUTSIDE.items():
        markdown = markdown.replace(f"]({outside}", f"]({inside}")
    return markdown


def _with_reference(item: Any) -> Any:
    """Return an item of the navigation with the reference's pages in the place of its folder."""
    if isinstance(item, dict):
        return {title: _with_reference(below) for title, below in item.items()}
    if isinstance(item, list):
        return [_with_reference(each) for each in item]
    return [f"{REFERENCE}{name}.md" for name in reference_pages()] if item == REFERENCE else item


def _of_scenarios(shipped: list[Path]) -> str:
    """Return a page with what the head of each scenario file says."""
    lines = [
        "# Shipped scenarios",
        "",
        "What the head of each file says. Run them from the repository's root.",
        "",
    ]
    for path in shipped:
        name = path.relative_to(REPOSITORY / "scenarios").as_posix()
        head = re.match(r"(?:#.*\n)*", path.read_text())
        said = re.sub(r"^# ?", "", head[0] if head else "", flags=re.MULTILINE)
        lines += [f"## {name}", "", f"[The file]({name})", "", "```text", said.rstrip(), "```", ""]
    return "\n".join(lines)
