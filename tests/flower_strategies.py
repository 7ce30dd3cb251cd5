"""Strategies of Flower's message API that tests name in scenarios, most of which flsim cannot follow."""

from collections.abc import Iterable
from importlib import import_module
from time import sleep
from typing import Any

import numpy as np

from flsim.from_flower import (
    Array,
    ArrayRecord,
    ConfigRecord,
    FedAvg,
    Grid,
    Message,
    MetricRecord,
    RecordDict,
)

_Clipping: Any = import_module("flwr.serverapp.strategy").DifferentialPrivacyServerSideFixedClipping

Made = tuple[ArrayRecord | None, MetricRecord | None]
seen: list[tuple[int, list[Message]]] = []  # what Noting was given


class Noting(FedAvg):
    """FedAvg that notes what it is given to aggregate."""

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> Made:
        seen.append((server_round, list(replies)))
        return super().aggregate_train(server_round, replies)


class Patient(FedAvg):
    """Waits for three nodes, and asks the first two."""

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        while len(list(grid.get_node_ids())) < 3:
            sleep(1)
        return self._construct_messages(
            self.content(arrays, config), list(grid.get_node_ids())[:2], "train"
        )

    @staticmethod
    def content(arrays: ArrayRecord, config: ConfigRecord) -> RecordDict:
        return RecordDict({"arrays": arrays, "config": config})


class Endless(FedAvg):
    """Waits whatever comes."""

    def configure_train(self, *_: Any) -> Iterable[Message]:
        sleep(1)
        return []


class Turns(Patient):
    """Asks one client after the other, and remembers whose turn it is."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = 0

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        nodes = list(grid.get_node_ids())
        asked = [nodes[self.turn % len(nodes)]]
        self.turn += 1
        return self._construct_messages(self.content(arrays, config), asked, "train")


class Decaying(FedAvg):
    """Tells clients a learning rate."""

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        config["lr"] = 0.1 * 0.5**server_round
        return super().configure_train(server_round, arrays, config, grid)


class Querying(Patient):
    """Sends messages that are not for training."""

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        return self._construct_messages(self.content(arrays, config), list(grid.get_node_ids()), "query")


class Twice(Patient):
    """Sends every node two messages."""

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        asked = 2 * list(grid.get_node_ids())
        return self._construct_messages(self.content(arrays, config), asked, "train")


class Sending(FedAvg):
    """Sends its messages by itself."""

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        grid.push_messages([])
        return []


class Odd(FedAvg):
    """Asks nobody in even rounds."""

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        return super().configure_train(server_round, arrays, config, grid) if server_round % 2 else []


class Failing(FedAvg):
    """Raises an error where it is to aggregate."""

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> Made:
        raise ValueError(f"no round {server_round}")


class Idle(FedAvg):
    """Makes nothing of what it is given."""

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> Made:
        return None, None


class Renaming(FedAvg):
    """Makes arrays of other names."""

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> Made:
        return ArrayRecord({"other": Array(np.zeros(3))}), None


class Flat(FedAvg):
    """Makes arrays of other shapes."""

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> Made:
        made, _ = super().aggregate_train(server_round, replies)
        assert made is not None
        return ArrayRecord({name: Array(each.numpy().reshape(-1)) for name, each in made.items()}), None


class Remembering(FedAvg):
    """Remembers things of all sorts, and comes to depend on them."""

    def __init__(self) -> None:
        super().__init__()
        self.best: ArrayRecord | None = None
        self.told = MetricRecord({"rounds": 0})
        self.by_round: dict[int, tuple[np.float32, list[str]]] = {}
        self.clients: set[int] = set()

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> Made:
        replies = list(replies)
        self.clients |= {reply.metadata.src_node_id for reply in replies}
        made, numbers = super().aggregate_train(server_round, replies)
        assert made is not None
        old = made if self.best is None else self.best
        share = np.float32(len(self.clients) / 100 + len(self.by_round) / 50)
        made = ArrayRecord(
            {
                name: Array(each.numpy() * (1 - share) + old[name].numpy() * share)
                for name, each in made.items()
            }
        )
        self.best, self.told = made, MetricRecord({"rounds": server_round})
        self.by_round[server_round] = share, ["a", "word"]
        return made, numbers


class Holding(FedAvg):
    """Remembers what no checkpoint can hold."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = np.random.default_rng(3)


class Noisy(_Clipping):  # type: ignore[misc]
    """FedAvg, within one of Flower's wrappers, which draws noise."""

    def __init__(self) -> None:
        super().__init__(FedAvg(), 0.5, 1.0, 4)
