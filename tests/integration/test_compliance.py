"""The fifteen checks, on real runs: each passes for one and fails for another."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest
from click.testing import CliRunner

from flsim.cli import cli
from flsim.errors import EXIT_DONE, EXIT_ERROR, RunError, ScenarioError
from flsim.govern.audit import virtual_time
from flsim.govern.compliance import CHECKS, Checked, comply
from flsim.govern.lineage import lineage
from flsim.govern.policy import Policy, read_policy
from flsim.scenario import Scenario
from tests.governed import EQUAL, NOISY, records_of, reseal, rewrite_log, run_in, timed, trained
from tests.integration.command import REPOSITORY

MIDDLING = NOISY | {"noise_multiplier": 12.0}
BUDGET = NOISY | {"noise_multiplier": 4.0, "budget": {"epsilon": 3.0}}

RUNS: dict[str, dict[str, Any]] = {
    "plain": trained(),
    "private": timed(name="private", strategy=EQUAL, privacy=NOISY | {"budget": {"epsilon": 9.0}}),
    "dear": timed(name="dear", strategy=EQUAL, privacy=NOISY | {"noise_multiplier": 1.0}),
    "ungoverned": timed(name="ungoverned", strategy=EQUAL, privacy=MIDDLING, governance=None),
    "exhausted": timed(name="exhausted", strategy=EQUAL, privacy=BUDGET, stop={"updates": 100}),
    "lightly_clipped": trained(
        name="lightly_clipped", strategy=EQUAL, privacy=NOISY | {"clip": 10.0, "noise_multiplier": 0.1}
    ),
    "tightly_clipped": trained(name="tightly_clipped", strategy=EQUAL, privacy=NOISY | {"clip": 1e-3}),
    "over_selected": timed(
        name="over_selected", strategy={"kind": "sync", "cohort": 5, "over_selection": 3.0}
    ),
    "dropping": timed(name="dropping", fleet=timed()["fleet"] | {"failure": {"dropout": 0.7}}),
    "abandoned": timed(
        name="abandoned", strategy={"kind": "sync", "cohort": 5, "deadline": 10.0, "quorum": 4}
    ),
    "short": timed(name="short", stop={"updates": 4}),
    "idle": timed(name="idle", stop={"time": 1e-6}),
}


class Runs:
    """Runs that are made when they are first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[str, Path] = {}

    def of(self, name: str) -> Path:
        if name not in self._made:
            self._made[name] = run_in(self._folder, RUNS[name])
        return self._made[name]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("runs"))


def _finding(folder: Path, number: int, policy: Policy | None = None) -> Checked:
    return comply(folder, policy or Policy())[number - 1]


@pytest.mark.parametrize(
    ("number", "run"),
    [
        (1, "private"),
        (2, "abandoned"),
        (3, "plain"),
        (4, "plain"),
        (5, "plain"),
        (6, "plain"),
        (7, "plain"),
        (8, "plain"),
        (9, "abandoned"),
        (10, "private"),
        (11, "private"),
        (12, "abandoned"),
        (13, "lightly_clipped"),
        (14, "plain"),
        (15, "plain"),
    ],
)
def test_a_run_passes(runs: Runs, number: int, run: str) -> None:
    finding = _finding(runs.of(run), number)
    assert finding.status == "pass", finding


@pytest.mark.parametrize(
    ("number", "run", "evidence"),
    [
        (1, "dear", "limit 1"),
        (6, "over_selected", "5 of 15"),
        (7, "dropping", "dropped out"),
        (10, "ungoverned", "not governed"),
        (11, "exhausted", "exhausted at record"),
        (13, "tightly_clipped", "28 of 28"),
        (14, "abandoned", "skipped"),
        (14, "short", "4 made (at least 5)"),
    ],
)
def test_a_run_fails(runs: Runs, number: int, run: str, evidence: str) -> None:
    finding = _finding(runs.of(run), number)
    assert finding.status == "fail", finding
    assert evidence in finding.evidence


