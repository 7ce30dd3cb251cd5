"""The recipes of docs/cookbook.md: what is typed, and what that prints.

`python -m tests.cookbook` runs them and writes what they print into the page; with words, only the recipes
whose headings have one of them.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.integration.command import REPOSITORY, SCENARIOS, environment

PAGE = REPOSITORY / "docs" / "cookbook.md"

_SECTION = re.compile(r"^## (?P<title>.*)\n(?P<body>(?:(?!^## ).*\n)*)", re.MULTILINE)
_CODE = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PRINTED = re.compile(
    r"(?<=^prints\n\n)(?:```text\n(?P<text>.*?)^```\n|(?P<table>(?:To .*\n\n)?(?:\|.*\n)+))", re.M | re.S
)
_OF_ONE_RUN = re.compile(r"\S+: .* server updates were made$|Files: ")


@dataclass(frozen=True)
class Recipe:
    """A section of the page: its code in order, and where the page has what the last piece of it prints."""

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
    """Return the page's recipes that print something."""
    text = PAGE.read_text()
    found = []
    for section in _SECTION.finditer(text):
        body = section["body"]
        for printed in _PRINTED.finditer(body):
            code = tuple((each[1], each[2]) for each in _CODE.finditer(body, 0, printed.start()))
            start = section.start("body")
            where = (start + printed.start(), start + printed.end())
            shown = printed["text"] if printed["table"] is None else printed["table"]
            found.append(Recipe(section["title"], code, shown, where))
    return found


def _write(titles: list[str]) -> None:
    for index, recipe in enumerate(recipes()):
        if titles and not any(word in recipe.title for word in titles):
            continue
        with tempfile.TemporaryDirectory() as folder:
            printed = recipe.run(Path(folder))
        print(f"{recipe.title}\n{printed}")
        start, end = recipes()[index].where  # those before it may have become longer
        text = PAGE.read_text()
        block = printed if "\n|---" in printed else f"```text\n{printed}```\n"
        PAGE.write_text(text[:start] + block + text[end:])


if __name__ == "__main__":
    _write(sys.argv[1:])
