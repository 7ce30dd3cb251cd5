"""What the documentation says can be done can be done, and what it shows is what one gets."""

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from flsim.cli import main
from flsim.component import Kinds
from flsim.errors import EXIT_DONE, EXIT_ERROR, EXIT_INTERRUPTED, EXIT_USAGE
from flsim.scenario import Scenario, read_scenario
from flsim.scenario.distributions import DISTRIBUTIONS
from tests.integration.command import DEADLINE_S, REPOSITORY, SCENARIOS, environment, files_in
from tests.integration.conftest import Finished
from tests.integration.documented import assert_can_be_typed, words_of

README = REPOSITORY / "README.md"
PAGES = [README, *sorted((REPOSITORY / "docs").glob("*.md"))]


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str
    printed: str | None  # what the page says that it prints

    @property
    def id(self) -> str:
        """How the tests name it."""
        return f"{self.page}:{self.line}"


def _blocks(page: Path) -> list[Block]:
    blocks = []
    text = page.read_text()
    for found in re.finditer(r"^```([^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        line = text.count("\n", 0, found.start()) + 1
        printed = re.compile(r"\s*prints\n\n```text\n(.*?)^```$", re.M | re.S).match(text, found.end())
        name = page.relative_to(REPOSITORY).as_posix()
        blocks.append(Block(name, line, found[1], found[2], printed and printed[1]))
    return blocks


BLOCKS = [block for page in PAGES for block in _blocks(page)]


def _in(language: str) -> list[Block]:
    return [block for block in BLOCKS if block.language == language]


def _prose(page: Path) -> str:
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def test_every_block_is_of_a_language_that_is_checked() -> None:
    for page in PAGES:
        fences = re.findall(r"^\s*```", page.read_text(), re.MULTILINE)
        assert len(fences) == 2 * len(_blocks(page)), page
    assert {block.language for block in BLOCKS} <= {"sh", "yaml", "python", "text"}


def test_the_readme_opens_with_demo_and_test() -> None:
    first = _blocks(README)[0]
    assert first.language == "sh"
    assert [words_of(line) for line in first.text.splitlines()] == [["make", "demo"], ["make", "test"]]


SHELL = [
    pytest.param(line, id=f"{block.id} {line[:40]}")
    for block in _in("sh")
    for line in block.text.splitlines()
]
INLINE = [
    pytest.param(code, id=f"{page.name} {code[:50]}")
    for page in PAGES
    for code in dict.fromkeys(re.findall(r"`((?:python|pytest|make|pip|flsim) [^`]+)`", _prose(page)))
    if "FILE" not in code
]


@pytest.mark.parametrize("line", [*SHELL, *INLINE])
def test_a_command_can_be_typed(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_can_be_typed(line, tmp_path, monkeypatch)


@pytest.mark.parametrize("block", _in("yaml"), ids=lambda block: block.id)
def test_a_yaml_block_is_a_scenario(block: Block, tmp_path: Path) -> None:
    """A block that is only a part of one must at least be YAML."""
    data = yaml.safe_load(block.text)
    assert isinstance(data, dict)
    if "workload" in data:
        path = tmp_path / "block.yaml"
        path.write_text(block.text)
        assert read_scenario(path).name == data["name"]


def test_the_readme_shows_the_quickstart(tmp_path: Path) -> None:
    shown = [block for block in _in("yaml") if block.page == "README.md"]
    assert len(shown) == 1
    (tmp_path / "shown.yaml").write_text(shown[0].text)
    assert read_scenario(tmp_path / "shown.yaml") == read_scenario(SCENARIOS / "quickstart.yaml")


# Those of the cookbook need runs of their own: test_cookbook.py.
PYTHON = [block for block in _in("python") if block.page != "docs/cookbook.md"]


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: block.id)
def test_a_python_block_runs_beside_the_quickstart(
    block: Block, quickstart: Finished, tmp_path: Path
) -> None:
    shutil.copytree(quickstart.cwd, tmp_path, dirs_exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", block.text],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    if block.printed is not None:
        assert done.stdout == block.printed


def test_the_error_that_the_readme_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = [block.text for block in _in("text") if block.text.startswith("error:")]
    assert len(shown) == 1
    wrong = (SCENARIOS / "quickstart.yaml").read_text().replace("cohort:", "cohrt:")
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "quickstart.yaml").write_text(wrong)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["scenarios/quickstart.yaml"])
    assert capsys.readouterr().err.split() == shown[0].split()


