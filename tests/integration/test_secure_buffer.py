"""Secure buffers as a user meets them: the model of an open run, its costs, and what is refused."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest
import torch
from torch import Tensor

from flsim.errors import ScenarioError
from flsim.learn import prepare
from flsim.learn.aggregations import Contribution
from flsim.learn.learner import TorchLearner
from flsim.learn.received import Received
from flsim.learn.secure_buffer import SecureBufferLearner
from flsim.running import run
from flsim.scenario import Scenario, read_scenario
from flsim.scenario.secure_buffer import LightSecAgg
from flsim.secagg.light.field import PRIME, Elements
from flsim.sim.world import simulate
from flsim.workload import prepare_workload
from tests.integration.command import SCENARIOS, flsim, summary_of
from tests.memory import MemoryJournal
from tests.spoiled import spoil_the_first_update

FILE = SCENARIOS / "secure_buffer.yaml"
QUICK = ("stop.updates=4", "output={plots: false, timeline: false}")
SET = [word for override in QUICK for word in ("--set", override)]
DROPOUTS = "fleet.failure.dropout=0.15"


def read(*overrides: str) -> Scenario:
    return read_scenario(FILE, (*QUICK, *overrides))


def ran(folder: Path, *overrides: str) -> dict[str, Any]:
    return run(read(f"output.dir={folder}", *overrides)).summary


def test_the_protocol_and_the_plain_weighted_sum_give_the_same_model(tmp_path: Path) -> None:
    """Bit for bit, with holders that drop out."""
    found = []
    for mode in ("protocol", "fast"):
        found.append(ran(tmp_path, f"secure_aggregation.mode={mode}", DROPOUTS))
        rows = parquet.read_table(tmp_path / "secure_buffer" / "secure_sessions.parquet")
        assert set(rows["mode"].to_pylist()) == {mode}
        assert found[-1]["secure_aggregation"]["mode"] == mode
    assert found[0]["secure_aggregation"]["dropped"] > 0
    assert found[0]["secure_aggregation"]["completed"] == 4
    assert found[0]["model_sha256"] == found[1]["model_sha256"]
    assert found[0]["records_sha256"] == found[1]["records_sha256"]
    assert "skipped" not in found[0]["secure_aggregation"]["note"]
    assert "skipped" in found[1]["secure_aggregation"]["note"]


def test_the_model_moves_by_the_fixed_point_sum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every unmasked sum is that of the clients' rounded numbers, added up as Python's integers."""
    sums: list[tuple[list[int], list[int], set[int]]] = []
    plain = SecureBufferLearner._sum

    def noted(
        self: SecureBufferLearner, buffer: Any, updates: dict[int, Elements], weights: dict[int, int]
    ) -> Elements:
        total = plain(self, buffer, updates, weights)
        rows = [[weights[task] * value for value in one.tolist()] for task, one in updates.items()]
        wanted = [sum(column) % PRIME for column in zip(*rows, strict=True)]
        sums.append((total.tolist(), wanted, set(weights.values())))
        return total

    monkeypatch.setattr(SecureBufferLearner, "_sum", noted)
    ran(tmp_path, DROPOUTS)
    assert len(sums) == 4
    assert all(total == wanted for total, wanted, _ in sums)
    assert all(max(weights) == 64 and len(weights) > 2 for *_, weights in sums)


class Rounding(TorchLearner):
    """A learner in the open whose clients round their updates, as those under masks do."""

    def _contributions(self, received: Received) -> list[Contribution]:
        rounded = []
        for each in super()._contributions(received):
            scaled = np.rint(np.clip(each.update.double().numpy(), -8, 8) * 2**16)
            update = torch.from_numpy(scaled / 2**16).float()
            rounded.append(type(each)(**{**vars(each), "update": update}))
        return rounded


