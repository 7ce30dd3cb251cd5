"""`import flsim`: runs, sweeps and comparisons from a program, and what can be seen of them."""

import ast
import copy
import html
import json
import os
import pkgutil
import re
import signal
import subprocess
import sys
import threading
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as parquet
import pytest
import yaml
from IPython.core.formatters import DisplayFormatter

import flsim
from flsim import api, running
from flsim.observe.comparison_table import as_csv
from flsim.observe.plots import PICTURES
from flsim.results import Plots
from flsim.scenario import scenario_of
from flsim.terminal.display import Display, Progressed
from tests.integration.command import DEADLINE_S, REPOSITORY, SMALL, environment
from tests.integration.conftest import Finished

# What `import flsim` is for


def test_every_name_is_what_a_type_checker_sees() -> None:
    """The imports that only type checkers make, the names that are promised, and where they are found."""
    tree = ast.parse((REPOSITORY / "flsim" / "__init__.py").read_text())
    checked = next(node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in checked.body if isinstance(node, ast.ImportFrom)]
    homes = {name.name: node.module for node in imports for name in node.names}
    assert homes == flsim._HOMES
    assert sorted(homes) == sorted(flsim.__all__)
    for name, home in homes.items():
        assert getattr(flsim, name) is getattr(import_module(str(home)), name)
        assert name in dir(flsim)


def test_no_module_has_the_name_of_a_function() -> None:
    """The import of a module `flsim.sweep` would put it in the place of the function."""
    modules = {module.name for module in pkgutil.iter_modules(flsim.__path__)}
    assert not modules & set(flsim.__all__)


def test_anything_else_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="module 'flsim' has no attribute 'ran'"):
        flsim.ran  # noqa: B018


@pytest.mark.slow
def test_a_script_of_a_user_is_type_checked(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        """\
import flsim

run = flsim.run("quickstart.yaml", "seed=1", {"strategy.cohort": 20}, progress=False)
reveal_type(run)
reveal_type(run.tasks)
reveal_type(run.plot.accuracy())
reveal_type(run.metrics.accuracy)
reveal_type(flsim.compare([run, "folder"]).to_frame())
flsim.run("quickstart.yaml", progress="sometimes")
flsim.ran
"""
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", script.name],
        cwd=tmp_path,
        env=environment(MYPYPATH=str(REPOSITORY)),
        capture_output=True,
        text=True,
        timeout=5 * DEADLINE_S,
        check=False,
    )
    revealed = re.findall(r'script\.py:\d+: note: Revealed type is "(.*)"', done.stdout)
    assert [
        re.split(r"[.\[]", each)[-1] if "[" not in each else each.split("[")[0] for each in revealed
    ] == [
        "Run",
        "DataFrame",
        "Figure",
        "numpy.ndarray",
        "DataFrame",
    ], done.stdout
    assert re.findall(r"script\.py:(\d+): error", done.stdout) == ["9", "10"], done.stdout


# Running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("python")


@pytest.fixture(scope="module")
def small(folder: Path) -> Path:
    path = folder / "small.yaml"
    path.write_text(SMALL)
    return path


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(SMALL)
    return loaded


def test_a_file_a_mapping_and_a_scenario_give_the_same_run(
    folder: Path, small: Path, data: dict[str, Any]
) -> None:
    before = copy.deepcopy(data)
    given = (small, str(small), data, flsim.read_scenario(small))
    runs = [
        flsim.run(each, "strategy.cohort=4", {"name": f"given-{place}", "seed": 3}, out=folder / "given")
        for place, each in enumerate(given)
    ]
    assert data == before
    assert len({run.summary["records_sha256"] for run in runs}) == 1
    assert [run.folder for run in runs] == [folder / "given" / f"given-{place}" for place in range(4)]
    for run in runs:
        assert (run.scenario.seed, len(run.tasks), run.interrupted) == (3, 40, False)
        assert flsim.load(run.folder).summary == json.loads((run.folder / "summary.json").read_text())


def test_timing_only_trains_nothing(folder: Path) -> None:
    scenario = REPOSITORY / "scenarios" / "quickstart.yaml"
    quick = {"output": {"plots": False, "timeline": False, "report": False}, "stop.updates": 3}
    run = flsim.run(scenario, quick, out=str(folder / "timing"), timing_only=True)
    assert run.versions["accuracy"].isna().all()
    assert (run.metrics.best, run.summary["updates"]) == (None, 3)


