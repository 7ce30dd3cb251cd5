"""`flsim compare`: what methods take to an accuracy, over seeds."""

import csv
import io
import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import stats

from flsim.cli import cli
from flsim.errors import RunError
from flsim.observe.comparison import compare, estimate, folders_of, ratio, read_run
from flsim.observe.comparison_table import HEADINGS, as_csv, cells, markdown
from flsim.observe.labels import method_labels
from tests.compared import ASYNC, SYNC, run_of
from tests.governed import run_in, timed
from tests.integration.command import SMALL, flsim


def test_what_it_took_is_read_at_the_first_version_that_is_good_enough() -> None:
    compared = compare([*SYNC, *ASYNC], target=0.8)
    sync, fedbuff = compared.rows
    assert (sync.method, sync.runs, sync.reached) == ("sync", 3, 3)
    assert (fedbuff.method, fedbuff.runs, fedbuff.reached) == ("fedbuff", 4, 4)
    assert sync.time_s == estimate([20, 21, 22])
    assert sync.updates == estimate([2, 2, 2])
    assert sync.traffic == estimate([220, 220, 220])
    assert fedbuff.time_s == estimate([9, 10, 11, 12])
    assert fedbuff.final_accuracy == estimate([0.85] * 4)
    assert sync.time_ratio is sync.accuracy_gain is None
    assert fedbuff.time_ratio == ratio([(9, 20), (10, 21), (11, 22)])  # of the seeds that both have
    assert fedbuff.accuracy_gain is not None
    assert fedbuff.accuracy_gain.mean == pytest.approx(-0.05)
    assert fedbuff.accuracy_gain.runs == 3


def test_the_target_is_by_default_what_every_run_reaches() -> None:
    assert compare([*SYNC, *ASYNC]).target == 0.85


def test_a_method_of_which_a_run_never_gets_there_has_no_time() -> None:
    lucky = run_of([(0, 0.1), (1, 0.95)], "fedbuff", seed=9)
    sync, fedbuff = compare([*SYNC, *ASYNC, lucky], target=0.9).rows
    assert (sync.reached, fedbuff.reached) == (3, 1)
    assert sync.time_s is not None
    assert fedbuff.time_s is fedbuff.updates is fedbuff.traffic is fedbuff.time_ratio is None
    assert fedbuff.final_accuracy is not None


def test_without_accuracies_whole_runs_are_compared() -> None:
    runs = [run_of([(0, None), (10, None)], kind, seed=s) for kind in ("sync", "fedbuff") for s in (0, 1)]
    compared = compare(runs)
    assert compared.target is None
    assert [row.time_s.mean for row in compared.rows if row.time_s] == [11.0, 11.0]
    assert all(row.final_accuracy is None for row in compared.rows)


def test_one_draw_counts_once() -> None:
    with pytest.raises(RunError, match="sync-0: the same scenario and seed as sync-0"):
        compare([SYNC[0], run_of([(0, 0.1), (3, 0.9)], output={"dir": "elsewhere"})])


@pytest.mark.parametrize("values", [[3.0, 5.0], [1.0, 2.0, 4.0, 8.0, 16.0], [0.5, 0.5, 0.5]])
def test_intervals_are_those_of_student(values: list[float]) -> None:
    found = estimate(values)
    assert found is not None
    error = np.std(values, ddof=1) / math.sqrt(len(values))
    expected = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=error or 1e-300)
    assert (found.low, found.high) == pytest.approx(expected)
    assert found.mean == pytest.approx(np.mean(values))


def test_intervals_of_ratios_are_those_of_their_logarithms() -> None:
    pairs = [(2.0, 1.0), (3.0, 1.0), (10.0, 4.0)]
    found, logs = ratio(pairs), estimate([math.log(one / other) for one, other in pairs])
    assert found is not None
    assert logs is not None
    assert found.low is not None
    assert logs.low is not None
    assert found.mean == pytest.approx(stats.gmean([2.0, 3.0, 2.5]))
    assert found.low == pytest.approx(math.exp(logs.low))
    assert ratio([(1.0, 0.0)]) is None
    assert ratio([]) is None


def test_one_run_has_no_interval() -> None:
    found = estimate([4.0])
    assert found is not None
    assert (found.mean, found.low, found.high) == (4.0, None, None)


def test_methods_go_by_what_tells_them_apart() -> None:
    attack = {"kind": "sign_flip", "clients": {"share": 0.2}}
    scenarios = [
        {"seed": 1, "name": "a", "stop": {"updates": 5}, "attack": None},
        {"seed": 2, "name": "b", "stop": {"updates": 5}, "attack": attack},
        {"seed": 3, "name": "c", "stop": {"updates": 6}, "attack": attack | {"clients": {"share": 0.3}}},
    ]
    assert method_labels(scenarios) == [
        "stop updates 5, attack none",
        "stop updates 5, attack sign_flip, clients share 0.2",
        "stop updates 6, attack sign_flip, clients share 0.3",
    ]
    assert method_labels(scenarios[:1] * 2) == ["all", "all"]