def _forget_a_skipped_update(folder: Path) -> None:
    def change(records: list[dict[str, Any]]) -> None:
        del records[next(place for place, record in enumerate(records) if record["event"] == "skipped")]
        for number, record in enumerate(records):
            record["number"] = number

    rewrite_log(folder, change)


def _better_accuracy(folder: Path) -> None:
    rewrite_log(folder, lambda records: records[2].update(accuracy=0.99))


def _spaces(folder: Path) -> None:
    path = folder / "governance" / "audit_log.json"
    path.write_bytes(path.read_bytes() + b" ")


def _another_model(folder: Path) -> None:
    rewrite_log(folder, lambda records: records[2].update(post_model_sha256="0" * 64))


def _another_hash(folder: Path) -> None:
    path = folder / "governance" / "audit_log.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    link = json.loads(lines[3])
    digit = "1" if link["sha256"][5] == "0" else "0"
    lines[3] = lines[3].replace(link["sha256"], link["sha256"][:5] + digit + link["sha256"][6:])
    path.write_text("".join(lines))


def _another_seed(folder: Path) -> None:
    path = folder / "scenario.yaml"
    path.write_text(path.read_text().replace("seed: 3", "seed: 4"))


def _both_active_and_dropped(folder: Path) -> None:
    def change(records: list[dict[str, Any]]) -> None:
        records[1]["dropped"].append([*records[1]["active"][0], "dropped"])

    rewrite_log(folder, change)


def _nobody_selected(folder: Path) -> None:
    rewrite_log(folder, lambda records: records[1].update(selected=[], active=[], dropped=[]))


def _silent_about_the_budget(folder: Path) -> None:
    def change(records: list[dict[str, Any]]) -> None:
        for record in records:
            record["reason"] = None

    rewrite_log(folder, change)


def _no_zone(folder: Path) -> None:
    rewrite_log(folder, lambda records: records[1].update(time=records[1]["time"].removesuffix("Z")))


def _version_twice(folder: Path) -> None:
    rewrite_log(folder, lambda records: records[3].update(version=2))


def _another_body(folder: Path) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["audit"]["bodies"][1] = "0" * 64

    reseal(folder, change)


def _a_version_less(folder: Path) -> None:
    reseal(folder, lambda manifest: manifest["lineage"].pop(2))


def _a_record_less(folder: Path) -> None:
    rewrite_log(folder, lambda records: records.pop())


def _no_manifest_to_read(folder: Path) -> None:
    (folder / "governance" / "manifest.json").write_text("{")


def _summary_of_another(folder: Path) -> None:
    _summarise(folder, lambda summary: summary.update(scenario_sha256="0" * 64))