def test_a_mistake_is_an_error_of_flsim_and_nothing_is_written(folder: Path, data: dict[str, Any]) -> None:
    with pytest.raises(flsim.ScenarioError, match="did you mean 'cohort'") as caught:
        flsim.run(data, "strategy.cohrt=3", out=folder / "mistaken")
    assert isinstance(caught.value, flsim.FlsimError)
    with pytest.raises(flsim.FlsimError, match="progress: expected True, False or 'auto', not 'no'"):
        flsim.run(data, out=folder / "mistaken", progress="no")  # type: ignore[arg-type]
    assert not (folder / "mistaken").exists()


def test_a_run_whose_folder_was_taken_says_so(folder: Path, data: dict[str, Any]) -> None:
    """Two runs of one name in a notebook: the first must not show the tables of the second."""
    out = folder / "taken"
    first, other = flsim.run(data, out=out), flsim.run(data, "name=other", out=out)
    assert len(first.tasks) == 100
    second = flsim.run(data, "strategy.cohort=3", out=out)
    assert len(first.tasks) == 100  # was read before
    late = flsim.Run(first.folder, first.summary)
    for read in (
        lambda: late.tasks,
        lambda: late.tables,
        lambda: late.table("ending"),
        lambda: late.table_names,
        lambda: late.scenario,
        lambda: late.metrics,
        late.plot.timeline,
        late.report,
    ):
        with pytest.raises(flsim.RunError, match="another run has been written there since"):
            read()
    assert len(second.tasks) == 30
    assert len(other.tasks) == 100


# While it goes on


class Recorder(Display):
    """Keeps what it is shown, and interrupts at the first."""

    every_s = 1e-9

    def __init__(self, interrupts: int = 0) -> None:
        self.shown: list[Progressed] = []
        self.interrupts = interrupts
        self.open = False

    def __enter__(self) -> "Recorder":
        self.open = True
        return self

    def __exit__(self, *_: object) -> None:
        self.open = False

    def show(self, progressed: Progressed) -> None:
        assert self.open
        self.shown.append(progressed)
        if len(self.shown) <= self.interrupts:
            signal.raise_signal(signal.SIGINT)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(api, "_display", lambda name, progress: recorder)
    return recorder


def test_progress_is_shown_until_the_end(folder: Path, data: dict[str, Any], shown: Recorder) -> None:
    run = flsim.run(data, out=folder / "shown")
    versions = [each.version for each in shown.shown]
    shares = [each.share for each in shown.shown]
    assert (versions, versions[-1]) == (sorted(versions), 10)
    assert shares == [version / 10 for version in versions]
    assert f"version {versions[-1]}" in shown.shown[-1].line
    assert not shown.open
    assert run.summary["updates"] == 10


@pytest.fixture
def endless(data: dict[str, Any]) -> dict[str, Any]:
    return data | {"name": "endless", "stop": {"time": 1e12}}


def test_an_interrupt_ends_the_run_in_order(folder: Path, endless: dict[str, Any], shown: Recorder) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    shown.interrupts = 1
    run = flsim.run(endless, out=folder / "interrupted")
    assert run.interrupted
    assert "interrupted" in repr(run)
    assert len(run.tasks) == run.summary["tasks"]["dispatched"]
    assert flsim.load(run.folder).interrupted
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_an_interrupted_run_goes_on_where_it_was(
    folder: Path, data: dict[str, Any], shown: Recorder
) -> None:
    whole = flsim.run(data, out=folder / "whole", progress=False)
    scenario = scenario_of(data, [{"output.dir": str(folder / "halves")}])
    interrupted = running.run(scenario, watch=lambda moment: moment.version < 5)
    assert interrupted.interrupted
    again = flsim.resume(str(interrupted.folder))
    assert not again.interrupted
    assert again.summary["records_sha256"] == whole.summary["records_sha256"]
    assert again.summary["model_sha256"] == whole.summary["model_sha256"]
    assert shown.shown[-1].version == 10
    with pytest.raises(flsim.RunError, match="there is nothing to resume"):
        flsim.resume(interrupted.folder)


def test_a_run_outside_the_main_thread_leaves_interrupts_alone(
    folder: Path, data: dict[str, Any], shown: Recorder
) -> None:
    runs: list[flsim.Run] = []
    thread = threading.Thread(target=lambda: runs.append(flsim.run(data, out=folder / "thread")))
    thread.start()
    thread.join()
    assert [run.summary["updates"] for run in runs] == [10]
    assert shown.shown


@pytest.mark.parametrize(
    ("progress", "notebook", "terminal", "display"),
    [
        ("auto", False, False, None),
        ("auto", False, True, "Bar"),
        ("auto", True, False, "NotebookBar"),
        (True, False, False, "Lines"),
        (True, False, True, "Bar"),
        (True, True, False, "NotebookBar"),
        (False, True, False, None),
        (False, False, True, None),
    ],
)
def test_progress_is_shown_where_somebody_looks(
    monkeypatch: pytest.MonkeyPatch, progress: Any, notebook: bool, terminal: bool, display: str | None
) -> None:
    monkeypatch.setattr(api, "in_notebook", lambda: notebook)
    monkeypatch.setenv("TTY_COMPATIBLE", str(int(terminal)))
    shown = api._display("a run", progress)
    assert (None if shown is None else type(shown).__name__) == display


