"""Flower apps over a simulated network: time in closed form, and what becomes of answers that go wrong."""

import json
import logging
import random
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest
from flwr.server import server as legacy_server
from flwr.serverapp.strategy import FedAvg, strategy_utils

import flsim
from flsim.cli import main
from flsim.determinism import check_determinism
from flsim.errors import FlsimError
from flsim.scenario import read_scenario
from flsim.scenario.app_in_world import read_app_in_world
from tests.integration.command import REPOSITORY

PYPROJECT = """
[project]
name = "{name}"
version = "1.0.0"
description = "An app"
license = "Apache-2.0"

[tool.flwr.app]
publisher = "tests"

[tool.flwr.app.components]
serverapp = "{name}.server:app"
clientapp = "{name}.client:app"

[tool.flwr.app.config]
rounds = 2
timeout = 3600.0
"""
CLIENT = """
import time
import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


def reply(message, arrays, examples=2, **metrics):
    numbers = MetricRecord({{"num-examples": examples, **metrics}})
    return Message(RecordDict({{"arrays": arrays, "metrics": numbers}}), reply_to=message)


@app.train()
def train(message, context):
    client = context.node_config["partition-id"]
    seen = context.state.get("seen", ConfigRecord({{"times": 0}}))
    context.state["seen"] = ConfigRecord({{"times": seen["times"] + 1}})
    array = message.content["arrays"]["w"].numpy()
    arrays = ArrayRecord({{"w": Array(1.5 * array + 1.0 + client)}})
    {behaviour}
    return reply(message, arrays, train_loss=1.0 / (1 + seen["times"]))


@app.evaluate()
def evaluate(message, context):
    numbers = MetricRecord({{"num-examples": 1, "eval_acc": 0.5, "eval_loss": 2.0}})
    return Message(RecordDict({{"metrics": numbers}}), reply_to=message)
"""
SERVER = """
import numpy as np
from flwr.app import Array, ArrayRecord, MetricRecord
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg

app = ServerApp()


@app.main()
def main(grid, context):
    strategy = FedAvg({arguments})
    config = context.run_config
    strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord({{"w": Array(np.zeros(4))}}),
        num_rounds=config["rounds"],
        timeout=config["timeout"],
        evaluate_fn={evaluate},
    )
"""
PLAIN = """
import time
import numpy as np
from flwr.app import Array, ArrayRecord, Message, RecordDict
from flwr.serverapp import ServerApp

app = ServerApp()


@app.main()
def main(grid, context):
{body}
"""
_apps = iter(range(10**6))


def an_app(folder: Path, server: str, behaviour: str = "pass") -> Path:
    """Return the folder of an app, whose package has a name that no other app has."""
    name = f"app_{next(_apps)}_{abs(hash(folder)) % 10**8}"
    app = folder / name
    (app / name).mkdir(parents=True)
    (app / "pyproject.toml").write_text(PYPROJECT.format(name=name))
    (app / name / "__init__.py").write_text("")
    (app / name / "client.py").write_text(CLIENT.format(behaviour=behaviour))
    (app / name / "server.py").write_text(server)
    return app


def fedavg(arguments: str = "min_available_nodes=4", evaluate: str = "None") -> str:
    return SERVER.format(arguments=arguments, evaluate=evaluate)


def plain(body: str) -> str:
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    return PLAIN.format(body=lines)


