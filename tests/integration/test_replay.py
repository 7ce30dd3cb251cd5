"""`flsim replay` gives every hash once more, or names the first record that differs."""

import gzip
import json
import shutil
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from click.testing import CliRunner

from flsim.cli import cli
from flsim.errors import EXIT_DONE, EXIT_ERROR, RunError
from flsim.govern.differences import compare_folders, table_difference
from flsim.replay import replay
from tests.governed import FLEET, reseal, run_in, timed, trained
from tests.integration.command import SCENARIOS, flsim

LEVEL = {"name": "edge", "nodes": 2, "downlink": "1 Mbit/s", "uplink": "1 Mbit/s"}
HIERARCHY = {
    "network": {"topology": {"kind": "tree", "levels": [LEVEL]}},
    "hierarchy": {"rounds": 2, "strategy": {"kind": "sync", "cohort": 3}},
    "strategy": {"kind": "sync", "cohort": 2},
}
RUNS: dict[str, dict[str, Any]] = {
    "trained": trained(),
    "asynchronous": trained(strategy={"kind": "fedbuff", "concurrency": 6, "buffer_size": 3}),
    "ungoverned": trained(governance=None),
    "hierarchy": timed(**HIERARCHY),
}


@pytest.fixture(scope="module")
def governed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_in(tmp_path_factory.mktemp("governed"), RUNS["trained"])


@pytest.fixture
def own(governed: Path, tmp_path: Path) -> Path:
    """A copy of the run that a test may spoil, somewhere else."""
    return shutil.copytree(governed, tmp_path / "moved" / "away")


@pytest.mark.parametrize("name", RUNS)
def test_a_replay_elsewhere_says_the_same(name: str, tmp_path: Path) -> None:
    folder = run_in(tmp_path / "first", RUNS[name])
    replayed = replay(folder, tmp_path / "again")
    assert replayed.reproduced, replayed.compared.differences[0]
    kept = tmp_path / "again" / folder.name
    compared = set(replayed.compared.same)
    assert {
        "tasks.parquet",
        "versions.parquet",
        "clients.parquet",
        "summary.json",
        "metrics.json",
    } <= compared
    if RUNS[name].get("governance") is not None:
        assert {
            f"governance/{file}" for file in ("audit_log.json", "audit_log.jsonl", "manifest.json")
        } <= compared
    before, after = (json.loads((run / "summary.json").read_text()) for run in (folder, kept))
    for key in ("records_sha256", "model_sha256", "scenario_sha256"):
        assert before[key] == after[key]


