"""Trackers: their own readers return what metrics.csv has, live and after the fact."""

import csv
import json
import math
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from click.testing import CliRunner

from flsim.cli import cli, main
from flsim.errors import RunError, ScenarioError
from flsim.observe.tables import read_tables, version_records
from flsim.observe.trackers import Finished, Point, Told, Tracking, told_of, track, trackers_of, tracking
from flsim.observe.trackers.csv_file import COLUMNS
from flsim.records import VersionRecord
from flsim.running import run
from flsim.scenario import Scenario, read_scenario
from flsim.scenario.tracking import CsvTracker, MLflow, TensorBoard
from flsim.sim.surroundings import Moment
from tests.integration.command import SMALL, flsim
from tests.wandb_file import read_wandb, records_in

# Every second version is tested, every third by the clients, and updates are left over at the end.
LEARNING = """\
name: learning
seed: 3
workload:
  kind: torch
  data: {dataset: {kind: digits}, partition: {kind: iid}, client_test_share: 0.2}
  model: {kind: logistic}
  training: {epochs: 2, batch_size: 16, optimizer: {kind: sgd, lr: 0.1}}
  metadata: {kind: progress}
fleet:
  clients: 6
  compute: {kind: speed, flops: {kind: lognormal, median: 1 MFLOP/s, sigma: 0.8}}
  failure: {dropout: 0.1}
strategy: {kind: fedbuff, concurrency: 5, buffer_size: 2}
stop: {updates: 9}
evaluation: {every: 2, clients: {every: 3}, metrics: [precision, recall, f1, roc_auc], divergence: true}
output: {plots: false, timeline: false}
"""
KINDS = ("csv", "tensorboard", "mlflow", "wandb")

Found = dict[str, dict[int, tuple[float, float]]]
"""Of every metric and version, when it was and what."""


class Tracked(NamedTuple):
    folder: Path
    plain: Path  # the same run without trackers


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Tracked:
    """A run with all trackers, and the same without; in this process, so that its warnings are errors."""
    cwd = tmp_path_factory.mktemp("tracked")
    path = cwd / "learning.yaml"
    path.write_text(LEARNING)
    trackers = "tracking=[" + ", ".join(f"{{kind: {kind}}}" for kind in KINDS) + "]"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with_all = run(read_scenario(path, [f"output.dir={cwd / 'with'}", trackers]))
    without = run(read_scenario(path, [f"output.dir={cwd / 'without'}"]))
    assert with_all.summary["tracking"] == dict.fromkeys(KINDS, "written")
    return Tracked(with_all.folder, without.folder)


def metrics_csv(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def assert_has_metrics_of(folder: Path, found: Found, time: Any = float) -> None:
    """Assert that these are the metrics of metrics.csv, every value of it and exactly. `time`: as kept."""
    rows = metrics_csv(folder)
    names = set(rows[0]) - {"time", "kind", "round", "model_sha256"}
    assert {"accuracy", "loss", "mean_train_loss", "bytes_up_cumulative", "precision"} <= names
    assert len(rows) == 6
    for row in rows:
        for name in names:
            there = found.get(name, {}).get(int(row["round"]))
            assert there == ((time(row["time"]), float(row[name])) if row[name] else None), (name, row)


def in_tensorboard(folder: Path) -> Found:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"tensors": 0})
    events.Reload()
    found: Found = {}
    for name in events.Tags()["tensors"]:
        if events.SummaryMetadata(name).plugin_data.plugin_name == "scalars":
            each = events.Tensors(name)
            found[name] = {one.step: (one.wall_time, make_ndarray(one.tensor_proto).item()) for one in each}
            assert len(found[name]) == len(each)
    return found


def in_mlflow(uri: str, run_id: str) -> Found:
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    found: Found = {}
    for name in client.get_run(run_id).data.metrics:
        each = client.get_metric_history(run_id, name)
        found[name] = {one.step: (one.timestamp, one.value) for one in each}
        assert len(found[name]) == len(each)
    return found


def runs_in_mlflow(uri: str) -> list[Any]:
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    return list(client.search_runs([each.experiment_id for each in client.search_experiments()]))


def in_wandb(folder: Path) -> Found:
    rows, _, _ = read_wandb(folder)
    found: Found = {}
    for row in rows:
        for name, value in row.items():
            if not name.startswith("_") and name not in ("version", "virtual_time_s"):
                of_name = found.setdefault(name, {})
                assert row["version"] not in of_name, (name, row)
                of_name[row["version"]] = (row["virtual_time_s"], value)
    return found


