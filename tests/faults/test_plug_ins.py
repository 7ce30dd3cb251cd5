"""A plug-in that fails is named, with the key of the scenario that asks for it."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from flsim.errors import RunError
from flsim.plug_ins import plug_ins
from flsim.running import run
from flsim.scenario import scenario_from
from tests.faults.runs import FLEET, SYNC, run_in
from tests.tiny import scenario_data

HERE = "tests.faults.misbehaving"
SOON_S = 20


@pytest.fixture(autouse=True)
def _ends_soon() -> Iterator[None]:
    """A run that does not end must fail its test, not hang it."""

    def too_late(*_: Any) -> None:
        raise TimeoutError(f"the run did not end within {SOON_S} s")

    before = signal.signal(signal.SIGALRM, too_late)
    signal.setitimer(signal.ITIMER_REAL, SOON_S)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def plug_in(cls: str, **keys: Any) -> dict[str, Any]:
    return {"kind": f"{HERE}:{cls}", **keys}


CHEATING = plug_in("Cheating", clients={"share": 1.0})


def timed(**sections: Any) -> dict[str, Any]:
    """Return a scenario in which nothing trains."""
    return {
        "name": "timed",
        "workload": {"kind": "synthetic"},
        "fleet": FLEET,
        "strategy": SYNC,
        "stop": {"updates": 3},
        **sections,
    }


def trained(executor: str = "serial", **sections: Any) -> dict[str, Any]:
    """Return a scenario that trains."""
    plain = {"executor": {"kind": executor}, "stop": {"updates": 2}}
    return scenario_data(10, sections.pop("strategy", SYNC), **plain | sections)


def own_model(when: str, **sections: Any) -> dict[str, Any]:
    data = trained(**sections)
    data["workload"]["model"] = {"kind": "module", "path": f"{HERE}:Network", "arguments": {"when": when}}
    return data


def said_of(tmp_path: Path, data: dict[str, Any]) -> str:
    """Return what a run says that breaks off; its records can be read."""
    with pytest.raises(RunError) as caught:
        run_in(tmp_path, data, timeline=False)
    folder = tmp_path / data["name"]
    for name in ("tasks", "versions", "clients"):
        parquet.read_table(folder / f"{name}.parquet")
    assert not (folder / "summary.json").exists()
    return str(caught.value)


@pytest.mark.parametrize(
    ("key", "cls", "data"),
    [
        ("strategy", "Raising", timed(strategy=plug_in("Raising"))),
        ("selection", "Picking", timed(selection=plug_in("Picking"))),
        ("aggregation", "Adding", trained(aggregation=plug_in("Adding"))),
        ("server_optimizer", "Stepping", trained(server_optimizer=plug_in("Stepping"))),
        ("attack", "Cheating", trained(attack=CHEATING)),
        ("workload.model", "Network", own_model("testing")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_plug_in_that_raises_is_named(key: str, cls: str, data: dict[str, Any], tmp_path: Path) -> None:
    said = said_of(tmp_path, data)
    assert said == f"{key} ({HERE}:{cls}) raised KeyError: 'lost'\n-v shows where it happened."


def test_the_right_one_is_named_of_several_in_one_module(tmp_path: Path) -> None:
    others = {"server_optimizer": plug_in("Stepping"), "attack": CHEATING}
    assert said_of(tmp_path, trained(**others)).startswith(f"attack ({HERE}:Cheating) raised")
    others["aggregation"] = plug_in("Adding")
    del others["attack"]
    assert said_of(tmp_path, trained(**others)).startswith(f"aggregation ({HERE}:Adding) raised")


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_a_model_that_cannot_train_is_named_by_every_worker(executor: str, tmp_path: Path) -> None:
    said = said_of(tmp_path, own_model("training", executor=executor))
    assert said.startswith("training task ")
    assert said.endswith(f"failed: workload.model ({HERE}:Network) raised KeyError: 'lost'")


@pytest.mark.parametrize(
    ("how", "what"),
    [
        ("odd", "OddError: odd: 1, 2"),
        ("exit", "SystemExit: 0"),
        ("StopIteration", "StopIteration: lost"),
        ("OSError", "OSError: lost"),
        ("cause", "LookupError: of something"),
    ],
)
def test_whatever_is_raised(how: str, what: str, tmp_path: Path) -> None:
    """An end of the program, too: a run that has not ended is not done."""
    said = said_of(tmp_path, timed(strategy=plug_in("Raising", how=how)))
    assert said.startswith(f"strategy ({HERE}:Raising) raised ")
    assert what in said


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("none", "strategy tests.faults.misbehaving:Rubbish: decided None, which is no decision"),
        ("type", "which is no decision"),
        ("nobody", "returned: strategy (tests.faults.misbehaving:Rubbish)"),
        ("words", "asks client a, which is not idle"),
        ("lists", "asks client [1], which is not idle"),
        ("a word", "returned: strategy (tests.faults.misbehaving:Rubbish)"),
        ("nan", "waits until nan s, which never comes"),
        ("infinity", "waits until inf s, which never comes"),
    ],
)
def test_a_strategy_that_decides_rubbish(what: str, expected: str, tmp_path: Path) -> None:
    said = said_of(tmp_path, timed(strategy=plug_in("Rubbish", what=what)))
    assert expected in said


@pytest.mark.parametrize("what", ["words", "strangers"])
def test_a_selection_that_picks_rubbish(what: str, tmp_path: Path) -> None:
    said = said_of(tmp_path, timed(selection=plug_in("Picking", what=what)))
    assert "Picking" in said or "which is not idle" in said


@pytest.mark.parametrize("what", ["none", "a number", "too short", "too few weights"])
def test_an_aggregation_that_gives_rubbish(what: str, tmp_path: Path) -> None:
    said = said_of(tmp_path, trained(aggregation=plug_in("Adding", what=what)))
    assert f"aggregation ({HERE}:Adding)" in said


def test_what_a_client_cannot_report_costs_it_the_report_alone(tmp_path: Path) -> None:
    data = trained()
    data["workload"]["metadata"] = plug_in("Silent")
    folder = run_in(tmp_path, data, timeline=False)
    reports = parquet.read_table(folder / "metadata.parquet").to_pylist()
    assert reports
    assert {row["rejected"] for row in reports} == {"the report raised KeyError"}


@pytest.mark.parametrize(
    ("how", "reason", "detail"),
    [
        ("nothing", "stalled", "the strategy waits with 10 idle clients and nothing under way"),
        ("clients", "no clients", "the strategy waits for more than the 10 idle clients"),
        ("seconds", "stalled", "the strategy let 100,000 times that it waited for pass, and did nothing"),
    ],
)
def test_a_strategy_that_never_asks_anybody_has_stalled(
    how: str, reason: str, detail: str, tmp_path: Path
) -> None:
    data = timed(strategy=plug_in("Waiting", how=how))
    data["fleet"] = {"clients": 10, "compute": FLEET["compute"]}
    data["output"] = {"dir": str(tmp_path), "plots": False, "timeline": False}
    summary = run(scenario_from(data)).summary
    assert (summary["stop_reason"], summary["updates"]) == (reason, 0)
    assert detail in summary["stop_detail"]


def test_one_that_polls_may_go_on_for_longer_when_there_is_an_end(tmp_path: Path) -> None:
    data = timed(strategy=plug_in("Waiting", how="seconds"), stop={"time": 100_500})
    data["output"] = {"dir": str(tmp_path), "plots": False, "timeline": False}
    assert run(scenario_from(data)).summary["stop_reason"] == "time"


@pytest.mark.parametrize("how", ["the past", "nobody"])
def test_one_that_decides_for_ever_at_one_instant(how: str, tmp_path: Path) -> None:
    said = said_of(tmp_path, timed(strategy=plug_in("Waiting", how=how)))
    assert "virtual time stands still at 0 s: the strategy has decided" in said


def test_what_no_plug_in_has_to_do_with_stays_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flsim.running.write_metrics", lambda *_: {}["lost"])
    with pytest.raises(KeyError):
        run_in(tmp_path, timed())


def test_where_plug_ins_are_found() -> None:
    data = own_model("never", strategy=plug_in("Raising", concurrency=2), attack=plug_in("Cheating"))
    assert sorted(map(str, plug_ins(scenario_from(data)))) == [
        f"attack ({HERE}:Cheating)",
        f"strategy ({HERE}:Raising)",
        f"workload.model ({HERE}:Network)",
    ]
    assert list(plug_ins(scenario_from(trained()))) == []
