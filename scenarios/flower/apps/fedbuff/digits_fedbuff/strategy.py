"""FedBuff (Nguyen et al., 2022) over the plain Grid, as a template for asynchronous strategies.

It needs nothing but `get_node_ids`, `push_messages` and `pull_messages`, and so runs on a deployment, under
Flower's simulation engine and under flsim alike. There are no rounds. At any time, `concurrency` nodes
train, each on the model of the time when it was asked. Once K = `buffer_size` updates have arrived, the
server makes a new version of the model w:

    w <- w + lr / K x the sum over the buffer of d / sqrt(1 + s)

where d is an update, and s, its staleness, the number of versions made since its node was asked.
"""

import logging
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy

LOGGER = logging.getLogger("flwr")
GRACE = 5.0  # seconds after its TTL in which a message may still come back as an error

Weights = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Asked:
    """A node at work."""

    node: int
    version: int  # of the model that it was sent
    given_up_at: float  # by time.time()


class FedBuff(Strategy):
    """FedBuff. What Flower calls a round is a version here.

    `ttl`: seconds until an answer is given up; `poll_interval`: seconds between two looks for answers;
    `seed`: of the choice of nodes.
    """

    def __init__(
        self, *, concurrency: int, buffer_size: int, lr: float, ttl: float, poll_interval: float, seed: int
    ) -> None:
        self.concurrency = concurrency
        self.buffer_size = buffer_size
        self.lr = lr
        self.ttl = ttl
        self.poll_interval = poll_interval
        self.choice = random.Random(seed)  # noqa: S311
        self.version = 0
        self.weights: Weights = {}
        self.asked: dict[str, Asked] = {}  # by the id of the message
        self.buffer: list[Message] = []
        self.trained_on: dict[str, int] = {}  # the version, by the id of the message that is answered
        self.seconds: list[float] = []  # when each version was made, from the start

    def start(
        self,
        grid: Grid,
        initial_arrays: ArrayRecord,
        num_rounds: int = 3,
        timeout: float = 3600,
        train_config: ConfigRecord | None = None,
        evaluate_config: ConfigRecord | None = None,
        evaluate_fn: Callable[[int, ArrayRecord], MetricRecord | None] | None = None,
    ) -> Result:
        """Train until `num_rounds` versions have been made. Nobody waits for a round: no `timeout`."""
        self.summary()
        self.version, self.weights = 0, initial_arrays.to_torch_state_dict()
        self.asked.clear()
        self.buffer.clear()
        self.trained_on.clear()
        result, arrays, config = (
            Result(arrays=initial_arrays),
            initial_arrays,
            train_config or ConfigRecord(),
        )
        started = time.time()
        self.seconds = [0.0]
        _evaluate(result, 0, arrays, evaluate_fn)

        while self.version < num_rounds:
            self._push(grid, self.configure_train(self.version, arrays, config, grid))
            replies = list(grid.pull_messages(list(self.asked))) if self.asked else []
            for reply in replies:
                self._take(reply, self.asked.pop(reply.metadata.reply_to_message_id))
                if len(self.buffer) < self.buffer_size or self.version == num_rounds:
                    continue
                made, metrics = self.aggregate_train(self.version + 1, self.buffer)
                self.buffer.clear()
                self.trained_on.clear()
                if made is None:
                    continue
                self.version += 1
                self.weights, arrays, result.arrays = made.to_torch_state_dict(), made, made
                self.seconds.append(time.time() - started)
                if metrics is not None:
                    result.train_metrics_clientapp[self.version] = metrics
                _evaluate(result, self.version, arrays, evaluate_fn)
            self._forget_the_vanished()
            if not replies:
                time.sleep(self.poll_interval)
        return result

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return messages to idle nodes, so that as many are at work as should be.

        Nodes come and go: who is there is asked every time, and there may be too few.
        """
        wanted = self.concurrency - len(self.asked)
        if wanted <= 0:
            return []
        busy = {each.node for each in self.asked.values()}
        idle = sorted(set(grid.get_node_ids()) - busy)
        config = ConfigRecord({**config, "version": server_round})
        content = RecordDict({"arrays": arrays, "config": config})
        return [
            Message(content=content, dst_node_id=node, message_type=MessageType.TRAIN, ttl=self.ttl)
            for node in self.choice.sample(idle, min(wanted, len(idle)))
        ]

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the model that the buffer makes, with how stale its updates were on average."""
        moved = {name: torch.zeros_like(values) for name, values in self.weights.items()}
        total = count = 0
        for reply in replies:
            staleness = server_round - 1 - self.trained_on[reply.metadata.reply_to_message_id]
            update = reply.content["update"].to_torch_state_dict()
            for name, values in moved.items():
                values += update[name] * (1 + staleness) ** -0.5
            total, count = total + staleness, count + 1
        if not count:
            return None, None
        weights = {name: values + self.lr / count * moved[name] for name, values in self.weights.items()}
        return ArrayRecord(weights), MetricRecord({"staleness": total / count})

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Let no node test: the server does."""
        return []

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Return nothing, as there is nothing."""
        return None

    def summary(self) -> None:
        """Log what it is."""
        LOGGER.info("FedBuff: %d nodes at work, %d updates a version", self.concurrency, self.buffer_size)

    def _push(self, grid: Grid, messages: Iterable[Message]) -> None:
        """Send messages, and note who is at work.

        One at a time: the ids of what could not be sent are missing, and nothing says which these were.
        """
        for message in messages:
            for message_id in grid.push_messages([message]):
                if message_id:
                    given_up_at = time.time() + self.ttl + GRACE
                    self.asked[message_id] = Asked(message.metadata.dst_node_id, self.version, given_up_at)

    def _take(self, reply: Message, asked: Asked) -> None:
        """Put a reply into the buffer, unless it is an error or rubbish."""
        if reply.has_error():
            # The ClientApp raised, the message outlived its TTL, or the node is gone: another one is asked.
            LOGGER.warning("Node %d failed (%d): %s", asked.node, reply.error.code, reply.error.reason)
        elif (why := self._misfit(reply)) is not None:
            LOGGER.warning("Node %d answered what is no update: %s", asked.node, why)
        else:
            self.buffer.append(reply)
            self.trained_on[reply.metadata.reply_to_message_id] = asked.version

    def _misfit(self, reply: Message) -> str | None:
        """Return why a reply is no update of the model, or None if it is one."""
        update = reply.content.get("update")
        if not isinstance(update, ArrayRecord):
            return "it has no arrays by the name of update"
        values = update.to_torch_state_dict()
        if values.keys() != self.weights.keys():
            return "it has other arrays"
        for name, mine in self.weights.items():
            if values[name].shape != mine.shape or not torch.isfinite(values[name]).all():
                return f"{name} has another shape, or is not finite"
        return None

    def _forget_the_vanished(self) -> None:
        """Count no longer on nodes from which not even an error has come back in time."""
        now = time.time()
        for message_id in [key for key, each in self.asked.items() if each.given_up_at < now]:
            LOGGER.warning("Node %d never answered", self.asked.pop(message_id).node)


def _evaluate(
    result: Result,
    version: int,
    arrays: ArrayRecord,
    evaluate_fn: Callable[[int, ArrayRecord], MetricRecord | None] | None,
) -> None:
    """Test a version, if somebody can."""
    metrics = evaluate_fn(version, arrays) if evaluate_fn else None
    if metrics is not None:
        LOGGER.info("[VERSION %d] %s", version, dict(metrics))
        result.evaluate_metrics_serverapp[version] = metrics
