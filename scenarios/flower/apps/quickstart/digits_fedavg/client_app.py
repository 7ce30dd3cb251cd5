"""What a node does: train the model that it is sent, or test it."""

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from digits_fedavg.task import Net, Samples, node_data, shuffling
from digits_fedavg.task import test as test_model
from digits_fedavg.task import train as train_model

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
    """Train on this node's samples."""
    model, config = _received(message), message.content["config"]
    data, _ = _data(context)
    run = context.run_config
    generator = shuffling(run["seed"], context.node_config["partition-id"], config["server-round"])
    losses = train_model(model, data, run["local-epochs"], config["lr"], run["batch-size"], generator)
    metrics = MetricRecord({"train_loss": losses[-1], "num-examples": len(data[1])})
    content = RecordDict({"arrays": ArrayRecord(model.state_dict()), "metrics": metrics})
    return Message(content=content, reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Test on this node's samples."""
    _, data = _data(context)
    loss, accuracy = test_model(_received(message), data)
    metrics = MetricRecord({"eval_loss": loss, "eval_acc": accuracy, "num-examples": len(data[1])})
    return Message(content=RecordDict({"metrics": metrics}), reply_to=message)