class Ran:
    """A run of an app, and its records."""

    def __init__(self, folder: Path, app: Path, **changes: Any) -> None:
        workload = {"kind": "flower", "app": str(app), "work": {"kind": "fixed", "seconds": 10.0}}
        data = {
            "name": "ran",
            "seed": 5,
            "workload": workload | changes.pop("workload", {}),
            "fleet": {"clients": 4, "compute": {"kind": "duration", "task": 1.0}}
            | changes.pop("fleet", {}),
            "network": {"downlink": 1e9, "uplink": 1e9, "latency": 0.5, "sharing": "none"},
            "strategy": {"kind": "server_app"},
            "stop": {},
            "output": {"dir": str(folder / "out"), "plots": False, "timeline": False},
            **changes,
        }
        self.run = flsim.run(data)
        self.folder = self.run.folder
        self.summary = self.run.summary

    def rows(self, table: str) -> list[dict[str, Any]]:
        return parquet.read_table(self.folder / f"{table}.parquet").to_pylist()

    @property
    def flower(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads((self.folder / "flower.json").read_text())
        return told


def test_a_round_takes_what_its_messages_take(tmp_path: Path) -> None:
    """A message of b bytes takes 0.5 s + 8 b / 1 Gbit/s, there and back, and an answer 10 s."""
    ran = Ran(tmp_path, an_app(tmp_path, fedavg()))
    for row in ran.rows("messages"):
        down_s = 0.5 + 8 * row["bytes_down"] / 1e9
        up_s = 0.5 + 8 * row["bytes_up"] / 1e9
        assert row["download_end_s"] == pytest.approx(row["asked_s"] + down_s, abs=1e-9)
        assert row["compute_end_s"] == pytest.approx(row["download_end_s"] + 10.0, abs=1e-9)
        assert row["ended_s"] == pytest.approx(row["compute_end_s"] + up_s, abs=1e-9)
    assert ran.summary["virtual_time_s"] == pytest.approx(4 * 11.0, abs=0.01)
    assert ran.summary["stop_reason"] == "finished"
    assert ran.summary["tasks"]["aggregated"] == 8
    assert [row["mean_staleness"] for row in ran.rows("versions")] == [None, 0.0, 0.0]
    assert {row["weight"] for row in ran.rows("tasks")} == {0.25}
    spent = sum(row["bytes_down"] for row in ran.rows("messages"))
    assert ran.summary["bytes_down"] == spent
    assert sum(row["bytes_down"] for row in ran.rows("clients")) == spent


def test_flowers_own_metrics_are_beside_the_records(tmp_path: Path) -> None:
    evaluate = "lambda server_round, arrays: MetricRecord({'accuracy': server_round / 10, 'loss': 1.0})"
    ran = Ran(tmp_path, an_app(tmp_path, fedavg(evaluate=evaluate)))
    assert ran.flower["evaluate_metrics_serverapp"]["2"] == {"accuracy": 0.2, "loss": 1.0}
    assert ran.flower["evaluate_metrics_clientapp"]["1"] == {"eval_acc": 0.5, "eval_loss": 2.0}
    assert ran.flower["train_metrics_clientapp"] == {"1": {"train_loss": 1.0}, "2": {"train_loss": 0.5}}
    assert [row["accuracy"] for row in ran.rows("versions")] == [0.0, 0.1, 0.2]  # the server's own tests
    assert ran.summary["final_accuracy"] == 0.2


def test_without_a_test_of_the_servers_own_the_clients_count(tmp_path: Path) -> None:
    ran = Ran(tmp_path, an_app(tmp_path, fedavg()))
    assert [row["accuracy"] for row in ran.rows("versions")] == [None, 0.5, 0.5]


def test_a_client_app_that_raises_is_reported_as_flower_reports_it(tmp_path: Path) -> None:
    raises = "if client == 2: raise ValueError('no data')"
    ran = Ran(tmp_path, an_app(tmp_path, fedavg(), raises))
    failed = [row for row in ran.rows("messages") if row["error"] is not None]
    assert [(row["client"], row["error"], row["outcome"]) for row in failed] == [(2, 2, "rejected")] * 2
    assert failed[0]["reason"] == "<class 'ValueError'>:<'no data'>"
    assert ran.summary["tasks"]["aggregated"] == 6
    assert ran.summary["tasks"]["rejected"] == 2


ODD = "odd = reply(message, arrays); odd.content['metrics']['num-examples'] = 2**64; return odd"


@pytest.mark.parametrize("rubbish", ["return 17", "return message", "return None", ODD])
def test_rubbish_is_an_app_that_has_crashed(tmp_path: Path, rubbish: str) -> None:
    """Also what cannot be serialised, and so not be sent."""
    ran = Ran(tmp_path, an_app(tmp_path, fedavg(), f"if client == 1: {rubbish}"))
    assert [row["error"] for row in ran.rows("messages") if row["outcome"] == "rejected"] == [8, 8]
    assert ran.summary["updates"] == 2


@pytest.mark.parametrize(
    "other", ["ArrayRecord({'v': Array(array)})", "ArrayRecord({'w': Array(np.zeros(3))})"]
)
def test_another_architecture_is_left_out_in_flowers_own_words(tmp_path: Path, other: str) -> None:
    ran = Ran(tmp_path, an_app(tmp_path, fedavg(), f"if client == 3: arrays = {other}"))
    refused = [row for row in ran.rows("messages") if row["outcome"] == "rejected"]
    assert [row["client"] for row in refused] == [3, 3]
    assert all("rror" in row["reason"] or "Inconsistent" in row["reason"] for row in refused)
    assert ran.summary["tasks"]["aggregated"] == 6


@pytest.mark.parametrize("examples", ["float('nan')", "float('inf')", "1e30", "-3"])
def test_what_is_no_count_of_examples_is_none(tmp_path: Path, examples: str) -> None:
    """The app's strategy weighs by something else."""
    strange = f"return reply(message, arrays, examples={examples}, ones=1)"
    app = an_app(tmp_path, fedavg("weighted_by_key='ones', fraction_evaluate=0.0"), strange)
    ran = Ran(tmp_path, app)
    assert ran.summary["tasks"]["aggregated"] == 8
    assert {row["samples"] for row in ran.rows("clients")} == {0}


@pytest.mark.parametrize("kind", ["serial", "processes"])
def test_what_a_client_app_does_to_its_message_no_other_node_sees(tmp_path: Path, kind: str) -> None:
    """Every node tells the sum of what it was sent, and then spoils it."""
    spoils = "sent = message.content['arrays']['w']; sent.data = Array(array + 99.0).data; "
    spoils += "return reply(message, arrays, train_loss=float(array.sum()))"
    ran = Ran(tmp_path, an_app(tmp_path, fedavg("fraction_evaluate=0.0"), spoils), executor={"kind": kind})
    told = [row["train_loss"] for row in ran.rows("tasks")]
    assert (
        sorted(told) == [0.0] * 4 + [10.0] * 4
    )  # of four numbers: the mean of 1, 2, 3 and 4, after a round


def test_a_client_app_that_hangs_is_silent_until_the_deadline(tmp_path: Path) -> None:
    hangs = "if client == 0: time.sleep(1000)"
    ran = Ran(tmp_path, an_app(tmp_path, fedavg(), hangs), workload={"patience": 0.3, "deadline": 60.0})
    first = next(row for row in ran.rows("messages") if row["client"] == 0 and row["kind"] == "train")
    assert (first["outcome"], first["ended_s"]) == ("discarded", 60.0)
    assert ran.summary["tasks"]["discarded"] == 2
    assert ran.summary["updates"] == 2


def test_a_client_app_that_sleeps_in_virtual_time_is_a_straggler(tmp_path: Path) -> None:
    sleeps = "if client == 0: time.sleep(1000)"
    ran = Ran(tmp_path, an_app(tmp_path, fedavg(), sleeps), workload={"time": "virtual"})
    assert ran.summary["tasks"]["aggregated"] == 8
    assert ran.summary["virtual_time_s"] == pytest.approx(2 * 1011.0 + 2 * 11.0, abs=0.1)


def test_a_timeout_of_the_app_is_in_virtual_time_and_late_answers_are_discarded(tmp_path: Path) -> None:
    server = fedavg("fraction_evaluate=0.0")
    fleet = {
        "compute": {"kind": "duration", "task": 1.0},
        "clients": 4,
    }
    sleeps = "if client == 0: time.sleep(50)"
    app = an_app(tmp_path, server, sleeps)
    ran = Ran(tmp_path, app, fleet=fleet, workload={"time": "virtual", "config": {"timeout": 20.0}})
    assert ran.summary["tasks"]["aggregated"] == 6
    assert ran.summary["virtual_time_s"] == pytest.approx(40.0, abs=1e-6)
    assert ran.summary["tasks"]["unfinished"] + ran.summary["tasks"]["discarded"] >= 1


def test_a_node_that_fails_is_unavailable_when_its_heartbeats_are_missed(tmp_path: Path) -> None:
    fleet = {"failure": {"dropout": 0.5}}
    app = an_app(tmp_path, fedavg("fraction_evaluate=0.0"))
    ran = Ran(tmp_path, app, fleet=fleet, workload={"notice": 25.0, "config": {"rounds": 4}})
    dropped = [row for row in ran.rows("messages") if row["outcome"] == "dropped"]
    assert dropped
    versions = ran.rows("versions")
    for row in dropped:  # the round went on when it was noticed, and not before
        assert any(version["time_s"] >= row["ended_s"] + 25.0 - 1e-9 for version in versions)
    assert ran.summary["stop_reason"] == "finished"


def test_nodes_that_have_gone_are_not_listed_and_the_app_waits_for_others(tmp_path: Path) -> None:
    fleet = {"clients": 4, "join": 100.0}
    ran = Ran(tmp_path, an_app(tmp_path, fedavg("min_available_nodes=4")), fleet=fleet)
    first = min(row["dispatched_s"] for row in ran.rows("tasks"))
    assert 0.0 < first <= 101.0
    assert ran.summary["updates"] == 2


def test_a_plain_app_pushes_and_pulls(tmp_path: Path) -> None:
    """Asynchronous: whoever is first makes a version alone; the stale one is told by its base version."""
    body = """
arrays = ArrayRecord({"w": Array(np.zeros(4))})
nodes = list(grid.get_node_ids())
def ask(node):
    return list(grid.push_messages([Message(RecordDict({"arrays": arrays}), node, "train")]))[0]
waiting = {ask(node) for node in nodes[:2]}
for update in range(4):
    replies = []
    while not replies:
        replies = list(grid.pull_messages(waiting))
    for reply in replies:
        waiting.discard(reply.metadata.reply_to_message_id)
        arrays = reply.content["arrays"]
        waiting.add(ask(reply.metadata.src_node_id))
"""
    ran = Ran(
        tmp_path,
        an_app(tmp_path, plain(body)),
        workload={"work": {"kind": "fixed", "seconds": {"kind": "uniform", "low": 5.0, "high": 15.0}}},
    )
    staleness = [row["staleness"] for row in ran.rows("tasks") if row["outcome"] == "aggregated"]
    assert staleness[:2] == [0, 1]
    assert ran.summary["updates"] == 4
    assert ran.summary["tasks"]["unfinished"] == 2


def test_time_to_live_ends_a_message_and_its_reply_is_flowers_error(tmp_path: Path) -> None:
    body = """
node = list(grid.get_node_ids())[0]
content = RecordDict({"arrays": ArrayRecord({"w": Array(np.zeros(4))})})
replies = list(grid.send_and_receive([Message(content, node, "train", ttl=5.0)]))
assert replies[0].error.code == 3, replies
assert list(grid.pull_messages(["f" * 64]))[0].error.code == 3
assert list(grid.pull_messages([])) == []
assert grid.create_message(content, "train", node, "1").metadata.dst_node_id == node
assert [info.node_id for info in grid.get_nodes()] == list(grid.get_node_ids())
assert list(grid.push_messages([Message(content, 77, "train")])) == []
before = time.time()
time.sleep(30)
assert time.time() == before + 30
"""
    ran = Ran(tmp_path, an_app(tmp_path, plain(body)), workload={"time": "virtual"})
    [row] = ran.rows("tasks")
    assert (row["outcome"], row["ended_s"]) == ("discarded", 5.0)
    assert ran.summary["virtual_time_s"] == 35.0


def test_two_messages_to_one_node_are_answered_one_after_the_other(tmp_path: Path) -> None:
    body = """
node = list(grid.get_node_ids())[1]
content = RecordDict({"arrays": ArrayRecord({"w": Array(np.zeros(4))})})
replies = list(grid.send_and_receive([Message(content, node, "train") for _ in range(2)]))
assert [reply.content["metrics"]["train_loss"] for reply in replies] == [1.0, 0.5]  # the state is kept
"""
    rows = Ran(tmp_path, an_app(tmp_path, plain(body))).rows("messages")
    assert rows[1]["asked_s"] == pytest.approx(rows[0]["ended_s"])
    assert rows[1]["pushed_s"] == 0.0


def test_a_server_app_that_raises_ends_the_run_with_its_error(tmp_path: Path) -> None:
    with pytest.raises(FlsimError, match="the ServerApp raised ZeroDivisionError"):
        Ran(tmp_path, an_app(tmp_path, plain("1 / 0")))


@pytest.mark.parametrize(
    ("stop", "reason"),
    [({"time": 15.0}, "time"), ({"updates": 1}, "updates"), ({"accuracy": 0.5}, "accuracy")],
)
def test_a_run_can_end_before_its_app(tmp_path: Path, stop: dict[str, float], reason: str) -> None:
    ran = Ran(tmp_path, an_app(tmp_path, fedavg()), stop=stop)
    assert ran.summary["stop_reason"] == reason
    assert ran.summary["updates"] == 1


@pytest.mark.parametrize(
    "work", [{"kind": "per_sample", "seconds": 3.0}, {"kind": "declared", "train": 6e9}]
)
def test_work_is_what_the_scenario_says(tmp_path: Path, work: dict[str, Any]) -> None:
    fleet = {"clients": 4, "compute": {"kind": "speed", "flops": 1e9}}
    ran = Ran(
        tmp_path, an_app(tmp_path, fedavg("fraction_evaluate=0.0")), fleet=fleet, workload={"work": work}
    )
    for row in ran.rows("tasks"):
        assert row["train_end_s"] - row["download_end_s"] == pytest.approx(6.0)
        assert row["samples"] == 2


def test_counted_work_needs_something_to_count(tmp_path: Path) -> None:
    with pytest.raises(FlsimError, match="torch counted no FLOPs"):
        Ran(tmp_path, an_app(tmp_path, fedavg()), workload={"work": {"kind": "counted"}})


def test_counted_flops_of_the_first_answer_are_those_of_an_example(tmp_path: Path) -> None:
    matmul = "import torch; torch.ones(3, 4) @ torch.ones(4, 5)"
    fleet = {"clients": 4, "compute": {"kind": "speed", "flops": 120.0}}
    app = an_app(tmp_path, fedavg("fraction_evaluate=0.0"), matmul)
    ran = Ran(tmp_path, app, fleet=fleet, workload={"work": {"kind": "counted"}})
    assert ran.flower["work"]["train"] == {"flop_per_example": 60.0, "counted_on_message": 0}
    assert all(
        row["train_end_s"] - row["download_end_s"] == pytest.approx(1.0) for row in ran.rows("tasks")
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"workload": {"config": {"round": 3}}}, "no such entry.*did you mean 'rounds'"),
        ({"workload": {"config": {"rounds": "3"}}}, "must be int"),
        ({"strategy": {"kind": "sync", "cohort": 2}}, "accepted: server_app"),
        ({"aggregation": {"kind": "median"}}, "the Flower app's own business"),
        ({"executor": {"kind": "vmap"}}, "accepted: auto, serial, processes, ray"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(FlsimError, match=message):
        Ran(tmp_path, an_app(tmp_path, fedavg()), **change)


def test_a_folder_without_an_app_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FlsimError, match=r"no pyproject.toml in it"):
        Ran(tmp_path, tmp_path)
    with pytest.raises(FlsimError, match=r"no such folder"):
        Ran(tmp_path, tmp_path / "nowhere")
    app = an_app(tmp_path, "app = 3")
    with pytest.raises(FlsimError, match="is no ServerApp"):
        Ran(tmp_path, app)