def test_a_script_says_nothing(folder: Path, data: dict[str, Any], capfd: Any) -> None:
    flsim.run(data, out=folder / "silent")
    assert capfd.readouterr() == ("", "")


# What it has left


@pytest.fixture(scope="module")
def trained(quickstart: Finished) -> flsim.Run:
    return flsim.load(quickstart.folder)


def test_a_run_is_read_from_its_folder(trained: flsim.Run) -> None:
    assert trained.summary == json.loads((trained.folder / "summary.json").read_text())
    assert trained.scenario == flsim.read_scenario(trained.folder / "scenario.yaml")
    tasks = parquet.read_table(trained.folder / "tasks.parquet")
    assert trained.tables.tasks.equals(tasks.select(trained.tables.tasks.column_names))
    assert trained.tasks["ended_s"].tolist() == tasks["ended_s"].to_pylist()
    assert len(trained.versions) == trained.summary["updates"] + 1
    assert len(trained.clients) == 100
    assert trained.tasks is trained.tasks
    assert trained.metrics.name == "quickstart"
    assert trained.metrics.accuracy[-1] == trained.summary["final_accuracy"]
    assert trained.metrics.best is not None
    assert trained.metrics.best.round == trained.summary["best_version"]


def test_every_table_has_a_name(trained: flsim.Run) -> None:
    assert set(trained.table_names) == {path.stem for path in trained.folder.glob("*.parquet")}
    for name in trained.table_names:
        rows = parquet.read_table(trained.folder / f"{name}.parquet").num_rows
        assert len(trained.table(name)) == rows
    assert trained.table("tasks").equals(trained.tasks)
    assert "losses" in trained.table("metadata")
    with pytest.raises(flsim.RunError, match=r"no table \'metdata'; there are .*; did you mean 'metadata'"):
        trained.table("metdata")


def test_a_run_is_told_in_a_line_and_in_a_table(trained: flsim.Run) -> None:
    accuracy = f"{trained.summary['final_accuracy']:.4f}"
    line = (
        rf"<Run quickstart: 50 updates in [\d.]+ min of virtual time, accuracy {accuracy}, in .*quickstart>"
    )
    assert re.fullmatch(line, repr(trained))
    table = trained._repr_html_()
    rows = dict(re.findall(r'<th scope="row">(.*?)</th><td>(.*?)</td>', table))
    assert list(rows) == [
        "Ended",
        "Virtual time",
        "Server updates",
        "Tasks",
        "Traffic",
        "Accuracy",
        "Files",
    ]
    assert rows["Server updates"] == "50"
    assert rows["Accuracy"].startswith(accuracy)
    assert {trained: 1}[trained] == 1  # a run can be a key


def test_the_report_is_a_path_and_a_page(trained: flsim.Run) -> None:
    report = trained.report()
    assert Path(report) == report.path == trained.folder / "report.html"
    assert os.fspath(report) == str(report)
    shown = re.fullmatch(
        r'<iframe title="[^"]+" srcdoc="([^"]*)" style="[^"]*"></iframe>', report._repr_html_()
    )
    assert shown is not None
    assert html.unescape(shown[1]) == report.path.read_text()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "not the folder of a finished run: it has no summary.json"),
        ("{", "summary.json: cannot be read"),
        ("[]", "not the summary of a run of this flsim"),
        ('{"name": "x"}', "not the summary of a run of this flsim"),
    ],
)
def test_what_is_no_run_cannot_be_loaded(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "summary.json").write_text(content)
    with pytest.raises(flsim.RunError, match=message):
        flsim.load(tmp_path)


# Pictures


def test_every_picture_is_a_method(trained: flsim.Run) -> None:
    assert set(PICTURES) <= set(dir(trained.plot))
    drawn = {name for name in PICTURES if (trained.folder / "plots" / f"{name}.png").is_file()}
    assert {"accuracy", "timeline"} <= drawn
    for name in PICTURES:
        if name in drawn:
            assert getattr(trained.plot, name)().axes
            continue
        with pytest.raises(flsim.RunError, match=rf"no picture '{name}' of this run: \w+"):
            getattr(trained.plot, name)()


