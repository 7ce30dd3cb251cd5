"""What is typed on pages of the documentation, and what that prints.

`python -m tests.cookbook` runs it all and writes what is printed into the pages; with words, only what
stands below headings that have one of them.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.integration.command import REPOSITORY, SCENARIOS, environment

COOKBOOK = REPOSITORY / "docs" / "cookbook.md"  # each section stands by itself
START = REPOSITORY / "docs" / "index.md"  # what is typed builds on what was typed before

_SECTION = re.compile(r"^## (?P<title>.*)\n(?P<body>(?:(?!^## ).*\n)*)", re.MULTILINE)
_CODE = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TABLE = r"(?P<table>(?:To [^\n]*\n\n)?(?:\|[^\n]*\n)+)"
_PRINTED = re.compile(rf"(?<=^prints\n\n)(?:```text\n(?P<text>.*?)^```\n|{_TABLE})", re.M | re.S)
_OF_ONE_RUN = re.compile(r"\S+: .* server updates were made$|Files: ")


@dataclass(frozen=True)
class Recipe:
    """Code of a page in order, and where the page has what the last piece of it prints."""

    page: Path
    title: str
    code: tuple[tuple[str, str], ...]  # language, text
    printed: str
    where: tuple[int, int]

    def run(self, folder: Path) -> str:
        """Run the code in an empty folder, and return what the last piece of it printed."""
        shutil.copytree(SCENARIOS, folder / "scenarios")
        printed = ""
        for language, text in self.code:
            command = ["bash", "-e", "-c", text] if language == "sh" else [sys.executable, "-c", text]
            done = subprocess.run(
                command,
                cwd=folder,
                env=environment(COLUMNS="110", PATH=_path_of_flsim(folder)),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise AssertionError(f"{self.title}: {text}\n{done.stdout}{done.stderr}")
            printed = done.stdout
        lines = [line.rstrip() for line in printed.splitlines() if not _OF_ONE_RUN.match(line)]
        return "\n".join(lines).strip("\n") + "\n"


def _path_of_flsim(folder: Path) -> str:
    """Return a PATH on which `flsim` is the one beside the tests."""
    script = folder / "bin" / "flsim"
    script.parent.mkdir(exist_ok=True)
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m flsim "$@"\n')
    script.chmod(0o755)
    return f"{script.parent}:/usr/bin:/bin"


def recipes() -> list[Recipe]:
    """Return the recipes of both pages that print something."""
    return [recipe for page in (START, COOKBOOK) for recipe in _recipes_of(page)]


def _recipes_of(page: Path) -> Iterator[Recipe]:
    text = page.read_text()
    for section in _SECTION.finditer(text):
        start = 0 if page == START else section.start("body")
        for printed in _PRINTED.finditer(text, *section.span("body")):
            code = [
                (each[1], "".join(line for line in each[2].splitlines(keepends=True) if line[:4] != "pip "))
                for each in _CODE.finditer(text, start, printed.start())
            ]
            shown = printed["text"] if printed["table"] is None else printed["table"]
            yield Recipe(page, section["title"], tuple(code), shown, printed.span())


def _write(titles: list[str]) -> None:
    for index, recipe in enumerate(recipes()):
        if titles and not any(word in recipe.title for word in titles):
            continue
        with tempfile.TemporaryDirectory() as folder:
            printed = recipe.run(Path(folder))
        start, end = recipes()[index].where  # those before it may have become longer
        text = recipe.page.read_text()
        block = printed if "\n|---" in printed else f"```text\n{printed}```\n"
        recipe.page.write_text(text[:start] + block + text[end:])


if __name__ == "__main__":
    _write(sys.argv[1:])