ELSEWHERE = [{"kind": "processes", "workers": 2}, {"kind": "ray", "workers": 2}]


@pytest.mark.parametrize("executor", ELSEWHERE, ids=lambda executor: executor["kind"])
def test_other_processes_give_the_same_records(tmp_path: Path, executor: dict[str, Any]) -> None:
    """Draws and virtual time in them, too: a ClientApp that draws, and sleeps for as long."""
    draws = "import random; time.sleep(30 * random.random())"
    app = an_app(tmp_path, fedavg(), draws)
    here = Ran(tmp_path / "a", app, workload={"time": "virtual"}, executor={"kind": "serial"})
    there = Ran(tmp_path / "b", app, workload={"time": "virtual"}, executor=executor)
    assert there.rows("messages") == here.rows("messages")
    assert there.summary["records_sha256"] == here.summary["records_sha256"]
    assert there.flower == here.flower
    taken = {row["train_end_s"] - row["download_end_s"] for row in here.rows("tasks")}
    assert len({round(seconds, 6) for seconds in taken}) == 8


@pytest.mark.parametrize("executor", ELSEWHERE, ids=lambda executor: executor["kind"])
def test_a_process_that_dies_is_an_app_that_has_crashed(tmp_path: Path, executor: dict[str, Any]) -> None:
    app = an_app(tmp_path, fedavg(), "import os; client == 1 and os._exit(1)")
    ran = Ran(tmp_path, app, executor=executor)
    rejected = [row for row in ran.rows("messages") if row["outcome"] == "rejected"]
    assert [(row["client"], row["error"]) for row in rejected] == [(1, 8)] * 2
    assert ran.summary["tasks"]["aggregated"] == 6


