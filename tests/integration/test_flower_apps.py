"""The shipped Flower apps: that Flower accepts them, and the parts of them that are their own."""

import importlib
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from flwr.app import ArrayRecord, Context, Error, Message, RecordDict
from flwr.cli.config_utils import load_and_validate
from flwr.proto.node_pb2 import NodeInfo
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from tests.integration.command import SCENARIOS

APPS = sorted((SCENARIOS / "flower" / "apps").iterdir())


@pytest.fixture
def imported(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], ModuleType]]:
    """Return what imports a module of an app by its name; afterwards, no module of an app is loaded."""
    before = set(sys.modules)

    def module(app: str, name: str) -> ModuleType:
        monkeypatch.syspath_prepend(SCENARIOS / "flower" / "apps" / app)
        return importlib.import_module(name)

    yield module
    for name in set(sys.modules) - before:
        if name.startswith("digits_"):
            del sys.modules[name]


# All of them


@pytest.mark.parametrize("app", APPS, ids=lambda app: app.name)
def test_flower_accepts_an_app_without_a_word(app: Path) -> None:
    _, warnings = load_and_validate(app / "pyproject.toml")
    assert warnings == []


def test_the_apps_have_the_same_task() -> None:
    assert len(APPS) == 4
    assert len({next(app.glob("*/task.py")).read_text() for app in APPS}) == 1


# The data


@pytest.fixture
def task(imported: Callable[[str, str], ModuleType]) -> ModuleType:
    return imported("quickstart", "digits_fedavg.task")


def _images(samples: tuple[torch.Tensor, torch.Tensor]) -> set[bytes]:
    return {image.numpy().tobytes() for image in samples[0]}