def test_the_command_in_another_process(tmp_path: Path) -> None:
    folder = run_in(tmp_path / "moved", RUNS["hierarchy"])
    done = flsim("replay", folder, cwd=tmp_path, PYTHONHASHSEED="7", TZ="Asia/Tokyo")
    assert done.returncode == EXIT_DONE, done.stderr
    assert done.stdout.startswith("REPRODUCED 14 files, 7 versions\nrecords_sha256: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["moved"]


def _spoil(folder: Path, name: str, column: str, row: int, value: object) -> object:
    table = parquet.read_table(folder / name)
    values = table[column].to_pylist()
    before, values[row] = values[row], value
    changed = table.set_column(
        table.column_names.index(column),
        table.schema.field(column),
        pa.array(values, table.schema.field(column).type),
    )
    parquet.write_table(changed, folder / name)
    return before


@pytest.mark.parametrize(
    ("name", "column", "row", "value"),
    [
        ("tasks.parquet", "ended_s", 4, 1e6),
        ("tasks.parquet", "client", 0, 99),
        ("tasks.parquet", "train_loss", 3, None),
        ("versions.parquet", "model_sha256", 2, "0" * 64),
        ("versions.parquet", "accuracy", 5, 0.5),
        ("metadata.parquet", "losses", 1, [1.0, 2.0]),
    ],
)
def test_the_first_record_that_differs_is_named_with_both_values(
    own: Path, name: str, column: str, row: int, value: object
) -> None:
    true = _spoil(own, name, column, row, value)
    first, *others = replay(own).compared.differences
    assert others == []
    assert (first.file, first.record, first.column) == (name, f"row {row}", column)
    assert (first.first, first.second) == (value, true)


def test_the_earliest_in_virtual_time_comes_first(own: Path) -> None:
    _spoil(own, "versions.parquet", "accuracy", 1, 0.5)
    _spoil(own, "tasks.parquet", "bytes_up", 12, 1)
    found = replay(own).compared.differences
    assert [difference.file for difference in found] == ["versions.parquet", "tasks.parquet"]
    _spoil(own, "tasks.parquet", "bytes_up", 0, 1)
    assert replay(own).compared.differences[0].file == "tasks.parquet"


def test_the_command_tells_the_difference_and_fails(own: Path) -> None:
    true = _spoil(own, "versions.parquet", "tasks", 3, 77)
    done = CliRunner().invoke(cli, ["replay", str(own)], standalone_mode=False)
    assert done.return_value == EXIT_ERROR
    assert "NOT REPRODUCED The first record that differs:" in done.stdout
    assert "versions.parquet, row 3 at " in done.stdout
    assert f", column tasks: 77 and {true}\n" in done.stdout


def test_another_environment_is_told_where_a_replay_fails(own: Path) -> None:
    reseal(own, lambda manifest: manifest["environment"].update(torch="1.0"))
    _spoil(own, "versions.parquet", "tasks", 3, 77)
    done = CliRunner().invoke(cli, ["replay", str(own)], standalone_mode=False)
    assert f"The environment has changed: torch was 1.0, is {version('torch')}\n" in done.stdout


def test_a_changed_fold_is_named_by_its_line_or_key(own: Path) -> None:
    summary = own / "summary.json"
    summary.write_text(summary.read_text().replace('"updates": 6', '"updates": 7'))
    lines = (own / "metrics.csv").read_text().splitlines()
    lines[2] = "forged"
    (own / "metrics.csv").write_text("\n".join(lines) + "\n")
    found = {difference.file: difference.record for difference in replay(own).compared.differences}
    assert found == {"metrics.csv": "line 3", "summary.json": "key updates"}


def test_a_packed_bomb_is_no_file_of_a_run(
    own: Path, governed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flsim.govern.differences.MOST_UNPACKED", 1 << 20)
    (own / "timeline.json.gz").write_bytes(gzip.compress(bytes(2 << 20)))
    with pytest.raises(RunError, match=r"timeline\.json\.gz cannot be read: it unpacks to more than 1 MiB"):
        compare_folders(governed, own)


def test_another_scenario_is_another_run(own: Path) -> None:
    path = own / "scenario.yaml"
    path.write_text(path.read_text().replace("seed: 3", "seed: 4"))
    first = replay(own).compared.differences[0]
    assert (first.file, first.record, first.at_s) == ("versions.parquet", "row 0", 0.0)


def test_a_run_is_not_replayed_over_itself(governed: Path) -> None:
    before = (governed / "tasks.parquet").read_bytes()
    with pytest.raises(RunError, match="is the run itself"):
        replay(governed, governed.parent)
    assert (governed / "tasks.parquet").read_bytes() == before


def test_what_cannot_be_replayed_says_why(own: Path, tmp_path: Path) -> None:
    summary = json.loads((own / "summary.json").read_text()) | {"stop_reason": "interrupted"}
    (own / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(RunError, match="was interrupted"):
        replay(own)
    (own / "summary.json").unlink()
    with pytest.raises(RunError, match="folder of a finished run"):
        replay(own)


def test_a_run_with_timing_only_is_replayed_as_one(tmp_path: Path) -> None:
    from flsim.running import run
    from flsim.scenario import scenario_from

    output = {"dir": str(tmp_path), "plots": False}
    folder = run(scenario_from(trained(output=output)), timing_only=True).folder
    assert replay(folder).reproduced


def test_a_replay_is_not_signed(tmp_path: Path) -> None:
    from flsim.govern.signature import new_key

    new_key(tmp_path / "key.pem")
    folder = run_in(tmp_path, timed(governance={"sign": str(tmp_path / "key.pem")}))
    (tmp_path / "key.pem").unlink()
    assert replay(folder, tmp_path / "again").reproduced
    assert not (tmp_path / "again" / "timed" / "governance" / "manifest.sig").exists()


def test_a_replay_tells_no_tracker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was told once is not told again, and the tracker's package need not be here."""
    pytest.importorskip("tensorboard")
    folder = run_in(tmp_path, timed(tracking=[{"kind": "csv"}, {"kind": "tensorboard"}]))
    assert (folder / "tensorboard").is_dir()
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    replayed = replay(folder, tmp_path / "again")
    assert replayed.reproduced
    assert "tracked.csv" in replayed.compared.same
    assert not (tmp_path / "again" / "timed" / "tensorboard").exists()


# Tables


def test_tables_are_compared_value_by_value() -> None:
    nan = float("nan")
    one = pa.table({"time_s": [0.0, 1.0, 2.0], "x": [nan, 2.0, None]})
    assert table_difference(one, pa.table({"time_s": [0.0, 1.0, 2.0], "x": [nan, 2.0, None]}), "t") is None
    other = pa.table({"time_s": [0.0, 1.0, 2.0], "x": [nan, 2.0, 0.0]})
    found = table_difference(one, other, "t")
    assert found is not None
    assert str(found) == "t, row 2 at 2 s, column x: None and 0.0"


def test_a_table_with_more_rows_differs_in_the_first_of_them() -> None:
    one, other = (pa.table({"time_s": [0.0, 1.0, 2.0][:rows]}) for rows in (3, 2))
    found = table_difference(one, other, "t")
    assert found is not None
    assert str(found) == "t, row 2 at 2 s: 3 rows and 2 rows"


def test_a_file_that_only_one_run_has_is_a_difference(own: Path, governed: Path) -> None:
    (own / "metadata.parquet").unlink()
    (own / "notes.txt").write_text("not of a run")
    compared = compare_folders(governed, own)
    [difference] = compared.differences
    assert str(difference) == "metadata.parquet, the file: there and (missing)"
    assert "notes.txt" in compared.not_compared


# The shipped scenarios


@pytest.mark.parametrize("name", ["fedbuff", "hierarchy"])
def test_a_shipped_scenario_is_reproduced(name: str, tmp_path: Path) -> None:
    """Some of them; benchmarks/replay.py does it for all, in a fresh virtual environment."""
    from flsim.running import run
    from flsim.scenario import read_scenario

    overrides = [f"output={{dir: {tmp_path}, plots: false}}", "stop.updates=10", "governance={}"]
    folder = run(read_scenario(SCENARIOS / f"{name}.yaml", overrides)).folder
    assert replay(folder).reproduced


# Determinism

HASHING = """\
from flsim.policy.view import Aggregate, Dispatch, Wait
from flsim.policy import Strategy
from flsim.policy.weighting import shares


class Moody(Strategy):
    kind: str = "moody"

    @property
    def clients_needed(self):
        return 15

    def decide(self, view):
        if view.version >= 3 and not view.in_flight and not view.inbox:
            return Dispatch(view.select(2 + hash("mood") % 11))
        if not view.in_flight and not view.inbox:
            return Dispatch(view.select(4))
        if view.in_flight:
            return Wait()
        tasks = tuple(arrival.task for arrival in view.inbox)
        return Aggregate(tasks, shares(tasks, "equal"))
"""
ZONED = HASHING.replace('hash("mood")', "abs(time.timezone) // 3600").replace(
    "from flsim", "import time\nfrom flsim", 1
)


@pytest.mark.parametrize("module", [HASHING, ZONED], ids=["hash seed", "time zone"])
def test_a_strategy_that_is_not_deterministic_is_caught(tmp_path: Path, module: str) -> None:
    (tmp_path / "moods.py").write_text(module)
    scenario = json.dumps(timed(strategy={"kind": "moods:Moody"}))
    (tmp_path / "moody.yaml").write_text(scenario)
    done = flsim("run", "moody.yaml", "--check-determinism", cwd=tmp_path)
    assert done.returncode == EXIT_ERROR, done.stderr
    assert "NOT DETERMINISTIC The first record that differs:" in done.stdout
    assert "\ntasks.parquet, row 1" in done.stdout  # three versions of four tasks are the same
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    ("data", "files"),
    [
        pytest.param(timed(), 9, id="timing"),
        pytest.param(
            trained(executor={"kind": "processes"}, stop={"updates": 2}),
            10,
            marks=pytest.mark.slow,
            id="one worker process and three",
        ),
    ],
)
def test_a_scenario_that_is_deterministic_passes(tmp_path: Path, data: dict[str, Any], files: int) -> None:
    (tmp_path / "tiny.yaml").write_text(json.dumps(data))
    done = flsim("tiny.yaml", "--check-determinism", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (EXIT_DONE, "")
    assert done.stdout == f"DETERMINISTIC {files} files are the same\n"


def test_a_run_that_fails_says_under_which_surroundings(tmp_path: Path) -> None:
    (tmp_path / "timed.yaml").write_text(
        json.dumps(timed(fleet=FLEET | {"availability": {"kind": "trace", "file": "x"}}))
    )
    done = flsim("timed.yaml", "--check-determinism", cwd=tmp_path)
    assert done.returncode == EXIT_ERROR
    assert '"PYTHONHASHSEED": "1"' in done.stderr


def test_what_lacks_a_folder_or_columns_or_cannot_be_read_is_told(own: Path, governed: Path) -> None:
    with pytest.raises(RunError, match="nowhere: no such folder"):
        compare_folders(governed, own / "nowhere")
    table = parquet.read_table(own / "versions.parquet").drop_columns(["accuracy"])
    parquet.write_table(table, own / "versions.parquet")
    [found] = [each for each in compare_folders(governed, own).differences if "versions" in each.file]
    assert found.record == "the columns"
    assert set(found.first) - set(found.second) == {"accuracy"}
    (own / "summary.json").write_text("{")
    with pytest.raises(RunError, match=r"summary\.json cannot be read: "):
        compare_folders(governed, own)


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", r"summary\.json cannot be read: "), ("[]", r"summary\.json is not a run's summary")],
)
def test_a_damaged_summary_is_not_replayed(own: Path, content: str, message: str) -> None:
    (own / "summary.json").write_text(content)
    with pytest.raises(RunError, match=message):
        replay(own)


def test_an_interrupted_replay_says_nothing_of_the_run(own: Path) -> None:
    with pytest.raises(RunError, match="the replay was interrupted"):
        replay(own, watch=lambda moment: moment.version < 2)


@pytest.mark.parametrize(
    ("first", "second", "place", "values"),
    [
        (b"abcd", b"abXd", "byte 2", (ord("c"), ord("X"))),
        (b"abcd", b"abc", "byte 3", (ord("d"), "(missing)")),
        (b"", b"a", "byte 0", ("(missing)", ord("a"))),
    ],
)
def test_a_binary_file_differs_at_a_byte(
    tmp_path: Path, first: bytes, second: bytes, place: str, values: tuple[object, object]
) -> None:
    for name, content in (("one", first), ("two", second)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(content)
    [found] = compare_folders(tmp_path / "one", tmp_path / "two").differences
    assert (found.file, found.record, found.first, found.second) == ("model.safetensors", place, *values)


def test_an_environment_is_told_as_far_as_it_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    from flsim.govern import environment as told

    assert told.environment()["torch"] == version("torch")
    monkeypatch.setattr(told, "_PACKAGES", ("torch", "no-such-package"))
    monkeypatch.setenv("PATH", "")  # there is no git
    found = told.environment()
    assert (found["torch"], found["no-such-package"], found["commit"]) == (version("torch"), None, None)
    monkeypatch.setattr(told, "_CHECKOUT", SCENARIOS)  # and this is no checkout's root
    assert told.environment()["commit"] is None


def test_both_runs_of_a_determinism_check_have_their_own_number_of_workers() -> None:
    from flsim.determinism import FIRST, SECOND, _changes
    from flsim.scenario import scenario_from

    alone, spread = (
        scenario_from(trained(executor=each)) for each in ({"kind": "serial"}, {"kind": "processes"})
    )
    assert not any(change.startswith("executor") for change in _changes(alone, SECOND))
    assert "tracking=[]" in _changes(alone, FIRST)
    assert [_changes(spread, around)[-1] for around in (FIRST, SECOND)] == [
        "executor.workers=1",
        "executor.workers=3",
    ]
