"""Secure aggregation as a user meets it: the model of an open run, its costs, and what is refused."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest

from flsim.errors import ScenarioError
from flsim.learn.aggregations import Contribution
from flsim.learn.received import Received
from flsim.learn.secure import SecureLearner
from flsim.running import run
from flsim.scenario import read_scenario
from flsim.secagg.fixed_point import Words
from tests.integration.command import SCENARIOS, flsim, summary_of
from tests.spoiled import spoil_the_first_update

FILE = SCENARIOS / "secure_aggregation.yaml"
QUICK = ("stop.updates=4", "output={plots: false, timeline: false}")
SET = [word for override in QUICK for word in ("--set", override)]


def ran(folder: Path, *overrides: str) -> dict[str, Any]:
    return run(read_scenario(FILE, (*QUICK, f"output.dir={folder}", *overrides))).summary


@pytest.mark.parametrize("kind", ["secagg", "secagg_plus, neighbours: 6"])
def test_the_protocol_and_the_plain_modular_sum_give_the_same_model(kind: str, tmp_path: Path) -> None:
    """Bit for bit, with dropouts in every run."""
    found = []
    for mode in ("protocol", "fast"):
        secure = f"secure_aggregation={{kind: {kind}, threshold: 0.6, mode: {mode}}}"
        found.append(ran(tmp_path, secure, "fleet.failure.dropout=0.25"))
        rows = parquet.read_table(tmp_path / "secure_aggregation" / "secure_sessions.parquet")
        assert set(rows["mode"].to_pylist()) == {mode}
        assert found[-1]["secure_aggregation"]["mode"] == mode
    assert found[0]["secure_aggregation"]["dropped"] > 0
    assert found[0]["model_sha256"] == found[1]["model_sha256"]
    assert found[0]["records_sha256"] == found[1]["records_sha256"]
    assert "curves are skipped" not in found[0]["secure_aggregation"]["note"].replace("elliptic ", "")
    assert "elliptic curves" in found[1]["secure_aggregation"]["note"]


def test_the_model_moves_by_the_fixed_point_sum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every unmasked sum is that of the clients' rounded numbers, added up as Python's integers."""
    sums: list[tuple[list[int], list[int], int]] = []
    plain = SecureLearner._sum

    def noted(self: SecureLearner, session: Any, inputs: dict[int, Words]) -> Words:
        total = plain(self, session, inputs)
        bits = self._code.bits
        wanted = [
            sum(column) % 2**bits for column in zip(*(x.tolist() for x in inputs.values()), strict=True)
        ]
        sums.append((total.tolist(), wanted, len(inputs)))
        return total

    monkeypatch.setattr(SecureLearner, "_sum", noted)
    summary = ran(tmp_path, "fleet.failure.dropout=0.2")
    assert len(sums) == summary["updates"]
    assert all(total == wanted for total, wanted, _ in sums)
    assert min(count for *_, count in sums) < 10


