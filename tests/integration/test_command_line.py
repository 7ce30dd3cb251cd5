"""The command line as a user meets it: what it prints, writes and returns."""

import json
import os
import pty
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

from flsim.scenario.catalogue import catalogue
from tests.integration.command import (
    DEADLINE_S,
    SCENARIOS,
    command_line,
    environment,
    files_in,
    flsim,
    summary_of,
)
from tests.integration.conftest import Finished

ARTEFACTS = {
    "clients.parquet",
    "communication.json",
    "ending.parquet",
    "journal.flsim",
    "metadata.parquet",
    "metrics.csv",
    "metrics.json",
    "plots/accuracy.png",
    "plots/client_reports.png",
    "plots/communication.png",
    "plots/convergence.png",
    "plots/fleet.png",
    "plots/loss.png",
    "plots/participation.png",
    "plots/timeline.png",
    "plots/utilisation.png",
    "report.html",
    "scenario.yaml",
    "summary.json",
    "tasks.parquet",
    "timeline.json.gz",
    "versions.parquet",
}
BARE = {name for name in ARTEFACTS if not name.startswith(("plots/", "report", "timeline", "metadata"))}


# Running


def test_the_quickstart_writes_its_artefacts_and_nothing_else(quickstart: Finished) -> None:
    assert files_in(quickstart.cwd / "outputs") == {f"quickstart/{name}" for name in ARTEFACTS}
    assert all((quickstart.folder / name).stat().st_size > 0 for name in ARTEFACTS)
    scenarios = {name for name in files_in(SCENARIOS) if "__pycache__" not in name}
    assert files_in(quickstart.cwd) == {f"scenarios/{name}" for name in scenarios} | {
        f"outputs/quickstart/{name}" for name in ARTEFACTS
    }


def test_the_quickstart_learns(quickstart: Finished) -> None:
    assert summary_of(quickstart.folder)["final_accuracy"] >= 0.90


