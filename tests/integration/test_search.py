"""`flsim search` as a user types it."""

from pathlib import Path

import pytest

from flsim.cli import main
from flsim.scenario import read_scenario
from tests.integration.command import files_in, flsim
from tests.unit.test_search import SHARED


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shared.yaml").write_text(SHARED)
    return tmp_path


@pytest.mark.slow
def test_a_search_prints_its_trials_and_leaves_the_best(folder: Path) -> None:
    words = ("search", "shared.yaml", "strategy.cohort=3,9", "--objective", "virtual_time", "--trials", "4")
    done = flsim(*words, "--workers", "2", "--batch", "2", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    runs = folder / "outputs" / "shared"
    assert "trial 0: strategy.cohort=" in done.stdout
    assert "The best by virtual_time" in done.stdout
    assert done.stdout.endswith(f"Files: {runs}\nBest: {runs / 'best.yaml'}\n")
    again = flsim(*words, "--batch", "2", cwd=folder)
    assert again.stdout.count("done before") == 4
    best = read_scenario(runs / "best.yaml")
    assert (best.name, best.strategy.kind) == ("shared-best", "sync")
    assert flsim(runs / "best.yaml", "-q", cwd=folder).returncode == 0


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        ([], 2, "say what may be tried"),
        (["strategy.cohort=2..5", "--space", "x.yaml"], 2, "one of the two"),
        (["--space", "x.yaml"], 1, "x.yaml: cannot be read"),
        (
            ["strategy.cohort=2..5", "--objective", "speed"],
            1,
            "--objective speed: accepted: final_accuracy",
        ),
        (["strategy.cohort=2..5", "--seeds", "x"], 1, "--seeds x: expected different whole numbers"),
        (["strategy.cohort=5..2"], 1, "a range goes up"),
    ],
)
def test_misuse_is_one_message(
    folder: Path,
    words: list[str],
    code: int,
    why: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as end:
        main(["search", "shared.yaml", *words])
    assert end.value.code == code
    said = capsys.readouterr()
    assert said.out == ""
    assert why in said.err
    assert files_in(folder) == {"shared.yaml"}
