"""FedBuff (Nguyen et al., 2022) over the plain Grid, as a template for asynchronous ServerApps.

It needs nothing but `get_node_ids`, `push_messages` and `pull_messages`, and so runs on a deployment, under
Flower's simulation engine and under flsim alike. There are no rounds. At any time, `concurrency` nodes
train, each on the model of the time when it was asked. Once K = `buffer-size` updates have arrived, the
server makes a new version of the model w:

    w <- w + lr / K x the sum over the buffer of d / sqrt(1 + s)

where d is an update, and s, its staleness, the number of versions made since its node was asked.
"""

import json
import logging
import random
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MessageType, RecordDict
from flwr.serverapp import Grid, ServerApp

from digits_fedbuff.task import Net, central_test, initial_model
from digits_fedbuff.task import test as test_model

LOGGER = logging.getLogger("flwr")
GRACE = 5.0  # seconds after its TTL in which a message may still come back as an error

app = ServerApp()


@dataclass(frozen=True)
class Asked:
    """A node at work."""

    node: int
    version: int  # of the model that it was sent
    given_up_at: float  # by time.time()


@dataclass
class Buffered:
    """The model, and the updates that will make the next version of it."""

    weights: dict[str, torch.Tensor]
    size: int
    lr: float
    version: int = 0
    updates: list[tuple[dict[str, torch.Tensor], float]] = field(default_factory=list)  # with their weights

    def add(self, update: dict[str, torch.Tensor], trained_on: int) -> bool:
        """Put an update into the buffer; return whether that made a new version."""
        if update.keys() != self.weights.keys() or any(
            update[name].shape != values.shape or not torch.isfinite(update[name]).all()
            for name, values in self.weights.items()
        ):
            raise ValueError("an update does not fit the model")
        staleness = self.version - trained_on
        self.updates.append((update, (1 + staleness) ** -0.5))
        if len(self.updates) < self.size:
            return False
        for name, values in self.weights.items():
            moved = sum(weight * update[name] for update, weight in self.updates)
            self.weights[name] = values + self.lr / self.size * moved
        self.updates.clear()
        self.version += 1
        return True


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train until `num-server-updates` versions have been made."""
    run = context.run_config
    choice = random.Random(run["seed"])  # noqa: S311
    model = Buffered(
        initial_model(run["seed"]).state_dict(), run["buffer-size"], run["server-learning-rate"]
    )
    asked: dict[str, Asked] = {}  # by the id of the message
    started = time.time()
    history = [tested(model, 0.0)]

    while model.version < run["num-server-updates"]:
        ask_more_nodes(grid, model, asked, choice, run["concurrency"], run["message-ttl"])
        replies = list(grid.pull_messages(asked.keys())) if asked else []
        for reply in replies:
            if taken(reply, asked.pop(reply.metadata.reply_to_message_id), model):
                history.append(tested(model, time.time() - started))
                if model.version == run["num-server-updates"]:
                    break
        forget_the_vanished(asked)
        if not replies:
            time.sleep(run["poll-interval"])

    if run["output-dir"]:
        folder = Path(run["output-dir"])
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(model.weights, folder / "final_model.pt")
        (folder / "history.json").write_text(json.dumps(history, indent=2) + "\n")


def ask_more_nodes(
    grid: Grid,
    model: Buffered,
    asked: dict[str, Asked],
    choice: random.Random,
    concurrency: int,
    ttl: float,
) -> None:
    """Send the model to idle nodes until as many are at work as should be.

    Nodes come and go: who is there is asked every time, and there may be too few.
    """
    wanted = concurrency - len(asked)
    if wanted <= 0:
        return
    busy = {each.node for each in asked.values()}
    idle = sorted(set(grid.get_node_ids()) - busy)
    content = RecordDict(
        {"arrays": ArrayRecord(model.weights), "config": ConfigRecord({"version": model.version})}
    )
    messages = [
        Message(content=content, dst_node_id=node, message_type=MessageType.TRAIN, ttl=ttl)
        for node in choice.sample(idle, min(wanted, len(idle)))
    ]
    for message in messages:
        # One at a time: the ids of what could not be sent are missing, and nothing says which these were.
        for message_id in grid.push_messages([message]):
            if message_id:
                asked[message_id] = Asked(
                    message.metadata.dst_node_id, model.version, time.time() + ttl + GRACE
                )


def taken(reply: Message, asked: Asked, model: Buffered) -> bool:
    """Take a reply into the buffer, if it is an update; return whether that made a new version."""
    if reply.has_error():
        # The ClientApp raised, the message outlived its TTL, or the node is gone: another one is asked.
        LOGGER.warning("Node %d failed (%d): %s", asked.node, reply.error.code, reply.error.reason)
        return False
    try:
        update = reply.content["update"].to_torch_state_dict()
        return model.add(update, asked.version)
    except (KeyError, ValueError) as error:
        LOGGER.warning("Node %d answered what is no update: %s", asked.node, error)
        return False


def forget_the_vanished(asked: dict[str, Asked]) -> None:
    """Count no longer on nodes from which not even an error has come back in time."""
    now = time.time()
    for message_id in [key for key, each in asked.items() if each.given_up_at < now]:
        LOGGER.warning("Node %d never answered", asked.pop(message_id).node)


def tested(model: Buffered, seconds: float) -> dict[str, float]:
    """Test the model on the samples that no node has; return what the history says of a version."""
    net = Net()
    net.load_state_dict(model.weights)
    loss, accuracy = test_model(net, central_test())
    LOGGER.info(
        "[VERSION %d] after %.1f s: loss %.4f, accuracy %.4f", model.version, seconds, loss, accuracy
    )
    return {"version": model.version, "seconds": seconds, "loss": loss, "accuracy": accuracy}