def test_another_process_gives_the_same_bits(quickstart: Finished, tmp_path: Path) -> None:
    """Whatever differs between two shells: hash seed, time zone, locale, folders."""
    again = flsim(
        "run", SCENARIOS / "quickstart.yaml", "--out", tmp_path / "elsewhere",
        cwd=tmp_path, PYTHONHASHSEED="2", TZ="America/Caracas", LC_ALL="C.UTF-8",
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    first, second = summary_of(quickstart.folder), summary_of(tmp_path / "elsewhere" / "quickstart")
    assert re.fullmatch("[0-9a-f]{64}", first["records_sha256"])
    assert re.fullmatch("[0-9a-f]{64}", first["model_sha256"])
    first.pop("wall_time_s")
    second.pop("wall_time_s")
    assert first == second


def test_timing_only_keeps_the_timeline_and_trains_nothing(quickstart: Finished, tmp_path: Path) -> None:
    done = flsim(SCENARIOS / "quickstart.yaml", "--timing-only", "--out", tmp_path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    trained, timed = summary_of(quickstart.folder), summary_of(tmp_path / "quickstart")
    assert timed["records_sha256"] == trained["records_sha256"]
    assert timed["virtual_time_s"] == trained["virtual_time_s"]
    for key in ("final_accuracy", "best_accuracy", "best_version", "final_loss", "model_sha256"):
        assert trained[key] is not None
        assert timed[key] is None
    versions = parquet.read_table(tmp_path / "quickstart" / "versions.parquet")
    assert versions["accuracy"].null_count == len(versions) == 51
    assert "Accuracy" not in done.stdout


def test_the_end_is_told_in_plain_lines(quickstart: Finished) -> None:
    lines = quickstart.process.stdout.splitlines()  # with lines of progress, on a slow machine
    said = dict(line.split(": ", 1) for line in lines if ": " in line)
    summary = summary_of(quickstart.folder)
    assert said["Ended"] == "50 server updates were made"
    assert said["Updates"] == "50"
    assert said["Accuracy"].startswith(f"{summary['final_accuracy']:.4f} at the end")
    assert summary["records_sha256"].startswith(said["Records"].removeprefix("sha256 ")[:16])
    assert said["Files"] == "outputs/quickstart"
    assert quickstart.process.stderr == ""


def test_a_bare_file_is_run(small: Path) -> None:
    bare = flsim("small.yaml", cwd=small.parent)
    run = flsim("run", "small.yaml", "--out", "second", cwd=small.parent)
    assert (bare.returncode, run.returncode) == (0, 0), bare.stderr + run.stderr
    first = summary_of(small.parent / "outputs" / "small")
    second = summary_of(small.parent / "second" / "small")
    assert first["records_sha256"] == second["records_sha256"]
    assert files_in(small.parent / "second" / "small") == BARE


def test_set_changes_keys(small: Path) -> None:
    done = flsim(
        small, "--set", "stop.updates=3", "--set", "name=renamed", "--set", "strategy.cohort=4",
        cwd=small.parent,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    summary = summary_of(small.parent / "outputs" / "renamed")
    assert summary["updates"] == 3
    assert summary["tasks"]["dispatched"] == 12
    assert "cohort: 4" in (small.parent / "outputs" / "renamed" / "scenario.yaml").read_text()


def test_the_resolved_scenario_runs_and_gives_the_same(small: Path) -> None:
    """What a run leaves behind is a scenario; running it in place replaces the run by its equal."""
    first = flsim(small, "--out", "out", cwd=small.parent)
    before = summary_of(small.parent / "out" / "small")
    again = flsim("out/small/scenario.yaml", cwd=small.parent)
    assert (first.returncode, again.returncode) == (0, 0), first.stderr + again.stderr
    assert summary_of(small.parent / "out" / "small")["records_sha256"] == before["records_sha256"]


def test_quiet_prints_one_line(small: Path) -> None:
    done = flsim(small, "--quiet", cwd=small.parent)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(
        r"small: 10 server updates were made; virtual time [\d.]+ s; files in outputs/small\n", done.stdout
    )


def test_a_narrow_encoding_is_no_error(small: Path) -> None:
    done = flsim(small, cwd=small.parent, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")


# The other verbs


def test_validate_writes_nothing(small: Path) -> None:
    done = flsim("validate", small.name, cwd=small.parent)
    assert (done.returncode, done.stdout) == (0, "small.yaml: a valid scenario, 'small'\n")
    assert files_in(small.parent) == {"small.yaml"}


def test_list_names_every_kind(tmp_path: Path) -> None:
    done = flsim("list", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    listed = [tuple(line.split("\t")[:2]) for line in done.stdout.splitlines()]
    assert listed == [(place.path, kind) for place in catalogue() for kind in place.kinds]
    assert {("strategy", "sync"), ("strategy", "fedasync"), ("strategy", "fedbuff")} <= set(listed)


def test_list_of_one_place(tmp_path: Path) -> None:
    done = flsim("list", "strategy", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("strategy\tsync\tAsk `cohort`")
    assert "mixing=0.6" in done.stdout
    assert "dirichlet" not in done.stdout


def test_schema_is_json(tmp_path: Path) -> None:
    done = flsim("schema", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    schema = json.loads(done.stdout)
    assert set(schema["required"]) == {"name", "workload", "fleet", "strategy", "stop"}


def test_version_and_help(tmp_path: Path) -> None:
    assert flsim("--version", cwd=tmp_path).stdout == f"flsim, version {version('flsim-des')}\n"
    short, long, nothing = (flsim(*args, cwd=tmp_path) for args in (["-h"], ["--help"], []))
    assert [done.returncode for done in (short, long, nothing)] == [0, 0, 0]
    assert short.stdout == long.stdout == nothing.stdout
    for verb in ("run", "validate", "list", "schema"):
        assert re.search(rf"^  {verb} ", short.stdout, re.MULTILINE)
    run = flsim("run", "-h", cwd=tmp_path)
    assert all(
        option in run.stdout for option in ("--set", "--out", "--timing-only", "--quiet", "--verbose")
    )


@pytest.mark.parametrize(
    ("args", "hint"),
    [
        (["lisst"], "did you mean 'list'?"),
        (["x" * 400], "no command or scenario file"),
        (["list", "stratgy"], "did you mean 'strategy'?"),
        (["list", "strategy", "fedbuf"], "did you mean 'fedbuff'?"),
        (["run", "--sett"], "Usage: flsim run [OPTIONS] SCENARIO.yaml"),
        (["run"], "Missing argument 'SCENARIO.yaml'"),
        (["--quiet"], "Missing argument 'SCENARIO.yaml'"),
        (["small.yaml", "--sett", "a=1"], "--set"),
        (["small.yaml", "another.yaml"], "another.yaml"),
        (["small.yaml", "--out"], "--out"),
        (["schema", "more"], "more"),
    ],
    ids=lambda value: " ".join(value)[:20] if isinstance(value, list) else "",
)
def test_misuse_exits_2_with_a_hint(small: Path, args: list[str], hint: str) -> None:
    done = flsim(*args, cwd=small.parent)
    assert (done.returncode, done.stdout) == (2, "")
    assert hint in done.stderr
    assert "Traceback" not in done.stderr
    assert files_in(small.parent) == {"small.yaml"}


# Streams that are not as usual


@pytest.mark.parametrize("args", [["list"], ["schema"], ["-h"], ["validate", "small.yaml"], ["small.yaml"]])
def test_a_reader_that_goes_away_is_no_error(small: Path, args: list[str]) -> None:
    """As in `flsim list | head`: the pipe is closed before anything is written to it."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            command_line(*args),
            cwd=small.parent,
            env=environment(),
            stdout=writing,
            stderr=subprocess.PIPE,
            timeout=DEADLINE_S,
            check=False,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")
    if args == ["small.yaml"]:
        assert summary_of(small.parent / "outputs" / "small")["updates"] == 10


def test_colour_is_for_terminals_only(small: Path) -> None:
    for args in (["list"], [small], [small, "--set", "seed=-1"]):
        done = flsim(*args, cwd=small.parent, TERM="xterm-256color")
        assert "\x1b" not in done.stdout + done.stderr


def on_a_terminal(args: list[str | Path], cwd: Path, **variables: str) -> tuple[int, str]:
    """Run flsim on a pseudo-terminal; return its exit code and everything that it showed."""
    ours, theirs = pty.openpty()
    shown = bytearray()
    changes = {"TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40", **variables}
    with subprocess.Popen(
        command_line(*args), cwd=cwd, env=environment(**changes), stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        try:
            while more := os.read(ours, 65536):
                shown.extend(more)
        except OSError:
            pass  # Linux says that the other side is closed with an error, others with nothing
        finally:
            os.close(ours)
    return process.returncode, shown.decode()


def test_a_terminal_shows_progress_and_a_table(small: Path) -> None:
    args: list[str | Path] = [small, "--set", "stop.updates=20000", "--set", "strategy.cohort=2"]
    code, shown = on_a_terminal(args, small.parent)
    assert code == 0, shown
    assert "━" in shown
    versions = [int(found) for found in re.findall(r"version (\d+)", shown)]
    assert versions == sorted(versions)
    assert 0 < versions[-1] <= 20000
    assert re.search(r"[\d,]+ tasks/s", shown)
    table = shown[shown.rindex("┌") if "┌" in shown else shown.rindex("┏") :]
    assert re.search(r"│[^│]*Ended[^│]*│ 20000 server updates were made +│", table)
    assert re.search(r"│[^│]*Files[^│]*│ outputs/small", table)
    assert "━" not in table.splitlines()[-1]
    assert shown.index("\x1b[?25l") < shown.index("\x1b[?25h")  # the cursor is given back


def test_no_color_is_respected(small: Path) -> None:
    colour = re.compile("\x1b\\[[0-9;]*(?:3[0-7]|38;[0-9;]+|9[0-7])[;m]")
    wrong: list[str | Path] = [small, "--set", "seed=-1"]
    code, shown = on_a_terminal(wrong, small.parent)
    assert code == 1
    assert colour.search(shown)
    code, shown = on_a_terminal(wrong, small.parent, NO_COLOR="1")
    assert code == 1
    assert not colour.search(shown)
    code, shown = on_a_terminal([small], small.parent, NO_COLOR="1")
    assert code == 0
    assert not colour.search(shown)