def test_a_round_that_nobody_answers_leaves_the_model_and_goes_on(tmp_path: Path) -> None:
    """As Flower has it: no arrays are made of no replies, and the next round begins with the old ones."""
    fails = "if message.content['config']['server-round'] == 1: raise ValueError('not yet')"
    ran = Ran(tmp_path, an_app(tmp_path, fedavg(), fails))
    assert ran.summary["tasks"]["rejected"] == 4
    assert [row["tasks"] for row in ran.rows("versions")] == [0, 4]
    assert ran.flower["train_metrics_clientapp"].keys() == {"2"}


def test_an_odd_answer_to_an_evaluation_is_left_out_too(tmp_path: Path) -> None:
    app = an_app(tmp_path, fedavg())
    client = next(app.glob("*/client.py"))
    text = client.read_text()
    odd = '    if context.node_config["partition-id"] == 2: numbers = MetricRecord({"other": 1})\n'
    last = text.rindex("    return Message(RecordDict")
    client.write_text(text[:last] + odd + text[last:])
    ran = Ran(tmp_path, app)
    refused = [row for row in ran.rows("messages") if row["outcome"] == "rejected"]
    assert [(row["client"], row["kind"], row["task"]) for row in refused] == [(2, "evaluate", None)] * 2
    assert "must have the same keys" in refused[0]["reason"]
    assert ran.flower["evaluate_metrics_clientapp"]["2"] == {"eval_acc": 0.5, "eval_loss": 2.0}


