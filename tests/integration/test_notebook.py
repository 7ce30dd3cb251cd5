"""Notebooks: the tutorial runs from its first cell to its last, and a bar goes along with every run."""

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import ipywidgets
import nbformat
import pytest
from nbclient import NotebookClient

from flsim.terminal import NotebookBar, in_notebook, notebook
from flsim.terminal.display import Progressed
from tests.integration.command import REPOSITORY, SMALL

TUTORIAL = REPOSITORY / "docs" / "tutorial.ipynb"
DEADLINE_S = 300

# What a notebook is displayed with


class Page(ModuleType):
    """Keeps what IPython.display would show, as IPython.display has it."""

    def __init__(self) -> None:
        super().__init__("IPython.display")
        self.displayed: list[Any] = []
        self.updates: list[str] = []

    HTML = str

    def display(self, what: Any, display_id: bool = False) -> Any:
        self.displayed.append(what)
        return SimpleNamespace(update=self.updates.append) if display_id else None


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Page:
    page = Page()
    monkeypatch.setitem(sys.modules, "IPython.display", page)
    return page


HALFWAY = Progressed(0.5, "3 min", 5, "accuracy 0.500", "")


def test_a_widget_is_filled_and_goes_away(page: Page) -> None:
    bar = NotebookBar("a < b")
    with bar:
        [box] = page.displayed
        filled, text = box.children
        assert (filled.value, text.value) == (0.0, "a < b")
        bar.show(HALFWAY)
        assert (filled.value, filled.max) == (0.5, 1.0)
        assert text.value == "a < b: virtual 3 min  version 5  accuracy 0.500"
        assert isinstance(box, ipywidgets.HBox)
        assert box.comm is not None
    assert box.comm is filled.comm is text.comm is None  # closed


def test_without_widgets_it_is_a_line_of_html(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    bar = NotebookBar("a < b")
    with bar:
        assert page.displayed == ['<progress value="0"></progress> a &lt; b']
        bar.show(HALFWAY)
    shown = '<progress value="0.5"></progress> a &lt; b: virtual 3 min  version 5  accuracy 0.500'
    assert page.updates == [shown, ""]


def test_a_sweep_has_a_bar_of_its_runs(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    done: Any = SimpleNamespace(resumed=False, error=None)
    with notebook.NotebookSweepWatcher("swept") as watcher:
        watcher(done, 4)
        watcher(SimpleNamespace(resumed=False, error="why"), 4)  # type: ignore[arg-type]
    assert page.updates[:2] == [
        '<progress value="0.25"></progress> swept: 1 of 4 runs',
        '<progress value="0.5"></progress> swept: 2 of 4 runs, 1 failed',
    ]


def test_tests_run_in_no_notebook() -> None:
    assert not in_notebook()


# The tutorial


def test_the_tutorial_is_stripped_and_can_be_read() -> None:
    book = nbformat.read(TUTORIAL, as_version=4)
    nbformat.validate(book)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert code
    for cell in code:
        assert (cell.outputs, cell.execution_count, cell.metadata) == ([], None, {})
        compile(cell.source, cell.id, "exec")
    assert book.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    text = "\n".join(cell.source for cell in book.cells if cell.cell_type == "markdown")
    for name in ("python.md", "scenario.md", "report.md", "extending.md"):
        assert f"({name})" in text
        assert (TUTORIAL.parent / name).is_file()


def _executed(book: nbformat.NotebookNode, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the notebook with what its cells have put out; a cell that fails is an error."""
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("IPYTHONDIR", str(folder / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(folder / "runtime"))
    where = {"metadata": {"path": str(folder)}}
    return NotebookClient(book, timeout=DEADLINE_S, resources=where).execute()


def _shown(cell: Any) -> list[str]:
    return [kind for output in cell.outputs for kind in output.get("data", {})]


@pytest.mark.slow
def test_the_tutorial_runs_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = _executed(nbformat.read(TUTORIAL, as_version=4), tmp_path, monkeypatch)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    for cell in code:
        assert cell.outputs, cell.source
        assert {output.get("name") for output in cell.outputs} <= {None, "stdout"}, cell.outputs
    assert "application/vnd.jupyter.widget-view+json" in _shown(code[0])
    pictures = [cell.source for cell in code if "image/png" in _shown(cell)]
    assert len(pictures) == 4, pictures
    assert "text/markdown" in _shown(code[-3])
    runs = tmp_path / "outputs"
    names = {"tutorial", "tutorial-fedbuff", "tutorial-sweep"}
    assert {path.name for path in runs.iterdir()} == names
    assert json.loads((runs / "tutorial" / "summary.json").read_text())["final_accuracy"] > 0.85


@pytest.mark.slow
@pytest.mark.parametrize("widgets", [True, False])
def test_a_bar_goes_along_in_a_notebook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, widgets: bool
) -> None:
    (tmp_path / "small.yaml").write_text(SMALL)
    sources = [
        "import sys" if widgets else "import sys; sys.modules['ipywidgets'] = None",
        "import flsim\nrun = flsim.run('small.yaml')\nrun",
        "run.plot.timeline()",
        "print('matplotlib.pyplot' in sys.modules, 'torch' in sys.modules, run.interrupted)",
        "quiet = flsim.run('small.yaml', 'name=quiet', progress=False)",
    ]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    _, ran, drawn, asked, quiet = _executed(book, tmp_path, monkeypatch).cells
    [bar, table] = ran.outputs
    assert ("application/vnd.jupyter.widget-view+json" in bar.data) == widgets
    assert ("text/html" in bar.data) != widgets
    assert "<caption>small</caption>" in table.data["text/html"]
    assert "image/png" in _shown(drawn)
    assert asked.outputs[0].text == "False False False\n"
    assert quiet.outputs == []