def test_csv_has_every_digit_and_markdown_the_same_rows() -> None:
    compared = compare([*SYNC, *ASYNC], target=0.8)
    rows = list(csv.DictReader(io.StringIO(as_csv(compared))))
    assert [row["method"] for row in rows] == ["sync", "fedbuff"]
    assert float(rows[0]["time_s"]) == 21.0
    assert rows[0]["time_ratio"] == rows[0]["time_ratio_low"] == ""
    assert float(rows[1]["time_ratio"]) == compared.rows[1].time_ratio.mean  # type: ignore[union-attr]
    text = markdown(compared)
    assert text.startswith("To an accuracy of 0.8:\n\n| method |")
    assert "| sync | 3 of 3 | 21 ± 2.48 s | – | 2 ± 0 | 220 ± 0 B |" in text


@pytest.mark.slow
def test_a_sweep_over_seeds_ends_with_the_comparison_that_compare_prints(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SMALL)
    swept = flsim("sweep", "small.yaml", "strategy.cohort=4,8", "seed=0,1", cwd=tmp_path)
    assert (swept.returncode, swept.stderr) == (0, "")
    runs = tmp_path / "outputs" / "small"
    assert len(folders_of(runs)) == 4
    compared = compare([read_run(folder) for folder in folders_of(runs)])
    assert [row.method for row in compared.rows] == ["strategy cohort 4", "strategy cohort 8"]
    assert (runs / "comparison.csv").read_text() == as_csv(compared)
    again = flsim("compare", runs, cwd=tmp_path)
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout in swept.stdout
    one_by_one = flsim("compare", *folders_of(runs), "--format", "csv", cwd=tmp_path)
    assert one_by_one.stdout == as_csv(compared)
    assert f"Page: {runs / 'comparison.html'}" in swept.stdout
    page = flsim("compare", runs, "--html", "page.html", "--format", "csv", cwd=tmp_path)
    assert (page.stdout, page.stderr) == (as_csv(compared), "Page: page.html\n")
    assert (tmp_path / "page.html").read_bytes() == (runs / "comparison.html").read_bytes()
    target = flsim("compare", runs, "--target", "2", "--format", "markdown", cwd=tmp_path)
    assert "| strategy cohort 4 | 0 of 2 | – |" in target.stdout


def test_what_is_no_run_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = flsim("compare", "empty", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: empty: not the folder of a finished run")
    (tmp_path / "scenario.yaml").write_text("seed: 1\n")
    (tmp_path / "summary.json").write_text(json.dumps({"virtual_time_s": 1}))
    (tmp_path / "metrics.json").write_text(json.dumps({"versions": []}))
    with pytest.raises(RunError, match="it has no versions"):
        read_run(tmp_path)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds of two cohorts, as a sweep leaves them."""
    folder = tmp_path_factory.mktemp("runs")
    for cohort in (4, 8):
        for seed in (0, 1):
            strategy = {"kind": "sync", "cohort": cohort}
            run_in(folder, timed(name=f"{cohort}-{seed}", seed=seed, strategy=strategy, governance=None))
    return folder


def _compared(*args: str | Path) -> tuple[str, str]:
    done = CliRunner().invoke(cli, ["compare", *map(str, args)], standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return done.stdout, done.stderr


def test_the_command_prints_a_table_for_people_and_others_for_programs(runs: Path, tmp_path: Path) -> None:
    folders = sorted(runs.iterdir())
    expected = compare([read_run(folder) for folder in folders])
    out, _ = _compared(*folders)
    assert out.startswith("Whole runs")
    for row in expected.rows:
        assert row.method in out
    assert "Means with 95 % confidence." in out
    assert _compared(*folders, "--format", "csv") == (as_csv(expected), "")
    assert _compared(*folders, "--format", "markdown") == (markdown(expected), "")
    page = tmp_path / "page.html"
    assert _compared(*folders, "--html", page, "--format", "csv") == (as_csv(expected), f"Page: {page}\n")
    assert _compared(*folders, "--html", page)[1] == ""
    assert "<html" in page.read_text()


@pytest.mark.parametrize(
    ("name", "change", "why"),
    [
        ("summary.json", {"virtual_time_s": "soon"}, "its seed and its virtual_time_s must be numbers"),
        ("metrics.json", {"versions": []}, "it has no versions"),
        ("metrics.json", {"versions": [{"version": 0}]}, "its versions lack what those of a run have"),
    ],
)
def test_a_damaged_run_is_not_compared(
    runs: Path, tmp_path: Path, name: str, change: dict[str, Any], why: str
) -> None:
    own = shutil.copytree(runs / "4-0", tmp_path / "own")
    (own / name).write_text(json.dumps(json.loads((own / name).read_text()) | change))
    with pytest.raises(RunError, match=f"own: not the folder of a finished run: {why}"):
        read_run(own)


def test_one_seed_gives_ratios_without_an_interval() -> None:
    found = compare([SYNC[0], ASYNC[0]], target=0.8)
    assert cells(found.rows[1])[HEADINGS.index("ratio")] == "0.45"  # 9 s of 20 s