@pytest.mark.parametrize(("app", "beside"), [("legacy", ""), ("adagrad", 'output-dir=""')])
def test_shipped_apps_run_from_the_command_line(tmp_path: Path, app: str, beside: str) -> None:
    """Also one of the former kind, whose clients are asked through Flower's compatibility layer."""
    flower = REPOSITORY / "scenarios" / "flower"
    words = ["flower", str(flower / "apps" / app), "--world", str(flower / "worlds" / "phones.yaml")]
    words += ["--out", str(tmp_path), "-q", "--set", "output.plots=false", "--set", "output.timeline=false"]
    with pytest.raises(SystemExit) as end:
        main([*words, "--run-config", f"num-server-rounds=2 {beside}"])
    assert end.value.code == 0
    summary = json.loads((tmp_path / "phones" / "summary.json").read_text())
    assert summary["updates"] == 2
    assert summary["tasks"]["dropped"] + summary["tasks"]["discarded"] > 0
    told = json.loads((tmp_path / "phones" / "flower.json").read_text())
    assert told["evaluate_metrics_serverapp"].keys() == {"0", "1", "2"}


def test_a_run_config_is_entries() -> None:
    with pytest.raises(FlsimError, match="expected entries such as"):
        read_app_in_world(Path("app"), Path("world.yaml"), "rounds")
    with pytest.raises(FlsimError, match="neither a number, nor true or false"):
        read_app_in_world(Path("app"), Path("world.yaml"), "rounds=five")