def store(folder: Path) -> str:
    return f"sqlite:///{folder / 'mlflow' / 'mlflow.db'}"


# What the trackers' own readers return


def test_tensorboard_returns_metrics_csv(tracked: Tracked) -> None:
    assert_has_metrics_of(tracked.folder, in_tensorboard(tracked.folder))


def test_mlflow_returns_metrics_csv_and_the_scenario(tracked: Tracked) -> None:
    [found] = runs_in_mlflow(store(tracked.folder))
    metrics = in_mlflow(store(tracked.folder), found.info.run_id)
    assert_has_metrics_of(tracked.folder, metrics, time=lambda text: round(1_000 * float(text)))
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "learning"
    assert found.data.params["strategy.buffer_size"] == "2"
    assert found.data.params["evaluation.metrics.1"] == "recall"
    summary = json.loads((tracked.folder / "summary.json").read_text())
    assert found.data.tags["flsim.stop_detail"] == summary["stop_detail"]
    assert float(found.data.tags["flsim.final_accuracy"]) == summary["final_accuracy"]
    assert found.data.tags["flsim.records_sha256"] == summary["records_sha256"]
    assert int(found.data.tags["flsim.tasks_aggregated"]) == summary["tasks"]["aggregated"]


def test_wandb_returns_metrics_csv_and_the_scenario(tracked: Tracked) -> None:
    assert_has_metrics_of(tracked.folder, in_wandb(tracked.folder))
    _, config, kinds = read_wandb(tracked.folder)
    assert config["strategy"] == yaml.safe_load((tracked.folder / "scenario.yaml").read_text())["strategy"]
    assert {"run", "metric", "history", "summary", "exit"} <= set(kinds)


def test_wandb_has_virtual_time_as_the_axis_of_all_metrics(tracked: Tracked) -> None:
    from wandb.proto.wandb_internal_pb2 import Record

    defined = {
        record.metric.glob_name or record.metric.name: record.metric.step_metric
        for record in map(Record.FromString, records_in(tracked.folder))
        if record.HasField("metric")
    }
    assert defined.pop("virtual_time_s") == ""
    assert defined["*"] == "virtual_time_s"
    assert set(defined.values()) == {"virtual_time_s"}  # releases before 0.30 define each metric, too


def test_every_tracker_has_what_metrics_json_has_of_clients_and_updates(tracked: Tracked) -> None:
    versions = json.loads((tracked.folder / "metrics.json").read_text())["versions"]
    found = in_tensorboard(tracked.folder)
    assert in_wandb(tracked.folder) == found
    for row in versions:
        version, groups = row["version"], []
        if row["client_accuracy"] is not None:
            groups.append(("client_accuracy/", row["client_accuracy"]))
        if row["divergence"] is not None:
            groups.append(("divergence/", row["divergence"]))
        if row["client_metrics"] is not None:
            groups += [
                (f"client_metrics/{name}/", spread) for name, spread in row["client_metrics"].items()
            ]
        if row["metadata"] is not None:
            groups.append(("reported/", row["metadata"]["scalars"]))
            losses = enumerate(row["metadata"]["losses"], 1)
            groups.append(("epoch_loss/", {str(epoch): loss for epoch, loss in losses}))
        assert len(groups) >= (3 if version else 1)
        for prefix, values in groups:
            for name, value in values.items():
                expected = None if value is None else (row["time_s"], value)
                assert found.get(prefix + name, {}).get(version) == expected, (prefix, name, version)


def test_the_csv_file_has_the_columns_and_all_tests(tracked: Tracked) -> None:
    with (tracked.folder / "tracked.csv").open() as file:
        rows = list(csv.reader(file))
    assert tuple(rows[0]) == COLUMNS
    assert list(COLUMNS) == [
        "time",
        "kind",
        "round",
        "loss",
        "precision",
        "recall",
        "f1",
        "roc_auc",
        "accuracy",
    ]
    tables = read_tables(tracked.folder)
    assert tables.client_accuracy is not None
    assert tables.metrics is not None
    times = {row.version: row.time_s for row in version_records(tables.versions)}
    measured = {
        (row["version"], row["client"], row["metric"]): row["value"] for row in tables.metrics.to_pylist()
    }
    expected = [
        (row.version, -1, row.loss, row.accuracy)
        for row in version_records(tables.versions)
        if row.loss is not None
    ]
    expected += [
        (row["version"], row["client"], row["loss"], row["accuracy"])
        for row in tables.client_accuracy.to_pylist()
    ]
    assert len(rows) - 1 == len(expected) > 20
    for row, (version, client, loss, accuracy) in zip(rows[1:], sorted(expected), strict=True):
        of = None if client < 0 else client
        further = [measured[version, of, name] for name in ("precision", "recall", "f1", "roc_auc")]
        values = [
            times[version],
            "central" if of is None else f"client:{of}",
            version,
            loss,
            *further,
            accuracy,
        ]
        assert row == ["" if value is None else str(value) for value in values]


