"""`flsim plot` draws from the records alone what the run drew, in any format."""

import shutil
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from flsim.cli import cli
from flsim.running import run
from flsim.scenario import Scenario, read_scenario
from flsim.scenario.output import Pictures
from flsim.scenario.reading import to_yaml
from tests.integration.command import SMALL, files_in, flsim
from tests.unit.recorded import Run, write

DRAWN = ["communication", "fleet", "participation", "timeline", "utilisation"]


def scenario_of(folder: Path, name: str, plots: str) -> Scenario:
    file = folder / f"{name}.yaml"
    file.write_text(SMALL)
    output = f"output={{dir: {folder}, plots: {plots}, timeline: false}}"
    return read_scenario(file, [f"name={name}", output])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that drew itself as SVG, `whole`, and one that was interrupted, `cut`."""
    folder = tmp_path_factory.mktemp("runs")
    run(scenario_of(folder, "whole", "{formats: [svg, svg]}"))
    cut = run(scenario_of(folder, "cut", "true"), watch=lambda moment: moment.version < 3)
    assert cut.interrupted
    assert not (folder / "cut" / "plots").exists()
    return folder


def test_a_run_is_drawn_in_the_formats_of_its_scenario(folder: Path) -> None:
    assert files_in(folder / "whole" / "plots") == {f"{name}.svg" for name in DRAWN}


def test_the_records_alone_give_the_same_pictures_and_an_interrupted_run_has_some(folder: Path) -> None:
    (folder / "bare" / "whole").mkdir(parents=True)
    for record in (folder / "whole").glob("*.parquet"):
        shutil.copy(record, folder / "bare" / "whole")
    runs = (folder / "bare" / "whole", folder / "cut")
    shown = ("communication", "timeline")  # the others would only take longer
    only = ",".join(shown)
    done = flsim("plot", *runs, "--format", "svg,pdf", "--only", only, "--out", "drawn", cwd=folder)
    assert done.returncode == 0, done.stderr
    for name in ("whole", "cut"):
        expected = {f"{picture}.{form}" for picture in shown for form in ("svg", "pdf")}
        assert files_in(folder / "drawn" / name) == expected
    for name in shown:
        again = folder / "drawn" / "whole" / f"{name}.svg"
        assert again.read_bytes() == (folder / "whole" / "plots" / again.name).read_bytes()
    assert done.stdout.splitlines()[0] == "Picture: drawn/whole/communication.svg"


def test_one_picture_goes_beside_its_run_and_an_empty_one_is_named(folder: Path) -> None:
    done = flsim("plot", "cut", "--only", "accuracy,timeline", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "Picture: cut/plots/timeline.png",
        "cut: the picture 'accuracy' would be empty",
    ]
    assert files_in(folder / "cut" / "plots") == {"timeline.png"}


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["cut", "--only", "acuracy"], 2, "no picture 'acuracy'; pictures: accuracy, loss"),
        (["cut", "--format", "png,gif"], 2, "no format 'gif'; formats: png, svg, pdf"),
        (["cut", "bare/../cut", "--out", "x"], 2, "--out: two runs are named 'cut'"),
        (["nowhere"], 1, "nowhere/tasks.parquet is missing; is nowhere the folder of a run?"),
    ],
)
def test_a_mistake_is_told(folder: Path, args: list[str], code: int, message: str) -> None:
    done = flsim("plot", *args, cwd=folder)
    assert done.returncode == code
    assert message in " ".join(done.stderr.split())


def test_formats_stay_in_the_resolved_scenario(tmp_path: Path) -> None:
    scenario = scenario_of(tmp_path, "formats", "{formats: [pdf, png, pdf]}")
    assert scenario.output.plots == Pictures(formats=("pdf", "png", "pdf"))
    assert scenario.output.picture_formats == ("pdf", "png")
    (tmp_path / "again.yaml").write_text(to_yaml(scenario))
    assert read_scenario(tmp_path / "again.yaml") == scenario
    for word, formats in (("true", ("png",)), ("false", ()), ("{}", ("png",))):
        assert scenario_of(tmp_path, "formats", word).output.picture_formats == formats


def _plotted(*args: str | Path) -> list[str]:
    done = CliRunner().invoke(cli, ["plot", *map(str, args)], standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return done.stdout.splitlines()


def test_the_pictures_of_one_run_go_where_they_are_wanted(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "wanted"
    shown = _plotted(folder / "cut", "--only", "communication", "--format", "svg", "--out", out)
    assert shown == [f"Picture: {out}/communication.svg"]
    assert files_in(out) == {"communication.svg"}


def test_a_run_of_which_there_is_nothing_to_draw_says_so(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    write(empty, Run([], [], []))
    assert _plotted(empty) == [f"{empty}: there is nothing to draw"]
    assert not (empty / "plots").exists() or not files_in(empty / "plots")


def test_a_run_without_trackers_is_told_how_to_name_one(folder: Path) -> None:
    with pytest.raises(click.UsageError, match="cut names no tracker: say --with"):
        CliRunner().invoke(
            cli, ["track", str(folder / "cut")], standalone_mode=False, catch_exceptions=False
        )