@pytest.mark.parametrize("nodes", [1, 10, 1000])
def test_every_node_has_samples_that_are_neither_tested_twice_nor_the_servers(
    task: ModuleType, nodes: int
) -> None:
    central = _images(task.central_test())
    for node in {0, nodes // 2, nodes - 1}:
        train, test = task.node_data(node, nodes, 0.3)
        assert len(train[1]) >= 8
        assert len(test[1]) >= 1
        assert not _images(train) & _images(test)
        assert not (_images(train) | _images(test)) & central


def test_a_node_has_the_same_samples_whoever_asked_before(task: ModuleType) -> None:
    asked_first = task.node_data(3, 10, 0.3)
    task.node_data.cache_clear()
    torch.manual_seed(9)
    task.node_data(7, 10, 0.3)
    for once, again in zip(asked_first, task.node_data(3, 10, 0.3), strict=True):
        assert all(map(torch.equal, once, again))


def test_nodes_have_classes_of_their_own(task: ModuleType) -> None:
    def largest_share(alpha: float) -> float:
        shares = []
        for node in range(10):
            (_, labels), _ = task.node_data(node, 10, alpha)
            shares.append(int(labels.bincount().max()) / len(labels))
        return sum(shares) / len(shares)

    assert largest_share(1000.0) < 0.2 < 0.35 < largest_share(0.3)


# FedBuff


class Clock:
    """What the app takes for the module time."""

    def __init__(self) -> None:
        self.now = 0.0

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class ScriptedGrid(Grid):
    """Nodes that take a second for an answer; what it is, each has a function for. None: there is none."""

    def __init__(self, clock: Clock, nodes: dict[int, Callable[[Message], Message | None]]) -> None:
        self.clock = clock
        self.nodes = nodes
        self.at_work: dict[str, tuple[float, Message]] = {}
        self.asked: list[tuple[float, int]] = []  # when, and whom
        self.most_at_work = 0

    def set_run(self, run: Run) -> None: ...

    @property
    def run(self) -> Run:
        raise NotImplementedError

    def create_message(self, *args: Any, **kwargs: Any) -> Message:
        raise NotImplementedError

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        raise NotImplementedError("an asynchronous app waits for nobody")

    def get_nodes(self) -> Iterable[NodeInfo]:
        raise NotImplementedError

    def get_node_ids(self) -> list[int]:
        return list(self.nodes)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        ids = []
        for message in messages:
            node = message.metadata.dst_node_id
            message_id = f"{len(self.asked)}"
            message.metadata.__dict__["_message_id"] = message_id
            self.at_work[message_id] = (self.clock.now, message)
            self.asked.append((self.clock.now, node))
            ids.append(message_id)
        self.most_at_work = max(self.most_at_work, len(self.at_work))
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        replies = []
        for message_id in list(message_ids):
            pushed_s, message = self.at_work[message_id]
            if self.clock.now >= pushed_s + 1:
                reply = self.nodes[message.metadata.dst_node_id](message)
                if reply is not None:
                    del self.at_work[message_id]
                    replies.append(reply)
        return replies


def _moves_by(amount: float) -> Callable[[Message], Message]:
    """Return a node whose updates are `amount` in every entry."""

    def answer(message: Message) -> Message:
        weights = message.content["arrays"].to_torch_state_dict()
        update = {name: torch.full_like(values, amount) for name, values in weights.items()}
        return Message(RecordDict({"update": ArrayRecord(update)}), reply_to=message)

    return answer


def _raises(message: Message) -> Message:
    return Message(Error(code=2, reason="the ClientApp raised"), reply_to=message)


def _vanishes(message: Message) -> None:
    return None


def _answers_rubbish(message: Message) -> Message:
    weights = {"other": torch.zeros(3)}
    return Message(RecordDict({"update": ArrayRecord(weights)}), reply_to=message)


def _answers_nothing(message: Message) -> Message:
    return Message(RecordDict(), reply_to=message)


@pytest.fixture
def server_app(
    imported: Callable[[str, str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> Iterator[ModuleType]:
    before = dict(vars(TaskIdentity))
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 1
    yield imported("fedbuff", "digits_fedbuff.server_app")
    for name in ("_task_id", "_run_id", "_node_id"):
        setattr(TaskIdentity, name, before[name])


def _run(
    module: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    nodes: dict[int, Callable[[Message], Message | None]],
    folder: Path,
    **changes: Any,
) -> tuple[ScriptedGrid, dict[str, torch.Tensor]]:
    """Run FedBuff among these nodes; return the grid, and what the model has moved by in all."""
    clock = Clock()
    monkeypatch.setattr(sys.modules["digits_fedbuff.strategy"], "time", clock)
    grid = ScriptedGrid(clock, nodes)
    config = {
        **{"seed": 1, "num-server-updates": 3, "concurrency": 2, "buffer-size": 2, "message-ttl": 10.0},
        **{"server-learning-rate": 1.0, "poll-interval": 0.5, "output-dir": str(folder)},
        **{key.replace("_", "-"): value for key, value in changes.items()},
    }
    module.app(grid, Context(run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config=config))
    initial = module.initial_model(1).state_dict()
    final = torch.load(folder / "final_model.pt")
    return grid, {name: final[name] - initial[name] for name in initial}


def test_updates_count_by_their_staleness(server_app: ModuleType) -> None:
    """The third version is made of one on the second, and of one on the first: each through sqrt(1 + s)."""
    strategy = server_app.FedBuff(concurrency=2, buffer_size=2, lr=0.5, ttl=10.0, poll_interval=1.0, seed=1)
    strategy.weights = {"w": torch.tensor([1.0, 0.0])}
    replies = []
    for number, (version, moved) in enumerate([(2, [4.0, 0.0]), (1, [0.0, 2.0])]):
        message = Message(RecordDict(), dst_node_id=number + 2, message_type="train")
        message.metadata.__dict__["_message_id"] = f"{number}"
        update = ArrayRecord({"w": torch.tensor(moved)})
        replies.append(Message(RecordDict({"update": update}), reply_to=message))
        strategy.trained_on[f"{number}"] = version
    arrays, metrics = strategy.aggregate_train(3, replies)
    assert arrays.to_torch_state_dict()["w"].tolist() == pytest.approx(
        [1 + 0.5 * 4 / 2, 0.5 * 2 / math.sqrt(2) / 2]
    )
    assert metrics["staleness"] == 0.5


def test_fedbuff_trains_with_nodes_that_all_answer(
    server_app: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    grid, moved = _run(server_app, monkeypatch, {node: _moves_by(0.1) for node in range(5)}, tmp_path)
    assert grid.most_at_work == 2
    assert len(grid.asked) == 6  # no more than the three versions are made of
    assert all(torch.allclose(values, torch.full_like(values, 0.3)) for values in moved.values())


@pytest.mark.parametrize("trouble", [_raises, _vanishes, _answers_rubbish, _answers_nothing])
def test_fedbuff_goes_on_without_a_node_that_fails(
    server_app: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    trouble: Callable[[Message], Message | None],
) -> None:
    grid, moved = _run(server_app, monkeypatch, {1: trouble, 2: _moves_by(0.1)}, tmp_path, buffer_size=1)
    assert any(node == 1 for _, node in grid.asked)
    assert all(torch.allclose(values, torch.full_like(values, 0.3)) for values in moved.values())


def test_fedbuff_asks_a_node_again_once_it_has_given_it_up(
    server_app: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Both are silent at first: the time-to-live of 10 s, a grace of 5 s and two looks go by."""

    def silent_at_first(message: Message) -> Message | None:
        return None if message.metadata.message_id in {"0", "1"} else _moves_by(0.1)(message)

    nodes = {1: silent_at_first, 2: silent_at_first}
    grid, _ = _run(server_app, monkeypatch, nodes, tmp_path, num_server_updates=1)
    assert [seconds for seconds, _ in grid.asked] == [0.0, 0.0, 16.0, 16.0]


def test_fedbuff_waits_for_nodes_to_come(
    server_app: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    nodes: dict[int, Callable[[Message], Message | None]] = {}

    class Late(Clock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if self.now >= 5:
                nodes[1] = _moves_by(0.1)

    monkeypatch.setattr(sys.modules[__name__], "Clock", Late)
    grid, _ = _run(server_app, monkeypatch, nodes, tmp_path, buffer_size=1)
    assert grid.asked[0] == (5.0, 1)
    assert len(grid.asked) == 3
