"""What a node does. A reply to a train message tells of the training, too, in a record of its own."""

import time

from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from digits_fedadagrad.task import Net, Samples, node_data, shuffling
from digits_fedadagrad.task import test as test_model
from digits_fedadagrad.task import train as train_model

CONVERGED_BELOW = 0.05  # difference of the last two epochs' losses

app = ClientApp()


def _received(message: Message) -> Net:
    """Return the model that came with a message."""
    model = Net()
    model.load_state_dict(message.content["arrays"].to_torch_state_dict())
    return model


def _data(context: Context) -> tuple[Samples, Samples]:
    """Return this node's samples for training and for testing."""
    node = context.node_config
    return node_data(node["partition-id"], node["num-partitions"], context.run_config["alpha"])


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train on this node's samples; the learning rate is the one that came with the message."""
    started = time.perf_counter()
    model, config = _received(message), message.content["config"]
    data, _ = _data(context)
    run = context.run_config
    generator = shuffling(run["seed"], context.node_config["partition-id"], config["server-round"])
    losses = train_model(model, data, run["local-epochs"], config["lr"], run["batch-size"], generator)
    content = RecordDict(
        {
            "arrays": ArrayRecord(model.state_dict()),
            "metrics": MetricRecord({"train_loss": losses[-1], "num-examples": len(data[1])}),
            # Strategies want one record of arrays and one of metrics; the rest goes into a config.
            "training": ConfigRecord(
                {
                    "training-time": time.perf_counter() - started,
                    "converged": len(losses) > 1 and abs(losses[-1] - losses[-2]) < CONVERGED_BELOW,
                    "epoch-losses": losses,
                }
            ),
        }
    )
    return Message(content=content, reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Test on this node's samples."""
    _, data = _data(context)
    loss, accuracy = test_model(_received(message), data)
    metrics = MetricRecord({"eval_loss": loss, "eval_acc": accuracy, "num-examples": len(data[1])})
    return Message(content=RecordDict({"metrics": metrics}), reply_to=message)