def test_a_notebook_shows_a_figure_without_pyplot(trained: flsim.Run) -> None:
    shown, size = DisplayFormatter().format(trained.plot.accuracy())
    picture = shown["image/png"]
    assert picture.startswith(b"\x89PNG")
    width, height = (int.from_bytes(picture[place : place + 4]) for place in (16, 20))
    said = size["image/png"]
    assert said["width"] / said["height"] == pytest.approx(width / height, rel=0.01)
    assert said["width"] < width


def test_other_names_are_no_pictures(trained: flsim.Run) -> None:
    with pytest.raises(AttributeError, match=r"no picture \'acuracy'; .* did you mean 'accuracy'"):
        trained.plot.acuracy()
    with pytest.raises(flsim.RunError, match=r"no picture \'acuracy'; .* did you mean 'accuracy'"):
        trained.plot("acuracy")
    assert not hasattr(trained.plot, "_repr_html_")
    assert copy.copy(trained.plot)("loss").axes
    assert isinstance(trained.plot, Plots)


# Sweeps and comparisons


@pytest.fixture(scope="module")
def sweep(folder: Path, data: dict[str, Any]) -> flsim.Sweep:
    grid = {"strategy.cohort": (5, 10), "seed": "0..1"}
    return flsim.sweep(data, grid, {"stop.updates": 4}, out=folder / "swept", progress=False)


def test_a_sweep_is_of_every_combination(sweep: flsim.Sweep, folder: Path, small: Path) -> None:
    assert sweep.folder == folder / "swept" / "small"
    assert sweep.errors == {}
    assert [run.folder.name for run in sweep.runs] == [
        "cohort-5_seed-0",
        "cohort-5_seed-1",
        "cohort-10_seed-0",
        "cohort-10_seed-1",
    ]
    for run, (cohort, seed) in zip(sweep.runs, [(5, 0), (5, 1), (10, 0), (10, 1)], strict=True):
        assert run.scenario.seed == seed
        assert run.scenario.strategy == flsim.read_scenario(small, [f"strategy.cohort={cohort}"]).strategy
        assert len(run.tasks) == 4 * cohort
    frame = sweep.to_frame()
    assert frame["strategy.cohort"].tolist() == [5, 5, 10, 10]
    assert frame["virtual_time_s"].tolist() == [run.summary["virtual_time_s"] for run in sweep.runs]
    pd.testing.assert_frame_equal(frame, pd.read_csv(sweep.folder / "sweep.csv"), check_dtype=False)
    assert repr(sweep) == f"<Sweep of 4 runs, in {sweep.folder}>"
    assert sweep._repr_html_().count("<tr") == 5


def test_a_sweep_goes_on_where_it_was_and_lists_what_fails(
    folder: Path, small: Path, data: dict[str, Any], sweep: flsim.Sweep
) -> None:
    grids = [{"strategy.cohort": 5, "seed": range(2)}, {"strategy.cohrt": [1]}]
    again = flsim.sweep(small, grids, {"stop.updates": 4}, out=folder / "swept", progress=False)
    assert [outcome.resumed for outcome in again.outcomes] == [True, True, False]
    assert list(again.errors) == ["cohrt-1"]
    assert "did you mean 'cohort'" in again.errors["cohrt-1"]
    assert len(again.runs) == 2
    assert flsim.compare(again) == flsim.compare(again.folder)
    assert repr(again).startswith("<Sweep of 3 runs, 1 failed, in ")


@pytest.mark.parametrize("varied", [{"seed": [{1}]}, {"seed": []}, {}, []])
def test_a_grid_that_is_none_is_refused(data: dict[str, Any], varied: Any, folder: Path) -> None:
    with pytest.raises(flsim.ScenarioError, match=r"^varied"):
        flsim.sweep(data, varied, out=folder / "none", progress=False)
    assert not (folder / "none").exists()


def test_a_comparison_is_the_commands(sweep: flsim.Sweep) -> None:
    compared = flsim.compare(sweep)
    frame = compared.to_frame()
    assert frame["method"].tolist() == ["strategy cohort 5", "strategy cohort 10"]
    assert frame["runs"].tolist() == [2, 2]
    assert as_csv(compared).splitlines()[0].split(",") == list(frame)
    assert frame["time_ratio"].dtype == frame["final_accuracy"].dtype == "float64"
    times = [run.summary["virtual_time_s"] for run in sweep.runs]
    assert frame["time_s"].tolist() == pytest.approx([sum(times[:2]) / 2, sum(times[2:]) / 2])
    by_run = flsim.compare([*sweep.runs[:2], sweep.runs[2].folder, str(sweep.runs[3].folder)])
    assert by_run == compared
    shown, _ = DisplayFormatter().format(compared)
    assert "| strategy cohort 5 | 2 of 2 |" in shown["text/markdown"]
    with pytest.raises(flsim.RunError, match="not the folder of a finished run"):
        flsim.compare(["nowhere"])