def test_trackers_change_no_record_and_no_hash(tracked: Tracked) -> None:
    with_all, without = (json.loads((each / "summary.json").read_text()) for each in tracked)
    for name in ("records_sha256", "model_sha256", "scenario_sha256"):
        assert with_all[name] == without[name]
    assert "tracking" not in without
    for name in ("tasks", "versions", "clients", "client_accuracy", "metrics", "metadata", "ending"):
        assert (tracked.folder / f"{name}.parquet").read_bytes() == (
            tracked.plain / f"{name}.parquet"
        ).read_bytes()
    assert (tracked.folder / "metrics.csv").read_bytes() == (tracked.plain / "metrics.csv").read_bytes()
    assert not (tracked.folder / "progress.jsonl").exists()


# After the fact


@pytest.fixture(scope="module")
def retold(tracked: Tracked, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The records of the run without trackers, and what `track` made of them."""
    folder = tmp_path_factory.mktemp("retold")
    for name in ("scenario.yaml", *(path.name for path in tracked.plain.glob("*.parquet"))):
        shutil.copy(tracked.plain / name, folder / name)
    done = CliRunner().invoke(
        cli, ["track", str(folder), "--with", "csv", "--with", "tensorboard", "--with", "wandb"]
    )
    assert done.output == "csv: written\ntensorboard: written\nwandb: written\n"
    # A run of its own in the database that is there: to make one takes seconds.
    assert track(folder, [MLflow(uri=store(tracked.folder), experiment="retold")]) == {"mlflow": "written"}
    return folder


def test_live_and_after_the_fact_give_the_same(tracked: Tracked, retold: Path) -> None:
    assert (retold / "tracked.csv").read_bytes() == (tracked.folder / "tracked.csv").read_bytes()
    assert in_tensorboard(retold) == in_tensorboard(tracked.folder)
    assert in_wandb(retold) == in_wandb(tracked.folder)
    live, later = sorted(runs_in_mlflow(store(tracked.folder)), key=lambda each: each.info.start_time)
    uri = store(tracked.folder)
    assert in_mlflow(uri, later.info.run_id) == in_mlflow(uri, live.info.run_id)
    assert later.info.experiment_id != live.info.experiment_id


def test_tracking_again_replaces_what_was_there(retold: Path) -> None:
    before = (retold / "tensorboard" / "events.out.tfevents.0.flsim").read_bytes()
    assert track(retold, [TensorBoard()]) == {"tensorboard": "written"}
    [file] = (retold / "tensorboard").iterdir()
    assert file.read_bytes() == before


def test_a_run_that_has_not_ended_is_not_tracked(retold: Path, tmp_path: Path) -> None:
    for path in retold.glob("*.parquet"):
        shutil.copy(path, tmp_path / path.name)
    shutil.copy(retold / "scenario.yaml", tmp_path)
    (tmp_path / "ending.parquet").unlink()
    with pytest.raises(RunError, match=r"has no ending\.parquet: the run was killed, or still goes on"):
        track(tmp_path, [CsvTracker()])
    assert not (tmp_path / "tracked.csv").exists()


def test_the_trackers_of_the_scenario_are_taken_by_default(tracked: Tracked, tmp_path: Path) -> None:
    assert [each.kind for each in trackers_of(tracked.folder, [])] == list(KINDS)
    (tmp_path / "scenario.yaml").write_text("tracking: [{kind: mlflow, experiment: mine}]")
    assert trackers_of(tmp_path, ["mlflow", "csv"]) == (MLflow(experiment="mine"), CsvTracker())
    assert trackers_of(tmp_path, ["csv"]) == (CsvTracker(),)
    (tmp_path / "scenario.yaml").write_text("tracking: [{kind: nothing}]")
    with pytest.raises(RunError, match="tracking cannot be read"):
        trackers_of(tmp_path, [])


# Going on where a tracker was


def test_a_tracker_goes_on_where_it_was(retold: Path, tmp_path: Path) -> None:
    """The process dies after having told more than the position that was saved."""
    for name in ("scenario.yaml", *(path.name for path in retold.glob("*.parquet"))):
        shutil.copy(retold / name, tmp_path / name)
    tables = read_tables(tmp_path)
    rows = list(version_records(tables.versions))
    with Tracking([TensorBoard()]) as died:
        died.start(told_of(tmp_path))
        for row in rows[:4]:
            died.version(row)
        saved = died.positions()
        assert saved["tensorboard"].versions == 4
        for row in rows[4:6]:
            died.version(row)
    with Tracking([TensorBoard()]) as resumed:
        resumed.start(told_of(tmp_path), saved)
        for row in rows[2:]:  # the first two of these are known
            resumed.version(row)
        resumed.finish(tables)
    name = "tensorboard/events.out.tfevents.0.flsim"
    assert (tmp_path / name).read_bytes() == (retold / name).read_bytes()


def test_mlflow_goes_on_in_the_run_where_it_was(tracked: Tracked, retold: Path) -> None:
    tables, told, uri = read_tables(retold), told_of(retold), store(tracked.folder)
    rows = list(version_records(tables.versions))
    with Tracking([MLflow(uri=uri, experiment="resumed")]) as died:
        died.start(told)
        for row in rows[:5]:
            died.version(row)
        saved = died.positions()
    with Tracking([MLflow(uri=uri, experiment="resumed")]) as resumed:
        resumed.start(told, saved)
        for row in rows[5:]:
            resumed.version(row)
        resumed.finish(tables)
    found = in_mlflow(uri, saved["mlflow"].mark)
    assert_has_metrics_of(tracked.plain, found, time=lambda text: round(1_000 * float(text)))


# Trackers that fail, and trackers that cannot be


class Failing:
    """Stands in for the writer of TensorBoard. `when`: the step that the disk is full at."""

    def __init__(self, when: str) -> None:
        self.when = when
        self.steps: list[str] = []

    def start(self, told: Told, mark: str) -> None:
        self._step("start")

    def mark(self) -> str:
        self._step("mark")
        return ""

    def write(self, point: Point) -> None:
        self._step(f"write {point.version}")

    def finish(self, finished: Finished | None) -> None:
        self._step("finish" if finished is not None else "close")

    def _step(self, name: str) -> None:
        self.steps.append(name)
        if name == self.when:
            raise OSError(28, "No space left on device")


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Failing]:
    def stand_in(when: str) -> Failing:
        writer = Failing(when)
        monkeypatch.setattr(tracking, "writer_for", lambda tracker: writer)
        return writer

    return stand_in


def synthetic(tmp_path: Path, *overrides: str) -> Scenario:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return read_scenario(path, [f"output.dir={tmp_path / 'outputs'}", *overrides])


@pytest.mark.parametrize("when", ["start", "write 0", "write 3", "finish"])
def test_a_tracker_that_fails_is_left_out_and_the_run_goes_on(
    tmp_path: Path, failing: Callable[[str], Failing], caplog: pytest.LogCaptureFixture, when: str
) -> None:
    writer = failing(when)
    done = run(synthetic(tmp_path, "tracking=[{kind: tensorboard}]"))
    assert done.summary["tracking"] == {
        "tensorboard": "failed: OSError: [Errno 28] No space left on device"
    }
    [said] = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "tensorboard has failed and is left out from here on: OSError" in said.getMessage()
    assert writer.steps[-2:] == [when, "close"]
    assert writer.steps.count(when) == 1
    plain = run(synthetic(tmp_path, "name=plain"))
    assert done.summary["updates"] == plain.summary["updates"] == 10
    assert done.summary["records_sha256"] == plain.summary["records_sha256"]


def test_a_tracker_is_closed_when_a_run_breaks_off(
    tmp_path: Path, failing: Callable[[str], Failing]
) -> None:
    def gone(moment: Moment) -> bool:
        if moment.version == 4:
            raise KeyboardInterrupt
        return True

    writer = failing("never")
    with pytest.raises(KeyboardInterrupt):
        run(synthetic(tmp_path, "tracking=[{kind: tensorboard}]"), watch=gone)
    assert writer.steps == ["start", *(f"write {version}" for version in range(4)), "close"]
    assert (tmp_path / "outputs" / "small" / "progress.jsonl").exists()


def test_a_tracker_knows_of_versions_while_the_run_goes_on(
    tmp_path: Path, failing: Callable[[str], Failing]
) -> None:
    writer = failing("never")
    known: list[int] = []

    def look(moment: Moment) -> bool:
        known.append(moment.version - sum(step.startswith("write") for step in writer.steps))
        return True

    run(synthetic(tmp_path, "tracking=[{kind: tensorboard}]"), watch=look)
    assert len(known) > 10
    assert set(known) == {0}  # all but the current version, which may still be tested


@pytest.mark.parametrize(
    ("kind", "package"), [("tensorboard", "tensorboard"), ("mlflow", "sqlalchemy"), ("wandb", "wandb")]
)
def test_a_package_that_is_missing_is_named_before_anything_runs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: str,
    package: str,
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / "small.yaml").write_text(SMALL)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["small.yaml", "--track", kind])
    assert end.value.code == 1
    said = " ".join(capsys.readouterr().err.split())
    assert said == f"error: tracking: {kind} needs the package {package}: pip install 'flsim-des[{kind}]'"
    assert not (tmp_path / "outputs").exists()


def test_trackers_by_flag_join_those_of_the_scenario(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "small.yaml").write_text(SMALL)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["small.yaml", "--set", "tracking=[{kind: csv}]", "--track", "tensorboard", "--track", "csv"])
    assert end.value.code == 0, capsys.readouterr().err
    folder = tmp_path / "outputs" / "small"
    assert json.loads((folder / "summary.json").read_text())["tracking"] == {
        "csv": "written",
        "tensorboard": "written",
    }
    assert (folder / "tracked.csv").read_text() == ",".join(COLUMNS) + "\n"  # nothing was tested
    assert {name for name, _ in in_tensorboard(folder).items()} >= {"tasks", "bytes_up_cumulative"}
    # The next run in the folder leaves nothing of this one.
    with pytest.raises(SystemExit):
        main(["small.yaml"])
    assert not (folder / "tracked.csv").exists()
    assert not (folder / "tensorboard").exists()


def test_a_second_tracker_of_a_kind_is_refused(tmp_path: Path) -> None:
    why = r"tracking\.1\.kind: there is one of this kind already"
    with pytest.raises(ScenarioError, match=why):
        synthetic(tmp_path, "tracking=[{kind: csv}, {kind: csv}]")


def test_values_that_are_not_finite(tmp_path: Path) -> None:
    """A run that diverges: TensorBoard keeps NaN and infinity."""
    row = VersionRecord(0, 0.0, 0, None, 0.1, math.inf, None)
    (tmp_path / "scenario.yaml").write_text("name: diverged")
    with Tracking([TensorBoard()]) as trackers:
        trackers.start(told_of(tmp_path))
        trackers.version(row)
        trackers.version(row._replace(version=1, time_s=1.5, loss=math.nan))
    losses = in_tensorboard(tmp_path)["loss"]
    assert losses[0] == (0.0, math.inf)
    assert losses[1][0] == 1.5
    assert math.isnan(losses[1][1])


@pytest.mark.slow
def test_wandb_leaves_no_process_and_prints_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process of its own, which finds nothing of W&B's but the package, and no way to a network."""
    monkeypatch.delenv("WANDB_SERVICE", raising=False)  # of the tests above
    (tmp_path / "small.yaml").write_text(SMALL)
    nowhere = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
    done = flsim("small.yaml", "--track", "wandb", "-q", cwd=tmp_path, HOME=str(tmp_path), **nowhere)
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    assert len(in_wandb(tmp_path / "outputs" / "small")["tasks"]) == 11
    theirs = str(tmp_path).encode()
    left = [path for path in Path("/proc").glob("[0-9]*/environ") if theirs in _text(path)]
    assert left == []


def _text(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # the process has ended, or is somebody else's
        return b""


OWN = """\
from flsim.observe.trackers.build import writer_for
from flsim.scenario.tracking import Tracker


class Lines(Tracker):
    \"\"\"A line for every point.\"\"\"

    kind: str = "own_lines:Lines"
    file: str


class Writer:
    def __init__(self, tracker):
        self.name = tracker.file

    def start(self, told, mark):
        self.file = (told.folder / self.name).open("a" if mark else "w")

    def mark(self):
        return str(self.file.tell())

    def write(self, point):
        print(point.version, *point.metrics, file=self.file)

    def finish(self, finished):
        self.file.close()


writer_for.register(Lines, Writer)
"""


def test_a_tracker_of_one_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_lines.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    done = run(synthetic(tmp_path, 'tracking=[{kind: "own_lines:Lines", file: lines.txt}]'))
    assert done.summary["tracking"] == {"own_lines:Lines": "written"}
    lines = (done.folder / "lines.txt").read_text().splitlines()
    assert lines[:2] == ["0 tasks", "1 tasks mean_staleness"]
    assert "0 bytes_up_cumulative bytes_down_cumulative" in lines