def test_a_round_is_that_of_an_open_one_to_the_rounding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights by samples: the weighted sum in float64, from the same updates."""
    compared = []
    secure = SecureLearner._combined

    def both(self: Any, valid: list[Contribution], received: Received) -> Any:
        combined = secure(self, valid, received)
        exact = np.zeros(len(valid[0].update))
        for each in valid:
            exact += each.weight * each.update.double().numpy()
        compared.append((combined.update.double().numpy(), exact, max(received.weights)))
        assert combined.weights == tuple(each.weight for each in valid)
        return combined

    monkeypatch.setattr(SecureLearner, "_combined", both)
    ran(tmp_path, "secure_aggregation.limit=8", "stop.updates=2", "fleet.failure.dropout=0")
    for found, exact, largest in compared:
        # Each of ten numbers is off by half a step at most, and scaled by the largest weight.
        np.testing.assert_allclose(found, exact, rtol=1e-6, atol=10 * largest * 2**-17)
        assert np.abs(exact).max() > 1000 * 2**-17


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
        folder = tmp_path / "out" / "secure_aggregation"
        summary = summary_of(folder)
        kept = [summary[key] for key in ("model_sha256", "records_sha256", "secure_aggregation")]
        found.append((kept, parquet.read_table(folder / "secure_sessions.parquet").to_pylist()))
    assert found[0] == found[1]


@pytest.mark.slow
def test_without_training_the_timeline_is_the_same(tmp_path: Path) -> None:
    found = []
    for how in ([], ["--timing-only"]):
        done = flsim(FILE, *SET, "--quiet", "--out", "out", *how, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        found.append(summary_of(tmp_path / "out" / "secure_aggregation"))
    assert found[0]["records_sha256"] == found[1]["records_sha256"]
    assert "nothing to mask" in found[1]["secure_aggregation"]["note"]


def test_records_have_the_phases(tmp_path: Path) -> None:
    summary = ran(tmp_path, "output.timeline=true")
    folder = tmp_path / "secure_aggregation"
    told = summary["secure_aggregation"]
    assert (told["kind"], told["sessions"], told["completed"], told["failed"]) == ("secagg", 4, 4, 0)
    assert told["bits"] == (2 * 10 * 4 * 2**16).bit_length()
    rows = parquet.read_table(folder / "secure_sessions.parquet").to_pylist()
    phases = json.loads((folder / "communication.json").read_text())["secure_aggregation"]
    assert [phase["phase"] for phase in phases] == ["keys", "shares", "masked_input", "unmasking"]
    for name in ("bytes_up", "bytes_down"):
        assert sum(phase[name] for phase in phases) == sum(row[name] for row in rows) == summary[name]
    with gzip.open(folder / "timeline.json.gz") as file:
        events = json.load(file)["traceEvents"]
    spans = [event for event in events if event.get("cat") == "secure aggregation"]
    assert [span["name"] for span in spans] == [row["phase"] for row in rows]
    assert [span["ts"] for span in spans] == pytest.approx([row["started_s"] * 1e6 for row in rows], abs=1)
    named = [event["args"]["name"] for event in events if event["name"] == "thread_name"]
    assert "secure aggregation" in named


def test_a_run_in_the_open_has_no_such_records(tmp_path: Path) -> None:
    summary = ran(tmp_path, "secure_aggregation=null")
    assert "secure_aggregation" not in summary
    assert not (tmp_path / "secure_aggregation" / "secure_sessions.parquet").exists()


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
    done = flsim(
        FILE, *SET, "--set", "secure_aggregation.mode=fast", "--out", "out", cwd=tmp_path, PYTHONPATH=path
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("aggregation.kind=median",), "aggregation.kind.*looks at single updates.*accepted: mean"),
        (
            ("strategy={kind: fedbuff, buffer_size: 5}",),
            "strategy.kind.*fedbuff takes updates as they come",
        ),
        (("strategy={kind: fedasync}",), "strategy.kind.*fedasync takes updates as they come"),
        (("strategy.deadline=30",), "strategy.deadline.*drops out of the sum"),
        (("strategy.over_selection=1.2",), "strategy.over_selection.*drops out of the sum"),
        (("strategy.quorum=3",), "strategy.quorum.*drops out of the sum"),
        (("strategy={kind: sync, cohort: all}",), "strategy.min_available.*fewer than 7 clients"),
        (("strategy.cohort=1",), "strategy.cohort.*sum of one update"),
        (("secure_aggregation.threshold=5",), "secure_aggregation.threshold.*accepted: 6 to 10"),
        (("secure_aggregation.threshold=11",), "secure_aggregation.threshold.*accepted: 6 to 10"),
        (("secure_aggregation.threshold=0.5",), "secure_aggregation.threshold"),
        (
            ("secure_aggregation={kind: secagg_plus, neighbours: 4, threshold: 7}",),
            "secure_aggregation.threshold.*4 neighbours",
        ),
        (("secure_aggregation={kind: secagg_plus, neighbours: 5}",), "secure_aggregation.neighbours"),
        (
            (
                "secure_aggregation.precision=32",
                "secure_aggregation.limit=1000000",
                "strategy.cohort=50",
                "secure_aggregation.threshold=0.67",
                "fleet.clients=5000",
                "strategy.cohort=5000",
            ),
            "secure_aggregation.precision.*bits; at most 62",
        ),
        (("compression={uplink: {kind: sign}}",), "compression.*looks random"),
        (
            ("privacy={kind: central}", "strategy.weighting=equal"),
            "privacy.kind.*learns sums of fixed-point numbers",
        ),
        (("selection.kind=oort",), "selection.kind.*nothing but sums"),
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