def _summarise(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    summary = json.loads((folder / "summary.json").read_text())
    change(summary)
    (folder / "summary.json").write_text(json.dumps(summary))


def _another_last_model(folder: Path) -> None:
    rewrite_log(folder, lambda records: records[-1].update(post_model_sha256="0" * 64))


def _back_in_time(folder: Path) -> None:
    rewrite_log(folder, lambda records: records[3].update(time_s=0.5, time=virtual_time(0.5)))


def _from_the_future(folder: Path) -> None:
    reseal(folder, lambda manifest: manifest["lineage"][1]["tasks"][0].update(base_version=5))


def _another_beginning(folder: Path) -> None:
    reseal(folder, lambda manifest: manifest["model"].update(initial_sha256="0" * 64))


def _no_lineage(folder: Path) -> None:
    reseal(folder, lambda manifest: manifest["lineage"].clear())


def _silent_about_costs(folder: Path) -> None:
    def change(records: list[dict[str, Any]]) -> None:
        for record in records:
            record["epsilon_spent"] = None

    rewrite_log(folder, change)


def _selected_for_nothing(folder: Path) -> None:
    rewrite_log(folder, lambda records: records[1]["selected"].append([999, 3]))


def _a_skipped_update_that_costs(folder: Path) -> None:
    def change(records: list[dict[str, Any]]) -> None:
        next(record for record in records if record["event"] == "skipped")["epsilon_spent"] = 0.25

    rewrite_log(folder, change)


def _overdrawn(folder: Path) -> None:
    _summarise(folder, lambda summary: summary["privacy"].update(epsilon=3.25))


def _on_without_a_budget(folder: Path) -> None:
    rewrite_log(folder, lambda records: records[-1].update(version=99))


@pytest.mark.parametrize(
    ("number", "run", "forge", "evidence"),
    [
        (2, "abandoned", _forget_a_skipped_update, "record 1 "),
        (2, "plain", _better_accuracy, "record 2 is not what the tables say: accuracy"),
        (3, "plain", _spaces, "audit_log.json would be written otherwise"),
        (4, "plain", _another_model, "record 3 begins with another model than record 2"),
        (5, "plain", _another_hash, "record 3 does not have the hash of what it says"),
        (5, "plain", _better_accuracy, "the chain ends with another hash"),
        (8, "plain", _another_seed, "scenario.yaml has another hash"),
        (9, "plain", _both_active_and_dropped, "record 1"),
        (9, "plain", _nobody_selected, "not in exactly one record"),
        (11, "exhausted", _silent_about_the_budget, "does not say so"),
        (12, "plain", _no_zone, "is not"),
        (12, "plain", _version_twice, "not numbered one by one"),
        (15, "plain", _another_body, "does not lead to the chain's last hash"),
        (15, "plain", _a_version_less, "leaves out versions"),
        (1, "exhausted", _a_skipped_update_that_costs, "; skipped, and yet not free: records "),
        (1, "private", _silent_about_costs, "no record says what it cost"),
        (8, "plain", _no_lineage, "the tables or the manifest have no version"),
        (2, "plain", _a_record_less, "7 records; by the tables there are 8"),
        (3, "plain", _no_manifest_to_read, "manifest.json cannot be read"),
        (8, "plain", _summary_of_another, "summary.json has another scenario_sha256 than the manifest"),
        (8, "plain", _another_last_model, "summary, tables, log and manifest do not end with the same"),
        (9, "plain", _selected_for_nothing, "record 1: task 999 of client 3 is selected, or active or"),
        (11, "exhausted", _overdrawn, "epsilon 3.25 of 3: the budget is overdrawn"),
        (11, "exhausted", _on_without_a_budget, ", and updates were made after it"),
        (12, "plain", _back_in_time, "record 3 was before record 2"),
        (15, "plain", _from_the_future, "version 1 has a task that started from a later one"),
        (15, "plain", _another_beginning, "the lineage begins with another model than the manifest's"),
    ],
)
def test_a_forged_run_fails(
    runs: Runs, tmp_path: Path, number: int, run: str, forge: Callable[[Path], None], evidence: str
) -> None:
    forged = shutil.copytree(runs.of(run), tmp_path / "forged")
    forge(forged)
    finding = _finding(forged, number)
    assert finding.status == "fail", finding
    assert evidence in finding.evidence


def test_a_run_that_nobody_worked_for_is_not_judged_by_participation(runs: Runs) -> None:
    found = [_finding(runs.of("idle"), number) for number in (6, 7)]
    assert [(check.status, check.evidence) for check in found] == [
        ("not applicable", "no update was made of anybody's"),
        ("not applicable", "no task ended"),
    ]


def test_hashes_that_tell_nothing_apart_are_found(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    from flsim.govern.checks import integrity

    folder = runs.of("plain")
    monkeypatch.setattr(integrity, "broken_link", lambda links: None)
    assert _finding(folder, 5).evidence == "an altered hash of record 0 is not found"
    same = json.loads((folder / "governance" / "manifest.json").read_text())["config"]["scenario_sha256"]
    monkeypatch.setattr(Scenario, "sha256", property(lambda scenario: same))
    assert _finding(folder, 8).evidence == "another seed has the same hash"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("summary.json", "{", "summary.json cannot be read: .*; was the run killed?"),
        ("summary.json", None, "summary.json cannot be read: .*; was the run killed?"),
        ("summary.json", "[]", "summary.json is not a run's summary"),
        ("governance/audit_log.jsonl", "3\n", "audit_log.jsonl:1: not a record of an audit log"),
        (
            "governance/audit_log.jsonl",
            '{"record": [], "previous": "", "sha256": ""}\n',
            "audit_log.jsonl:1: not a record of an audit log",
        ),
        ("governance/audit_log.jsonl", "", "audit_log.jsonl: an audit log has at least one record"),
        ("governance/audit_log.jsonl", "\n", "audit_log.jsonl:1: not a record of an audit log"),
    ],
)
def test_what_cannot_be_read_is_named(
    runs: Runs, tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    broken = shutil.copytree(runs.of("plain"), tmp_path / "broken")
    (broken / name).unlink()
    if content is not None:
        (broken / name).write_text(content)
    with pytest.raises(RunError, match=message):
        comply(broken, Policy())


def test_a_folder_in_place_of_the_log_is_named(runs: Runs, tmp_path: Path) -> None:
    broken = shutil.copytree(runs.of("plain"), tmp_path / "broken")
    log = broken / "governance" / "audit_log.jsonl"
    log.unlink()
    log.mkdir()
    with pytest.raises(RunError, match=r"audit_log\.jsonl: cannot be read: "):
        comply(broken, Policy())


def test_every_check_has_a_run_that_passes_and_one_that_fails() -> None:
    """By the cases above: nobody adds a check without them."""
    functions = (test_a_run_passes, test_a_run_fails, test_a_forged_run_fails)
    cases = [[case[0] for case in function.pytestmark[0].args[1]] for function in functions]
    assert set(cases[0]) == {*cases[1], *cases[2]} == set(range(1, len(CHECKS) + 1)) == set(range(1, 16))


def test_an_ungoverned_run_is_judged_by_its_tables(runs: Runs) -> None:
    found = {check.number: check.status for check in comply(runs.of("ungoverned"), Policy())}
    unlogged = {2, 3, 5, 8, 9, 15}
    assert {number for number, status in found.items() if status == "not applicable"} >= unlogged
    assert found[1] == found[6] == found[14] == "pass"


def test_a_threshold_of_the_policy_decides(runs: Runs) -> None:
    loose = Policy.model_validate({"privacy": {"epsilon_per_update": 1e3, "epsilon": 1e3}})
    assert _finding(runs.of("dear"), 1, loose).status == "pass"
    may = Policy.model_validate({"privacy": {"may_exhaust": True}})
    assert _finding(runs.of("exhausted"), 11, may).status == "pass"
    assert _finding(runs.of("short"), 14, Policy.model_validate({"updates": {"valid": 4}})).status == "pass"


def test_an_epsilon_without_bounds_is_above_every_limit(runs: Runs, tmp_path: Path) -> None:
    """JSON has no infinity: summary.json says null."""
    boundless = shutil.copytree(runs.of("ungoverned"), tmp_path / "boundless")
    summary = json.loads((boundless / "summary.json").read_text())
    summary["privacy"]["epsilon"] = None
    (boundless / "summary.json").write_text(json.dumps(summary))
    assert [_finding(boundless, number).status for number in (1, 10)] == ["fail", "fail"]


def test_a_skipped_update_costs_nothing_and_the_last_of_an_exhausted_budget_is_one(runs: Runs) -> None:
    records = records_of(runs.of("exhausted"))
    *_, flagged, end = records
    assert (flagged["event"], flagged["epsilon_spent"], end["event"]) == ("skipped", 0.0, "end")
    assert flagged["reason"].startswith("privacy budget: one server update more would take epsilon from")


def test_the_shipped_policy_is_the_default_one() -> None:
    assert read_policy(REPOSITORY / "docs" / "policy.yaml") == Policy()


def test_the_page_lists_the_checks_and_every_threshold() -> None:
    page = (REPOSITORY / "docs" / "governance.md").read_text()
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \|.*\| ([^|]*)\|$", page, re.MULTILINE)
    assert [(int(number), name) for number, name, _ in rows] == list(enumerate(CHECKS, start=1))
    listed = {key.split(".")[-1] for *_, keys in rows for key in re.findall(r"`([^`]+)`", keys)}
    sections = [field.default for field in Policy.model_fields.values()]
    assert listed == {key for section in sections for key in type(section).model_fields}


def _verify(*args: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(cli, ["verify", *map(str, args)], standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return done.return_value, done.stdout


def test_a_run_that_cannot_be_judged_and_has_no_manifest_is_one_message(
    runs: Runs, default_policy: Path, tmp_path: Path
) -> None:
    broken = shutil.copytree(runs.of("ungoverned"), tmp_path / "broken")
    (broken / "summary.json").write_text("[]")
    with pytest.raises(RunError, match=r"summary\.json is not a run's summary"):
        _verify(broken, "--policy", default_policy)


@pytest.fixture
def default_policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text("updates: {valid: 5}\n")
    return path


def test_the_command_prints_a_line_for_each_check_and_fails_if_one_does(
    runs: Runs, default_policy: Path
) -> None:
    code, said = _verify(runs.of("plain"), "--policy", default_policy)
    assert code == EXIT_DONE, said
    assert [line.split()[0] for line in said.splitlines()[2:]] == [str(number) for number in range(1, 16)]
    code, said = _verify(runs.of("short"), "--policy", default_policy)
    assert code == EXIT_ERROR
    assert "14 fail" in said


def test_the_command_gives_json(runs: Runs, default_policy: Path) -> None:
    code, said = _verify(runs.of("short"), "--policy", default_policy, "--format", "json")
    found = json.loads(said)
    assert code == EXIT_ERROR
    assert found["files"]["changed"] == []
    assert [check["number"] for check in found["checks"]] == list(range(1, 16))
    assert {check["status"] for check in found["checks"]} == {"pass", "fail", "not applicable"}


def test_tables_with_a_row_less_are_judged_and_fail(runs: Runs, tmp_path: Path) -> None:
    """Whatever they were changed to, the checks come to an end."""
    for table, rows in (("versions", [0, 2, 3, 4, 5, 6]), ("tasks", list(range(5, 20)))):
        cut = shutil.copytree(runs.of("plain"), tmp_path / table)
        path = cut / f"{table}.parquet"
        parquet.write_table(parquet.read_table(path).take(rows), path)
        found = {check.number: check.status for check in comply(cut, Policy())}
        assert found[2] == "fail"
        lineage(cut, 3)


def test_a_run_whose_tables_are_unreadable_is_not_judged_but_its_damage_is_told(
    runs: Runs, default_policy: Path, tmp_path: Path
) -> None:
    broken = shutil.copytree(runs.of("plain"), tmp_path / "broken")
    (broken / "tasks.parquet").write_bytes(b"PAR1")
    code, said = _verify(broken, "--policy", default_policy)
    assert code == EXIT_ERROR
    assert "CHANGED tasks.parquet" in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("privcy: {epsilon: 3}", "privcy: unknown key; accepted here: privacy, participation, updates"),
        ("privacy: {epsilon: -1}", ":1: privacy.epsilon: must be greater than or equal to 0"),
        ("- 3", "a policy is a mapping"),
    ],
)
def test_a_policy_is_strict(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    with pytest.raises(ScenarioError) as error:
        read_policy(path)
    assert message in str(error.value)