def test_the_number_of_threads_changes_no_bit() -> None:
    scenario = REPOSITORY / "scenarios" / "flower" / "quickstart_phones.yaml"
    compared = check_determinism(scenario, ["workload.config.num-server-rounds=2"])
    assert not compared.differences
    assert {"tasks.parquet", "versions.parquet", "messages.parquet", "flower.json"} <= set(compared.same)


@pytest.mark.parametrize(
    ("scenario", "change", "message"),
    [
        ("hierarchy", "hierarchy.strategy={kind: server_app}", "knows no edges"),
        ("quickstart", "strategy={kind: server_app}", "goes with workload flower"),
    ],
)
def test_a_server_app_decides_for_a_flower_app_only(scenario: str, change: str, message: str) -> None:
    with pytest.raises(FlsimError, match=message):
        read_scenario(REPOSITORY / "scenarios" / f"{scenario}.yaml", [change])


def test_a_node_keeps_nothing_of_an_answer_that_failed(tmp_path: Path) -> None:
    """The first answer fails when the state has it already: so the second one is the first again."""
    fails = "if client == 2 and message.content['config']['server-round'] == 1: raise ValueError('later')"
    rows = Ran(tmp_path, an_app(tmp_path, fedavg(), fails)).rows("tasks")
    losses = {row["client"]: row["train_loss"] for row in rows if row["base_version"] == 1}
    assert losses == {0: 0.5, 1: 0.5, 2: 1.0, 3: 0.5}