@pytest.mark.parametrize("staleness", ["{kind: uniform}", "{kind: polynomial, a: 0.5}"])
def test_a_run_is_that_of_an_open_buffer_on_the_same_rounded_updates(
    staleness: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same tasks in the same buffers, by the plain weighted mean in float32."""
    scenario = read(
        "stop.updates=6",
        "secure_aggregation={kind: lightsecagg, limit: 8, levels: 256}",
        f"strategy={{kind: fedbuff, concurrency: 10, buffer_size: 5, staleness: {staleness}}}",
    )
    models: list[Tensor] = []
    journals = []
    for kind in (SecureBufferLearner, Rounding):
        monkeypatch.setattr(prepare, "_kind_of_learner", lambda _, kind=kind: kind)
        costs, learner, _ = prepare_workload(scenario, timing_only=False)
        assert type(learner) is kind
        journals.append(MemoryJournal())
        simulate(scenario, costs, learner, journals[-1])
        models.append(learner.weights)  # type: ignore[attr-defined]
        learner.close()
    moved = float((models[0] - read_initial(scenario)).abs().max())
    apart = float((models[0] - models[1]).abs().max())
    exact = "uniform" in staleness  # else, weights are rounded to parts of 256
    assert apart < (1e-5 if exact else 0.02) * moved
    assert moved > 0.05
    for one, other in zip(*(journal.tasks for journal in journals), strict=True):
        assert one[:10] == other[:10]
        if one.weight is not None:
            assert other.weight is not None
            assert one.weight == pytest.approx(other.weight, rel=1e-12 if exact else 0.01)


def read_initial(scenario: Scenario) -> Tensor:
    _, learner, _ = prepare_workload(scenario, timing_only=False)
    weights: Tensor = learner.weights  # type: ignore[attr-defined]
    learner.close()
    return weights


def test_weights_in_the_records_are_what_updates_counted_for(tmp_path: Path) -> None:
    """Whole parts of the largest, with the sum of the strategy's: shares by samples times the factors."""
    ran(tmp_path, "secure_aggregation.levels=8")
    tasks = parquet.read_table(tmp_path / "secure_buffer" / "tasks.parquet").to_pylist()
    for version in range(1, 5):
        of = [task for task in tasks if task["aggregated_version"] == version]
        samples = sum(task["samples"] for task in of)
        wanted = [task["samples"] / samples * (1 + task["staleness"]) ** -0.5 for task in of]
        found = [task["weight"] for task in of]
        assert sum(found) == pytest.approx(sum(wanted))
        whole = [max(1, round(8 * weight / max(wanted))) for weight in wanted]
        assert found == pytest.approx([sum(wanted) * one / sum(whole) for one in whole])


def test_a_client_whose_update_is_not_finite_sends_zeros(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil_the_first_update(monkeypatch)
    summary = ran(tmp_path, "stop.updates=2")
    assert summary["tasks"]["rejected"] == 1
    assert summary["final_loss"] < 10


@pytest.mark.slow
def test_the_scenario_gives_the_same_in_every_process(tmp_path: Path) -> None:
    found = []
    for seed in ("1", "2"):
        done = flsim(FILE, *SET, "--quiet", "--out", "out", cwd=tmp_path, PYTHONHASHSEED=seed)
        assert done.returncode == 0, done.stderr
        folder = tmp_path / "out" / "secure_buffer"
        summary = summary_of(folder)
        kept = [summary[key] for key in ("model_sha256", "records_sha256", "secure_aggregation")]
        tables = [
            parquet.read_table(folder / f"secure_{name}.parquet").to_pylist()
            for name in ("sessions", "errands")
        ]
        found.append((kept, tables))
    assert found[0] == found[1]


def test_without_training_the_timeline_is_the_same(tmp_path: Path) -> None:
    trained = ran(tmp_path)
    untrained = run(read(f"output.dir={tmp_path}"), timing_only=True).summary
    assert trained["records_sha256"] == untrained["records_sha256"]
    assert trained["bytes_up"] == untrained["bytes_up"]
    assert "nothing to mask" in untrained["secure_aggregation"]["note"]


def test_costs_are_in_all_records(tmp_path: Path) -> None:
    power = "fleet.power={compute: 2 W, transmit: 1 W, receive: 0.5 W}"
    summary = ran(tmp_path, "output.timeline=true", power)
    folder = tmp_path / "secure_buffer"
    tables = {
        name: parquet.read_table(folder / f"{name}.parquet")
        for name in ("tasks", "clients", "versions", "secure_sessions", "secure_errands")
    }
    rows, errands = (tables[name].to_pylist() for name in ("secure_sessions", "secure_errands"))
    told = summary["secure_aggregation"]
    assert (told["kind"], told["bits"]) == ("lightsecagg", 32)
    assert told["completed"] + told["failed"] == told["sessions"] == len(rows)
    assert told["dropped"] == sum(row["dropped"] for row in rows)
    # A model of 64 x 32 + 32 + 32 x 10 + 10 numbers, in four pieces; eight updates in a buffer.
    numbers, share = 2410, 603
    assert told["task_bytes_up"] == 32 + 10 * (4 * share + 20)
    assert told["task_bytes_down"] == 10 * 36
    assert (told["errand_bytes_up"], told["errand_bytes_down"]) == (4 * share, 8 * (4 * share + 56))
    tasks = [task for task in tables["tasks"].to_pylist() if task["outcome"] == "aggregated"]
    assert {task["bytes_up"] for task in tasks} == {4 * numbers + told["task_bytes_up"]}
    assert {task["bytes_down"] for task in tasks} == {4 * numbers + told["task_bytes_down"]}
    communication = json.loads((folder / "communication.json").read_text())
    [phase] = communication["secure_aggregation"]
    assert (phase["phase"], phase["sessions"]) == ("recovery", len(rows))
    assert phase["seconds"] == pytest.approx(sum(row["ended_s"] - row["started_s"] for row in rows))
    for name in ("bytes_up", "bytes_down"):
        moved = sum(errand[name] for errand in errands)
        assert phase[name] == moved == sum(row[name] for row in rows) > 0
        of_tasks = sum(tables["tasks"][name].to_pylist())
        by_client = {row["client"]: row[name] for row in communication["clients"]}
        assert summary[name] == communication[name] == moved + of_tasks == sum(by_client.values())
        assert sum(of[name] for of in communication["outcomes"].values()) == of_tasks
        assert tables["clients"][name].to_pylist() == [by_client[client] for client in range(50)]
        entries = (*tables["tasks"].to_pylist(), *errands)
        metrics = json.loads((folder / "metrics.json").read_text())["versions"]
        for row, version in zip(communication["versions"], metrics, strict=True):
            ended = [one for one in entries if one["ended_s"] <= row["time_s"]]
            assert row[f"{name}_cumulative"] == version[f"{name}_cumulative"]
            assert row[f"{name}_cumulative"] == sum(one[name] for one in ended)
    joules = sum(one["energy_j"] for one in (*tables["tasks"].to_pylist(), *errands) if one["energy_j"])
    assert summary["energy_j"] == pytest.approx(joules)
    assert sum(tables["clients"]["energy_j"].drop_null().to_pylist()) == pytest.approx(joules)
    assert sum(one["energy_j"] or 0 for one in errands) > 0


def test_the_timeline_has_a_span_for_every_recovery(tmp_path: Path) -> None:
    ran(tmp_path, "output.timeline=true")
    folder = tmp_path / "secure_buffer"
    rows = parquet.read_table(folder / "secure_sessions.parquet").to_pylist()
    with gzip.open(folder / "timeline.json.gz") as file:
        events = json.load(file)["traceEvents"]
    spans = [event for event in events if event.get("cat") == "secure aggregation"]
    assert [span["name"] for span in spans] == ["recovery"] * len(rows)
    assert [span["ts"] for span in spans] == pytest.approx([row["started_s"] * 1e6 for row in rows], abs=1)
    ends = [span["ts"] + span["dur"] for span in spans]
    assert ends == pytest.approx([row["ended_s"] * 1e6 for row in rows], abs=1)
    versions = [event["ts"] for event in events if event.get("cat") == "version"][1:]
    completed = [end for end, row in zip(ends, rows, strict=True) if row["outcome"] == "completed"]
    assert versions == pytest.approx(completed, abs=1)
    named = [event["args"]["name"] for event in events if event["name"] == "thread_name"]
    assert "secure aggregation" in named


@pytest.mark.slow
def test_without_the_library_there_is_one_clear_error(tmp_path: Path) -> None:
    blocker = tmp_path / "cryptography.py"
    blocker.write_text("raise ImportError('not here')\n")
    path = os.pathsep.join([str(tmp_path), str(SCENARIOS.parent)])
    done = flsim(FILE, *SET, "--out", "out", cwd=tmp_path, PYTHONPATH=path)
    assert done.returncode == 1
    assert "pip install 'flsim-des[secagg]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


SECURE = "secure_aggregation"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("strategy={kind: sync}",), "strategy.kind.*sums up a cohort.*Accepted with lightsecagg: fedbuff"),
        (("strategy={kind: fedasync}",), "strategy.kind.*sum of one update is that update"),
        (("strategy={kind: port, buffer_size: 8}",), "strategy.kind.*promises a largest staleness"),
        (("strategy={kind: fedat, tiers: 2}",), "strategy.kind.*fedat.*lightsecagg: fedbuff"),
        (("strategy={kind: fedbuff, round_duration: 10 s}",), "strategy.round_duration.*give buffer_size"),
        (("strategy.buffer_size=1",), "strategy.buffer_size.*sum of one update.*accepted: 2 or more"),
        ((f"{SECURE}.threshold=11",), "secure_aggregation.threshold.*accepted: 2 to 10"),
        ((f"{SECURE}.threshold=1",), "secure_aggregation.threshold"),
        ((f"{SECURE}.colluding=7",), "secure_aggregation.colluding.*accepted: 1 to 6"),
        ((f"{SECURE}.colluding=0",), "secure_aggregation.colluding"),
        (
            (f"{SECURE}.committee=60", f"{SECURE}.threshold=40"),
            "secure_aggregation.committee.*50 clients; accepted: 50 at most",
        ),
        (
            (f"{SECURE}.precision=20",),
            r"levels.*8 updates x 64 levels x 4 x 2\*\*20 = 2147483648; .*up to 2147483645",
        ),
        ((f"{SECURE}.timeout=0",), "secure_aggregation.timeout"),
        ((f"{SECURE}.timeout={{recovery: 3}}",), "secure_aggregation.timeout"),
        ((f"{SECURE}.neighbours=3",), "secure_aggregation.neighbours.*unknown key"),
        (("aggregation.kind=median",), "aggregation.kind.*looks at single updates.*accepted: mean"),
        (("compression={uplink: {kind: sign}}",), "compression.*looks random"),
        (("privacy={kind: central}", "strategy.weighting=equal"), "privacy.kind"),
        (("selection.kind=oort",), "selection.kind.*nothing but sums"),
        (("selection={kind: poisson, q: 0.2}",), "strategy.kind.*poisson draws whole rounds"),
        (("stop.converged=0.5",), "stop.converged.*nothing but sums"),
        (("workload.training.objective.kind=scaffold",), "objective.kind.*second vector"),
        (("workload.metadata={kind: progress}",), "workload.metadata.*not under the masks"),
        (
            (
                "personalization={kind: fedper}",
                "workload.data.client_test_share=0.2",
                "evaluation={clients: {}}",
            ),
            "personalization.kind.*clients keep a part",
        ),
    ],
)
def test_what_needs_more_than_the_sum_is_refused(overrides: tuple[str, ...], words: str) -> None:
    with pytest.raises(ScenarioError, match=f"(?s){words}"):
        read_scenario(FILE, overrides)


def test_the_largest_sum_that_fits_is_accepted() -> None:
    scenario = read_scenario(FILE, (f"{SECURE}.precision=19", f"{SECURE}.levels=127"))
    assert isinstance(scenario.secure_aggregation, LightSecAgg)


def test_a_hierarchy_is_refused() -> None:
    tree = "network.topology={kind: tree, levels: [{name: edge, nodes: 4, downlink: 1e7, uplink: 1e7}]}"
    edges = "hierarchy={strategy: {kind: sync, cohort: all}}"
    with pytest.raises(ScenarioError, match=r"(?s)secure_aggregation.*sessions are with one server"):
        read_scenario(FILE, (tree, edges, "strategy={kind: fedbuff, buffer_size: 2, concurrency: 3}"))