def test_the_exit_codes_that_the_readme_lists() -> None:
    codes = f"Exit codes: {EXIT_DONE} done, {EXIT_ERROR} scenario or run error, {EXIT_USAGE} usage, "
    assert f"{codes}{EXIT_INTERRUPTED} interrupted." in " ".join(README.read_text().split())


def test_the_files_that_the_readme_lists(quickstart: Finished) -> None:
    rows = re.search(r"\| in `outputs/quickstart/` \|.*?\n\n", README.read_text(), re.DOTALL)
    assert rows is not None
    cells = [row.split("|")[1] for row in rows[0].splitlines()[2:] if row]
    listed = {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}
    written = {re.sub(r"^plots/.*", "plots/*.png", name) for name in files_in(quickstart.folder)}
    assert listed == written


def test_the_distributions_that_the_page_lists() -> None:
    page = (REPOSITORY / "docs" / "scenario.md").read_text()
    rows = re.search(r"\| kind \| keys \|\n\|---\|---\|\n(.*?)\n\n", page, re.DOTALL)
    assert rows is not None
    listed = {}
    for row in rows[1].splitlines():
        kind, *keys = re.findall(r"`([^`]+)`", row)
        listed[kind] = set(keys)
    assert listed == {kind: set(law.model_fields) - {"kind"} for kind, law in DISTRIBUTIONS.classes.items()}


def test_the_selections_that_the_page_lists() -> None:
    page = (REPOSITORY / "docs" / "scenario.md").read_text()
    rows = re.search(
        r"\| selection \| whom it asks \| keys \|\n\|---\|---\|---\|\n(.*?)\n\n", page, re.DOTALL
    )
    assert rows is not None
    cells = [row.strip("|").split("|") for row in rows[1].splitlines()]
    listed = {re.findall(r"`([^`]+)`", kind)[0]: re.findall(r"`([^`]+)`", keys) for kind, _, keys in cells}
    [kinds] = (each for each in Scenario.model_fields["selection"].metadata if isinstance(each, Kinds))
    assert listed == {
        kind: [key for key in selection.model_fields if key != "kind"]
        for kind, selection in kinds.classes.items()
    }


def test_the_speeds_beside_other_simulators_are_those_that_were_measured() -> None:
    measured = {
        (network, peer.strip()): ratio.strip()
        for network, peers, ratios in re.findall(
            r"^\| (\w+): ratio of rates \|(.*)\|\n.*\n\| flsim, auto \|(.*)\|$",
            (REPOSITORY / "docs" / "performance.md").read_text(),
            re.MULTILINE,
        )
        for peer, ratio in zip(peers.split("|"), ratios.split("|"), strict=True)
    }
    page = (REPOSITORY / "docs" / "comparison.md").read_text()
    table = re.search(r"^\| network \|(.*)\|\n.*\n((?:\|.*\n)+)", page, re.MULTILINE)
    assert table is not None
    peers = [peer.strip() for peer in table[1].split("|")]
    for row in table[2].splitlines():
        network, *ratios = (cell.strip() for cell in row.strip("|").split("|"))
        assert ratios == [measured.get((network, peer), "") for peer in peers]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", _prose(page)):
        if not target.startswith(("https://", "http://")):
            file, _, anchor = target.partition("#")
            linked = page.parent / file if file else page
            assert linked.exists(), target
            assert not anchor or anchor in _anchors(linked), target


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", _prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