def test_a_node_keeps_nothing_of_an_answer_that_it_did_not_finish(tmp_path: Path) -> None:
    """50 s of work do not come to their end in the 20 s of the first message."""
    body = """
node = list(grid.get_node_ids())[0]
content = RecordDict({"arrays": ArrayRecord({"w": Array(np.zeros(4))})})
late = list(grid.send_and_receive([Message(content, node, "train", ttl=20.0)]))
assert late[0].has_error()
[reply] = grid.send_and_receive([Message(content, node, "train")])
assert reply.content["metrics"]["train_loss"] == 1.0
"""
    work = {"kind": "fixed", "seconds": 50.0}
    ran = Ran(tmp_path, an_app(tmp_path, plain(body)), workload={"work": work})
    assert [row["outcome"] for row in ran.rows("tasks")] == ["discarded", "discarded"]


def test_weights_are_the_shares_of_what_the_strategy_weighs_by(tmp_path: Path) -> None:
    weighed = "return reply(message, arrays, examples=1 + client, train_loss=1.0)"
    rows = Ran(tmp_path, an_app(tmp_path, fedavg(), weighed)).rows("tasks")
    assert {row["client"]: row["weight"] for row in rows} == {0: 0.1, 1: 0.2, 2: 0.3, 3: 0.4}
    assert {row["client"]: row["samples"] for row in rows} == {0: 1, 1: 2, 2: 3, 3: 4}


@pytest.mark.parametrize("kind", ["serial", "auto"])
@pytest.mark.parametrize("stop", [{}, {"time": 15.0}])
def test_a_run_leaves_flower_as_it_was(tmp_path: Path, stop: dict[str, float], kind: str) -> None:
    def all_of_it() -> list[object]:
        methods = [vars(FedAvg).get(name) for name in ("aggregate_train", "aggregate_evaluate", "start")]
        patched = (strategy_utils.sleep, time.time, time.sleep, legacy_server.concurrent)
        return [*methods, *patched, logging.getLogger("flwr").level, random.getstate()]

    before = all_of_it()
    app, executor = an_app(tmp_path, fedavg()), {"kind": kind}
    Ran(tmp_path, app, workload={"time": "virtual"}, stop=stop, executor=executor)
    assert all_of_it() == before
    assert not [thread for thread in threading.enumerate() if thread.name == "ServerApp"]
