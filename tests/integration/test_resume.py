"""A run that is killed and resumed ends as the run that never was: every file of it, to the last bit."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from flsim.cli import main
from flsim.errors import EXIT_ERROR, RunError
from flsim.observe.blocks import JOURNAL
from flsim.observe.comparison import read_run
from flsim.observe.framed import FrameWriter, read_frames
from flsim.observe.report import write_report
from flsim.observe.tables import read_tables
from flsim.resuming import resume
from flsim.running import run
from flsim.scenario import Scenario, read_scenario
from flsim.scenario.checkpoint import Checkpoint
from flsim.scenario.executor import Processes
from tests.composition import Choice, sample, scenario_of
from tests.integration.command import flsim
from tests.integration.test_every_method import AROUND, CHOICES, KEYS, METHODS, WITH
from tests.resumed import assert_resumes, assert_same, contents, killed_at


def of_choice(choice: Choice, folder: Path, **changes: Any) -> Scenario:
    """Return the small scenario of a combination, with checkpoints at versions 2, 4 and 6."""
    scenario = scenario_of(choice)
    return scenario.model_copy(
        update={
            "output": scenario.output.model_copy(update={"dir": str(folder)}),
            "checkpoint": Checkpoint(every=2, keep="all"),
            "stop": scenario.stop.model_copy(update={"updates": 6}),
            **changes,
        }
    )


@pytest.mark.parametrize(
    "choice",
    [
        {},
        {"strategy": "fedbuff", "workload.training.objective": "scaffold", "compression.uplink": "top_k"},
        {"strategy": "fedasync", "compression.downlink": "top_k", "personalization": "ditto"},
        {"strategy": "fedbuff", "aggregation": "ca2fl", "selection": "oort", "attack": "free_rider"},
        {"aggregation": "trust", "workload.training.objective": "feddyn"},
        {"strategy": "fedat", "workload.training.objective": "mime_lite"},
        {"hierarchy": "edges", "strategy": "fedbuff"},
        {"secure_aggregation": "secagg", "privacy": "distributed"},
        {"secure_aggregation": "lightsecagg"},
    ],
    ids=lambda choice: "-".join(choice.values()) or "plain",
)
def test_a_killed_run_ends_as_if_nothing_had_happened(choice: Choice, tmp_path: Path) -> None:
    assert_resumes(of_choice(choice, tmp_path), (3, 5))


@pytest.mark.slow  # a third of what runs to its end in test_composition.py; every method is tried below
@pytest.mark.parametrize("choice", sample()[::3], ids=lambda choice: "-".join(choice.values()))
def test_what_goes_together_can_be_resumed_together(choice: Choice, tmp_path: Path) -> None:
    assert_resumes(of_choice(choice, tmp_path), (3,))


@pytest.mark.slow
@pytest.mark.parametrize(("place", "kind"), CHOICES)
def test_every_method_can_be_resumed(place: str, kind: str, tmp_path: Path) -> None:
    section = yaml.safe_dump({"kind": kind} | KEYS.get(kind, {}), default_flow_style=True).strip()
    overrides = (
        *AROUND.get(place, ()),
        *WITH.get((place, kind), ()),
        f"{place}={section}",
        f"output={{dir: {tmp_path}, plots: false, timeline: false}}",
        "stop={updates: 6}",
        "checkpoint={every: 2, keep: all}",
    )
    assert_resumes(read_scenario(METHODS, overrides), (3,))


def of_methods(folder: Path, *overrides: str) -> Scenario:
    output = f"output={{dir: {folder}, plots: false, timeline: false}}"
    return read_scenario(METHODS, (output, "stop={updates: 8}", "checkpoint={every: 3}", *overrides))


@pytest.mark.parametrize(
    "overrides",
    [
        ("compression={uplink: {kind: threshold, value: 0.01}}",),  # the network waits for the training
        (
            "selection={kind: tifl, tiers: 3, adaptive: {every: 2, credits: [9, 9, 2]}}",
            "evaluation.clients.every=2",
        ),
        ("stop={updates: 50, plateau: {patience: 2, min_delta: 0.05}}", "evaluation.every=1"),
        (
            "evaluation={metrics: [f1, roc_auc], divergence: true, clients: {every: 2}}",
            "server_optimizer={kind: fedadam}",
        ),
        (
            "privacy={kind: central, accounting: rdp, clip: {quantile: 0.5}}",
            "leakage={every: 2}",
            "strategy={kind: sync, cohort: 6, weighting: equal}",
        ),
        (
            "fleet.failure={dropout: 0.2}",
            "fleet.availability={kind: sessions, on: {kind: exponential, mean: 60}, "
            "off: {kind: exponential, mean: 20}}",
            "workload.metadata={kind: progress}",
        ),
    ],
    ids=["varying-sizes", "client-tests", "plateau", "metrics", "privacy-and-leakage", "failures"],
)
def test_what_the_world_learns_from_the_training_is_in_the_journal(
    overrides: tuple[str, ...], tmp_path: Path
) -> None:
    assert_resumes(of_methods(tmp_path, *overrides), (4,))


def test_checkpoints_make_no_difference_to_a_run(tmp_path: Path) -> None:
    with_them = run(of_methods(tmp_path / "with")).folder
    without = run(of_methods(tmp_path / "without", "checkpoint=null")).folder
    left, right = contents(with_them), contents(without)
    differing = {name for name in left if left[name] != right.get(name)}
    assert differing == {
        JOURNAL,
        "scenario.yaml",
        *(name for name in left if name.startswith("checkpoints/")),
    }
    assert left["summary.json"]["scenario_sha256"] == right["summary.json"]["scenario_sha256"]


def test_a_run_without_checkpoints_resumes_from_the_start(tmp_path: Path) -> None:
    assert_resumes(of_methods(tmp_path, "checkpoint=null"), (3, 2))


def test_a_run_that_was_killed_before_its_first_checkpoint_resumes_from_the_start(tmp_path: Path) -> None:
    assert_resumes(of_methods(tmp_path), (2,))


def test_a_run_whose_last_version_was_saved_has_only_its_results_to_write(tmp_path: Path) -> None:
    assert_resumes(of_methods(tmp_path, "stop={updates: 6}"), (6,))


def test_training_in_other_processes_is_resumed(tmp_path: Path) -> None:
    choice = {"workload.training.objective": "scaffold"}
    assert_resumes(of_choice(choice, tmp_path, executor=Processes(workers=2)), (3,))


def test_an_interrupted_run_is_resumed(tmp_path: Path) -> None:
    scenario = of_methods(tmp_path)
    whole = run(scenario).folder.rename(tmp_path / "whole")
    interrupted = run(scenario, watch=lambda moment: moment.version < 5)
    assert interrupted.interrupted
    assert not resume(interrupted.folder).interrupted
    assert_same(whole, interrupted.folder)


def test_a_timing_only_run_is_resumed_as_one(tmp_path: Path) -> None:
    scenario = of_methods(tmp_path)
    whole = run(scenario, timing_only=True).folder.rename(tmp_path / "whole")
    interrupted = run(scenario, timing_only=True, watch=lambda moment: moment.version < 5)
    resume(interrupted.folder)
    assert_same(whole, interrupted.folder)


def test_whoever_watches_a_resumed_run_sees_what_is_new(tmp_path: Path) -> None:
    scenario = of_methods(tmp_path)
    killed_at(scenario, 5)
    versions: list[int] = []

    def watch(moment: Any) -> bool:
        versions.append(moment.version)
        return True

    resume(tmp_path / "methods", watch=watch)
    assert sorted(set(versions)) == [3, 4, 5, 6, 7, 8]  # from where it goes on


def test_only_so_many_files_are_kept(tmp_path: Path) -> None:
    folder = run(of_methods(tmp_path)).folder
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == [
        "version-3.safetensors",
        "version-6.safetensors",
    ]
    folder = run(of_methods(tmp_path, "checkpoint={every: 2, keep: last}")).folder
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["version-8.safetensors"]


def test_a_run_that_was_killed_before_it_could_forget_a_checkpoint_forgets_it(tmp_path: Path) -> None:
    scenario = of_methods(tmp_path, "checkpoint={every: 2, keep: last}", "stop={updates: 5}")
    whole = run(scenario).folder.rename(tmp_path / "whole")
    killed_at(scenario, 4)
    (tmp_path / "methods" / "checkpoints" / "version-2.safetensors").write_bytes(b"")
    resume(tmp_path / "methods")
    assert_same(whole, tmp_path / "methods")


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """Return the folder of a run killed after its second checkpoint, beside what it would have left."""
    scenario = of_methods(tmp_path)
    run(scenario).folder.rename(tmp_path / "whole")
    killed_at(scenario, 7)
    return tmp_path / "methods"


def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    killed: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = killed / "checkpoints" / "version-6.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    resume(killed)
    assert "version-6.safetensors was changed" in caplog.text
    assert_same(killed.parent / "whole", killed)


def test_without_any_whole_checkpoint_a_run_begins_anew(killed: Path) -> None:
    shutil.rmtree(killed / "checkpoints")
    resume(killed)
    assert_same(killed.parent / "whole", killed)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.97])
def test_a_damaged_journal_is_gone_on_with_from_before_the_damage(
    killed: Path, share: float, caplog: pytest.LogCaptureFixture
) -> None:
    path = killed / JOURNAL
    content = bytearray(path.read_bytes())
    content[int(share * len(content))] ^= 64
    path.write_bytes(content)
    resume(killed)
    assert f"{JOURNAL}: frame" in caplog.text
    assert_same(killed.parent / "whole", killed)


def test_a_torn_journal_is_gone_on_with(killed: Path) -> None:
    os.truncate(killed / JOURNAL, (killed / JOURNAL).stat().st_size - 10)
    resume(killed)
    assert_same(killed.parent / "whole", killed)


def test_an_interrupt_on_the_way_to_the_checkpoint_loses_nothing(
    killed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (killed / JOURNAL).read_bytes()

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("flsim.learn.learner.TorchLearner.load", interrupted)
        with pytest.raises(KeyboardInterrupt):
            resume(killed)
    assert (killed / JOURNAL).read_bytes() == before
    assert len(read_tables(killed).versions) > 3
    resume(killed)
    assert_same(killed.parent / "whole", killed)


def test_a_finished_run_is_not_resumed(tmp_path: Path) -> None:
    folder = run(of_methods(tmp_path)).folder
    before = contents(folder)
    with pytest.raises(
        RunError, match=r"has finished \(8 server updates were made\): there is nothing to resume"
    ):
        resume(folder)
    assert contents(folder) == before


def test_a_changed_scenario_is_another_run(killed: Path) -> None:
    path = killed / "scenario.yaml"
    path.write_text(path.read_text().replace("seed: 5", "seed: 6"))
    before = contents(killed / "checkpoints")
    with pytest.raises(RunError, match=r"scenario\.yaml was changed since the run was begun"):
        resume(killed)
    assert contents(killed / "checkpoints") == before


@pytest.mark.parametrize("package", ["flsim-des", "torch"])
def test_another_version_could_end_otherwise(
    killed: Path, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flsim.durable import before

    known = before.version
    monkeypatch.setattr(before, "version", lambda name: "99" if name == package else known(name))
    with pytest.raises(RunError, match=r"was begun by .* and this is 99"):
        resume(killed)


def test_another_executor_could_end_otherwise(killed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from flsim.learn.executors import choice
    from flsim.scenario.executor import Serial

    monkeypatch.setattr(choice, "_automatic", lambda *_: (Serial(), "the test says so"))
    with pytest.raises(RunError, match="trained by executor vmap, and here it would go on with serial"):
        resume(killed)


def test_a_run_that_goes_on_is_not_resumed(killed: Path) -> None:
    with (
        FrameWriter(killed / JOURNAL, read_frames(killed / JOURNAL).whole),
        pytest.raises(RunError, match="still going on"),
    ):
        resume(killed)


@pytest.mark.parametrize(
    ("missing", "why"), [("scenario.yaml", "no folder of a run"), (JOURNAL, f"has no {JOURNAL}")]
)
def test_what_is_missing_is_named(killed: Path, missing: str, why: str) -> None:
    (killed / missing).unlink()
    with pytest.raises(RunError, match=why):
        resume(killed)


def test_a_full_disk_at_a_checkpoint_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = of_methods(tmp_path)
    whole = run(scenario).folder.rename(tmp_path / "whole")
    write = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if "version-6" in path.name:
            write(path, content[:100])
            raise OSError(28, "No space left on device")
        return write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(RunError, match=r"cannot write .*version-6.*No space left on device"):
            run(scenario)
    folder = tmp_path / "methods"
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["version-3.safetensors"]
    resume(folder)
    assert_same(whole, folder)


def test_a_killed_run_is_reported_and_compared(killed: Path) -> None:
    assert "<html" in write_report(killed).read_text()
    both = [read_run(folder).versions for folder in (killed, killed.parent / "whole")]
    told = [[(row["version"], row["time_s"], row["model_sha256"]) for row in versions] for versions in both]
    assert told[0] == told[1][: len(told[0])]
    assert len(told[0]) > 3


def test_the_command_line_resumes_a_killed_run(killed: Path) -> None:
    resumed = flsim("resume", killed, "-q", cwd=killed.parent)
    assert resumed.returncode == 0, resumed.stderr
    assert_same(killed.parent / "whole", killed)


@pytest.mark.parametrize(
    ("folder", "why"), [("whole", "there is nothing to resume"), ("nowhere", "no folder of a run")]
)
def test_the_command_line_says_why_it_does_not_resume(
    killed: Path, folder: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["resume", str(killed.parent / folder)])
    assert ended.value.code == EXIT_ERROR
    assert why in " ".join(capsys.readouterr().err.split())
